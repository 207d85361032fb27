"""A second opinion on quantities and priority, from the events alone.

It shares no code with the engine: a record for each open order, and who stands first on each
side. What it holds the events to:

- quantity = filled + remaining + cancelled for every order after each of its events, where each of
  the four figures comes from another place; what the buys lose by trading is what the sells lose
  (I5), and no trade is outside the limit of either order.
- Whoever trades stands first by price, then time, and with no more than it displays; a place in
  time is new, or kept by a pure reduction; the book is not crossed while the market runs (I7).
- Between two commands every open order stands in the book or waits as a stop: none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gomatch.audit.standing import Standing
from gomatch.engine import (
    Accepted,
    Amended,
    Cancelled,
    Event,
    Expired,
    Image,
    NewOrder,
    OrderImage,
    Rested,
    Side,
    StateChanged,
    Traded,
    TradingState,
    Triggered,
    Uncrossed,
)

_RUNNING = TradingState.RUNNING
_BUY, _SELL = Side.BUY, Side.SELL


@dataclass(slots=True)
class _Entry:
    """An open order as the events tell it; ``remaining`` is what the last of them said."""

    user: int
    side: Side
    limit: int
    display: int
    stop_price: int
    expiry: int
    quantity: int
    remaining: int
    waiting: bool
    """A stop that was not triggered yet."""
    filled: int = 0
    cancelled: int = 0
    displayed: int = 0

    @classmethod
    def of(cls, terms: NewOrder | OrderImage, *, remaining: int, waiting: bool) -> _Entry:
        return cls(
            terms.user,
            terms.side,
            terms.price,
            terms.display,
            terms.stop_price,
            terms.expiry,
            terms.quantity,
            remaining,
            waiting,
        )


class Accounts:
    """``take`` each event in order, ``settle`` after each batch, ``finish`` after the last."""

    def __init__(self, report: Callable[[str, str], None], image: Image | None = None) -> None:
        """``report`` is called with kind and detail of what is wrong. ``image``: the state before
        the first event; a new market's without one."""
        self._report = report
        self._orders: dict[int, _Entry] = {}
        self._bids, self._asks = Standing(_BUY), Standing(_SELL)
        self._afloat: set[int] = set()
        """Open orders that neither stand in the book nor wait: the one that comes in, and
        icebergs between two slices."""
        self._state = _RUNNING
        self._sold = self._bought = 0
        """By how much trades have reduced what remains of the sells and of the buys."""
        self._last_number = self._last_priority = 0
        self._uncross_price = self._uncross_volume = 0
        if image:
            self._begin(image)

    def _begin(self, image: Image) -> None:
        header = image.header
        self._state = header.state
        self._last_number, self._last_priority = header.applied, header.next_priority - 1
        for order in image.orders:
            entry = _Entry.of(order, remaining=order.remaining, waiting=not order.priority)
            entry.filled = order.filled
            entry.cancelled = order.quantity - order.filled - order.remaining
            self._orders[order.number] = entry
            if order.priority:
                entry.displayed = order.displayed
                self._side(entry).add(order.number, order.price, order.priority)

    def take(self, sequence: int, event: Event) -> None:
        if isinstance(event, Rested):
            self._rested(sequence, event)
        elif isinstance(event, Traded):
            self._traded(sequence, event)
        elif isinstance(event, Cancelled):
            self._reduced(sequence, event, event.remaining)
        else:
            if self._afloat:
                self._check_afloat(sequence)
            if isinstance(event, Accepted):
                self._accepted(sequence, event)
            elif isinstance(event, Expired):
                self._reduced(sequence, event, 0)
            elif isinstance(event, Amended):
                self._amended(sequence, event)
            elif isinstance(event, Triggered):
                self._triggered(sequence, event)
            elif isinstance(event, Uncrossed):
                self._uncrossed(sequence, event)
            elif isinstance(event, StateChanged):
                self._state = event.state
                if event.state is _RUNNING:
                    self._check_crossed(sequence)

    def settle(self, sequence: int) -> None:
        """After a batch, which ends at ``sequence``."""
        if self._afloat:
            self._check_afloat(sequence)
        if self._uncross_volume:
            self._report("uncross", f"trades of an auction without its end before {sequence}")
            self._uncross_price = self._uncross_volume = 0
        if self._bought != self._sold:
            self._report(
                "sides_differ",
                f"up to {sequence} trades took {self._bought} off the buys and {self._sold} off "
                "the sells",
            )
            self._bought = self._sold

    def finish(self, stored: Mapping[int, tuple[int, int]]) -> None:
        """``stored``: what is kept as open after the last event, as (filled, remaining)."""
        for number in sorted(self._orders.keys() | stored.keys()):
            entry = self._orders.get(number)
            told = None if entry is None else (entry.filled, entry.remaining)
            if told != stored.get(number):
                self._report(
                    "open_orders",
                    f"order {number}: by its events (filled, remaining) is {told or 'closed'}, "
                    f"stored is {stored.get(number, 'closed')}",
                )

    def _accepted(self, sequence: int, event: Accepted) -> None:
        number, terms = event.number, event.order
        if number <= self._last_number:
            self._report(
                "order_number",
                f"order {number} is accepted at {sequence}, after {self._last_number}",
            )
        self._last_number = number
        waiting = terms.stop_price > 0
        self._orders[number] = _Entry.of(terms, remaining=terms.quantity, waiting=waiting)
        if not waiting:
            self._afloat.add(number)

    def _triggered(self, sequence: int, event: Triggered) -> None:
        entry = self._entry(sequence, event.order, event.user)
        if entry is None:
            return
        if not entry.waiting:
            self._report("not_waiting", f"order {event.order} is triggered twice, at {sequence}")
            return
        entry.waiting = False
        self._afloat.add(event.order)

    def _rested(self, sequence: int, event: Rested) -> None:
        number = event.order
        entry = self._entry(sequence, number, event.user)
        if entry is None:
            return
        if number not in self._afloat:
            self._report("priority", f"order {number} takes a new place at {sequence} for nothing")
        self._afloat.discard(number)
        remaining, shown = entry.remaining, entry.display
        if not shown or shown > remaining:
            shown = remaining
        if (event.displayed, event.remaining) != (shown, remaining):
            self._report(
                "quantity",
                f"order {number} rests {event.displayed} of {event.remaining} at {sequence}, by "
                f"its events {shown} of {remaining}",
            )
            entry.remaining = event.remaining
        if event.side is not entry.side or event.price != entry.limit:
            self._report(
                "price",
                f"order {number} rests at {event.price} at {sequence}, its limit is {entry.limit}",
            )
        if event.priority <= self._last_priority:
            self._report(
                "priority",
                f"order {number} rests with priority {event.priority} at {sequence}, after "
                f"{self._last_priority}",
            )
        self._last_priority = max(event.priority, self._last_priority)
        entry.displayed = event.displayed
        self._side(entry).add(number, event.price, event.priority)
        if self._state is _RUNNING:
            self._check_crossed(sequence)

    def _traded(self, sequence: int, event: Traded) -> None:
        maker = self._entry(sequence, event.maker_order, event.maker_user)
        taker = self._entry(sequence, event.taker_order, event.taker_user)
        if maker is None or taker is None:
            return
        if maker.side is taker.side or taker.side is not event.taker_side or event.quantity <= 0:
            self._report("trade_sides", f"trade {sequence} is not between two sides")
        if self._state is _RUNNING:
            self._continuous(sequence, event, maker)
        elif self._state is TradingState.AUCTION:
            self._in_uncross(sequence, event, maker, taker)
        else:
            self._report("trade_state", f"trade {sequence} while the market was {self._state.name}")
        self._fill(sequence, event.maker_order, maker, event, event.maker_remaining)
        self._fill(sequence, event.taker_order, taker, event, event.taker_remaining)

    def _continuous(self, sequence: int, event: Traded, maker: _Entry) -> None:
        if event.taker_order not in self._afloat:
            self._report(
                "trade_state", f"trade {sequence}: order {event.taker_order} does not come in"
            )
        elif len(self._afloat) > 1:
            self._check_afloat(sequence, event.taker_order)
        if event.price != maker.limit:
            self._report("price", f"trade {sequence} is not at its maker's price {maker.limit}")
        self._check_turn(sequence, event.maker_order, maker)

    def _in_uncross(self, sequence: int, event: Traded, maker: _Entry, taker: _Entry) -> None:
        if self._afloat:
            self._check_afloat(sequence)
        if event.price != (self._uncross_price or event.price):
            self._report("uncross", f"trade {sequence} is not at the price of those before it")
        self._uncross_price = event.price
        self._uncross_volume += event.quantity
        self._check_turn(sequence, event.maker_order, maker)
        self._check_turn(sequence, event.taker_order, taker)

    def _uncrossed(self, sequence: int, event: Uncrossed) -> None:
        traded = self._uncross_price, self._uncross_volume
        if event.volume != traded[1] or (event.volume and event.price != traded[0]):
            self._report(
                "uncross",
                f"{event.volume} at {event.price} by the event at {sequence}, traded were "
                f"{traded[1]} at {traded[0]}",
            )
        self._uncross_price = self._uncross_volume = 0

    def _fill(self, sequence: int, number: int, entry: _Entry, event: Traded, left: int) -> None:
        limit, price, quantity = entry.limit, event.price, event.quantity
        if entry.side is _BUY:
            outside = price > limit
            self._bought += entry.remaining - left
        else:
            outside = price < limit
            self._sold += entry.remaining - left
        if limit and outside:
            self._report("price", f"trade {sequence} at {price} is beyond order {number}'s limit")
        entry.filled += quantity
        entry.remaining = left
        if number not in self._afloat and not entry.waiting:
            entry.displayed -= quantity
            if entry.displayed < 0:
                self._report("priority", f"trade {sequence}: more than order {number} displayed")
            if entry.displayed <= 0 < left:
                self._side(entry).remove(number)
                self._afloat.add(number)
        self._balance(sequence, number, entry)

    def _reduced(self, sequence: int, event: Cancelled | Expired, left: int) -> None:
        number = event.order
        entry = self._entry(sequence, number, event.user)
        if entry is None:
            return
        if event.quantity <= 0:
            self._report("quantity", f"event {sequence} takes {event.quantity} of order {number}")
        entry.cancelled += event.quantity
        entry.remaining = left
        entry.displayed = min(entry.displayed, left)
        self._balance(sequence, number, entry)

    def _amended(self, sequence: int, event: Amended) -> None:
        number = event.order
        entry = self._entry(sequence, number, event.user)
        if entry is None:
            return
        terms = event.price, event.display, event.stop_price, event.expiry
        before = entry.limit, entry.display, entry.stop_price, entry.expiry
        reduction = terms == before and event.quantity < entry.quantity
        if event.kept_priority is not reduction:
            self._report(
                "priority",
                f"order {number} {'keeps' if event.kept_priority else 'loses'} its place by the "
                f"amend at {sequence}",
            )
        entry.limit, entry.display, entry.stop_price, entry.expiry = terms
        entry.quantity, entry.remaining = event.quantity, event.remaining
        if event.kept_priority:
            entry.displayed = min(entry.displayed, event.remaining)
        elif not entry.waiting:
            self._side(entry).remove(number)
            entry.displayed = 0
            self._afloat.add(number)
        self._balance(sequence, number, entry)

    def _balance(self, sequence: int, number: int, entry: _Entry) -> None:
        """I5 for one order, after an event of it. Closes it when nothing remains."""
        remaining = entry.remaining
        if remaining < 0 or entry.quantity != entry.filled + remaining + entry.cancelled:
            self._report(
                "quantity",
                f"order {number} at {sequence}: {entry.quantity} is not {entry.filled} filled + "
                f"{remaining} remaining + {entry.cancelled} cancelled",
            )
            entry.filled = entry.quantity - remaining - entry.cancelled
        if remaining <= 0:
            self._orders.pop(number, None)
            self._afloat.discard(number)
            self._side(entry).remove(number)

    def _check_turn(self, sequence: int, number: int, entry: _Entry) -> None:
        first = self._side(entry).first()
        if first != number:
            self._report(
                "priority", f"trade {sequence}: order {number} trades, order {first} stands first"
            )

    def _check_crossed(self, sequence: int) -> None:
        bid, ask = self._bids.best(), self._asks.best()
        if bid is not None and ask is not None and bid >= ask:
            self._report("book_crossed", f"bid {bid} meets ask {ask} at {sequence}")

    def _check_afloat(self, sequence: int, incoming: int = 0) -> None:
        """All but the one that comes in must have found their place."""
        for number in sorted(self._afloat - {incoming}):
            self._report(
                "order_lost", f"order {number} is open and stands nowhere before {sequence}"
            )
            self._afloat.discard(number)

    def _side(self, entry: _Entry) -> Standing:
        return self._bids if entry.side is _BUY else self._asks

    def _entry(self, sequence: int, number: int, user: int) -> _Entry | None:
        entry = self._orders.get(number)
        if entry is None:
            self._report("unknown_order", f"event {sequence} speaks of order {number}: not open")
        elif entry.user != user:
            self._report(
                "order_user", f"event {sequence} gives order {number} of {entry.user} to {user}"
            )
        return entry

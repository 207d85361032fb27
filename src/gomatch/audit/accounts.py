"""A second opinion on quantities and priority, from the events alone.

It shares no code with the engine: a few dictionaries and two heaps. For every order the total is
filled + remaining + cancelled (I5); whoever trades stands first by price, then time, on their
side, at a price within both limits, and the book is not crossed while the market runs (I7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from gomatch.engine import (
    Accepted,
    Amended,
    Cancelled,
    Event,
    Expired,
    Image,
    OrderType,
    Rested,
    Side,
    StateChanged,
    Traded,
    TradingState,
)


@dataclass(slots=True)
class _Entry:
    """An order as the events tell it. ``place`` is its (price key, priority) in the book."""

    side: Side
    limit: int
    quantity: int
    filled: int = 0
    cancelled: int = 0
    displayed: int = 0
    place: tuple[int, int] | None = None

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled - self.cancelled


class Accounts:
    """``take`` each event in order, ``settle`` after each batch."""

    def __init__(self, report: Callable[[str, str], None], image: Image | None = None) -> None:
        """``report`` is called with kind and detail of what is wrong."""
        self._report = report
        self._orders: dict[int, _Entry] = {}
        self._heaps: dict[Side, list[tuple[int, int, int]]] = {Side.BUY: [], Side.SELL: []}
        self._state = TradingState.RUNNING
        self._bought = self._sold = 0
        for order in image.orders if image else ():
            entry = _Entry(order.side, order.price, order.quantity, order.filled)
            entry.cancelled = order.quantity - order.filled - order.remaining
            self._orders[order.number] = entry
            if order.priority:
                self._place(order.number, entry, order.price, order.priority, order.displayed)
        if image:
            self._state = image.header.state

    def take(self, sequence: int, event: Event) -> None:
        match event:
            case Traded():
                self._traded(sequence, event)
            case Accepted():
                self._check_crossed(sequence)
                new = event.order
                # A market order, or a stop without a limit, takes any price.
                limit = new.price if new.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else 0
                self._orders[event.number] = _Entry(new.side, limit, new.quantity)
            case Rested():
                self._rested(sequence, event)
            case Cancelled():
                self._reduced(sequence, event.order, event.quantity, event.remaining)
            case Expired():
                self._reduced(sequence, event.order, event.quantity, 0)
            case Amended():
                self._amended(sequence, event)
            case StateChanged():
                self._state = event.state

    def settle(self, sequence: int) -> None:
        """After a batch: is the book crossed, and do the sides add up?"""
        self._check_crossed(sequence)
        if self._bought != self._sold:
            self._report("sides_differ", f"{self._bought} bought, {self._sold} sold at {sequence}")

    def _check_crossed(self, sequence: int) -> None:
        """Between two commands; an uncross trades before the state changes."""
        if self._state is TradingState.RUNNING:
            bid, ask = self._first(Side.BUY), self._first(Side.SELL)
            if bid and ask and -bid[0] >= ask[0]:
                self._report("book_crossed", f"bid {-bid[0]} meets ask {ask[0]} at {sequence}")

    def _rested(self, sequence: int, event: Rested) -> None:
        entry = self._entry(sequence, event.order)
        if entry is None:
            return
        if event.remaining != entry.remaining or not 0 < event.displayed <= event.remaining:
            self._report(
                "quantity",
                f"order {event.order} rests {event.displayed} of {event.remaining} at {sequence}, "
                f"by its events {entry.remaining} remain",
            )
        self._place(event.order, entry, event.price, event.priority, event.displayed)

    def _traded(self, sequence: int, event: Traded) -> None:
        maker = self._entry(sequence, event.maker_order)
        taker = self._entry(sequence, event.taker_order)
        if maker is None or taker is None:
            return
        if maker.side is taker.side or taker.side is not event.taker_side or event.quantity <= 0:
            self._report("trade_sides", f"trade {sequence} is not between two sides")
        uncross = taker.place is not None
        for number, entry in ((event.maker_order, maker), (event.taker_order, taker)):
            if entry is taker and not uncross:
                continue
            first = self._first(entry.side)
            if first is None or first[2] != number:
                self._report(
                    "priority",
                    f"trade {sequence}: order {number} traded while order "
                    f"{first[2] if first else 'none'} stood before it",
                )
        if not uncross and event.price != maker.limit:
            self._report("price", f"trade {sequence} is not at its maker's price {maker.limit}")
        for entry, number, left in (
            (maker, event.maker_order, event.maker_remaining),
            (taker, event.taker_order, event.taker_remaining),
        ):
            self._fill(sequence, number, entry, event, left)

    def _fill(self, sequence: int, number: int, entry: _Entry, event: Traded, left: int) -> None:
        outside = event.price > entry.limit if entry.side is Side.BUY else event.price < entry.limit
        if entry.limit and outside:
            self._report(
                "price", f"trade {sequence} at {event.price} is beyond order {number}'s limit"
            )
        entry.filled += event.quantity
        if entry.side is Side.BUY:
            self._bought += event.quantity
        else:
            self._sold += event.quantity
        if entry.remaining != left or left < 0:
            self._report(
                "quantity",
                f"order {number} has {left} left after trade {sequence}, by its events "
                f"{entry.remaining}",
            )
        entry.displayed -= event.quantity
        if entry.place is not None and entry.displayed <= 0:
            entry.place = None
        self._forget_if_done(number, entry)

    def _reduced(self, sequence: int, number: int, quantity: int, left: int) -> None:
        entry = self._entry(sequence, number)
        if entry is None:
            return
        entry.cancelled += quantity
        if entry.remaining != left or quantity <= 0:
            self._report(
                "quantity",
                f"order {number} has {left} left after {quantity} were cancelled at {sequence}, "
                f"by its events {entry.remaining}",
            )
        entry.displayed = min(entry.displayed, entry.remaining)
        self._forget_if_done(number, entry)

    def _amended(self, sequence: int, event: Amended) -> None:
        entry = self._entry(sequence, event.order)
        if entry is None:
            return
        entry.quantity = event.quantity
        if entry.limit:
            entry.limit = event.price
        if entry.remaining != event.remaining or event.remaining <= 0:
            self._report(
                "quantity",
                f"order {event.order} has {event.remaining} left after its amend at {sequence}, by "
                f"its events {entry.remaining}",
            )
        if event.kept_priority:
            entry.displayed = min(entry.displayed, entry.remaining)
        else:
            entry.place = None

    def _place(self, number: int, entry: _Entry, price: int, priority: int, shown: int) -> None:
        key = -price if entry.side is Side.BUY else price
        entry.place = (key, priority)
        entry.limit = price
        entry.displayed = shown
        heappush(self._heaps[entry.side], (key, priority, number))

    def _first(self, side: Side) -> tuple[int, int, int] | None:
        heap = self._heaps[side]
        while heap:
            key, priority, number = heap[0]
            entry = self._orders.get(number)
            if entry is not None and entry.place == (key, priority):
                return heap[0]
            heappop(heap)
        return None

    def _entry(self, sequence: int, number: int) -> _Entry | None:
        entry = self._orders.get(number)
        if entry is None:
            self._report("unknown_order", f"event {sequence} speaks of order {number}: not open")
        return entry

    def _forget_if_done(self, number: int, entry: _Entry) -> None:
        if entry.remaining <= 0:
            self._orders.pop(number, None)

"""A slow book written from docs/matching-rules.md: one plain list of orders, searched and sorted
anew at every step. It shares nothing with the engine but the vocabulary of values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from gomatch.engine import (
    Accepted,
    AllCancelled,
    Amended,
    AmendOrder,
    BandMode,
    CancelAll,
    Cancelled,
    CancelOrder,
    Closing,
    Command,
    Configure,
    Configured,
    Event,
    Expired,
    Image,
    ImageHeader,
    MarketConfig,
    NewOrder,
    OrderImage,
    OrderType,
    Reason,
    Rejected,
    Rested,
    SelfTrade,
    SetState,
    Side,
    StateChanged,
    TimeInForce,
    Traded,
    TradingState,
    Triggered,
    Uncrossed,
)

BILLION = 1_000_000_000
IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
LIMITS = (OrderType.LIMIT, OrderType.STOP_LIMIT)


@dataclass
class Entry:
    number: int
    user: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    self_trade: SelfTrade
    post_only: bool
    price: int
    stop_price: int
    display: int
    expiry: int
    client_order_id: str
    quantity: int
    filled: int = 0
    cancelled: int = 0
    shown: int = 0
    value: int = 0
    priority: int = 0
    triggered: bool = False

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled - self.cancelled

    @property
    def resting(self) -> bool:
        return self.priority > 0

    @property
    def waiting(self) -> bool:
        return self.type in STOPS and not self.triggered


@dataclass(frozen=True)
class Ended:
    """What became of an order that is open no more; lots, and price * lots."""

    closing: Closing
    filled: int
    cancelled: int
    value: int


def ceiling_fee(value: int, rate: int) -> int:
    exact = Fraction(value * rate, BILLION)
    return -((-exact.numerator) // exact.denominator)


class ReferenceBook:
    def __init__(
        self, config: MarketConfig | None = None, state: TradingState = TradingState.RUNNING
    ) -> None:
        self.config = config or MarketConfig()
        self.state = state
        self.open: list[Entry] = []
        self.ended: dict[int, Ended] = {}
        self.time = 0
        self.applied = 0
        self.sequence = 0
        self.last = 0
        self.next_priority = 1
        self.low: int | None = None
        self.high: int | None = None
        self.out: list[Event] = []

    # What the outside sees

    def image(self) -> Image:
        header = ImageHeader(
            self.time,
            self.applied,
            self.sequence,
            self.state,
            self.last,
            self.next_priority,
            self.config,
        )
        orders = [
            OrderImage(
                e.number,
                e.user,
                e.side,
                e.type,
                e.time_in_force,
                e.self_trade,
                e.post_only,
                e.price,
                e.stop_price,
                e.display,
                e.expiry,
                e.quantity,
                e.remaining,
                e.filled,
                e.shown,
                e.value,
                e.priority,
                e.triggered,
                e.client_order_id,
            )
            for e in sorted(self.open, key=lambda e: e.number)
        ]
        return Image(header, orders)

    def depth(self, side: Side) -> list[tuple[int, int]]:
        prices = {e.price for e in self.open if e.side is side and e.resting}
        return [
            (p, sum(e.shown for e in self.open if e.side is side and e.resting and e.price == p))
            for p in sorted(prices, reverse=side is Side.BUY)
        ]

    def advance(self, time: int) -> list[Event]:
        self.out = []
        self.time = max(self.time, time)
        due = [e for e in self.open if e.expiry and e.expiry <= self.time]
        for entry in sorted(due, key=lambda e: (e.expiry, e.number)):
            self.out.append(Expired(entry.number, entry.user, entry.remaining))
            entry.cancelled += entry.remaining
            self.end(entry, Closing.EXPIRED)
        self.sequence += len(self.out)
        return self.out

    def apply(self, number: int, command: Command) -> list[Event]:
        assert number == self.applied + 1
        self.out = []
        self.number = number
        self.fix_band(self.last)
        if isinstance(command, NewOrder):
            self.new(command)
        elif isinstance(command, CancelOrder):
            self.cancel_one(command)
        elif isinstance(command, AmendOrder):
            self.amend(command)
        elif isinstance(command, CancelAll):
            self.cancel_all(command)
        elif isinstance(command, SetState):
            self.set_state(command)
        else:
            self.configure(command)
        self.look_at_stops()
        self.applied = number
        self.sequence += len(self.out)
        return self.out

    def skip(self, number: int, command: Command) -> list[Event]:
        self.out = []
        self.number = self.applied = number
        order = number if isinstance(command, NewOrder) else getattr(command, "order", 0)
        self.reject(order, getattr(command, "user", 0), Reason.INTERNAL_ERROR)
        self.sequence += 1
        return self.out

    @property
    def next_expiry(self) -> int | None:
        return min((e.expiry for e in self.open if e.expiry), default=None)

    # Helpers

    def fix_band(self, last: int) -> None:
        reference = last or self.config.reference_price
        if self.config.band_mode is BandMode.NONE or not reference:
            self.low = self.high = None
        else:
            width = reference * self.config.band // BILLION
            self.low, self.high = reference - width, reference + width

    def in_band(self, price: int) -> bool:
        return self.low is None or self.high is None or self.low <= price <= self.high

    def refuses(self, price: int) -> bool:
        return self.config.band_mode is BandMode.REFUSE and not self.in_band(price)

    def queue(self, side: Side) -> list[Entry]:
        """What rests on a side, in price, then time priority."""
        resting = [e for e in self.open if e.side is side and e.resting]
        return sorted(
            resting, key=lambda e: (e.price if side is Side.SELL else -e.price, e.priority)
        )

    def opposite(self, entry: Entry | NewOrder) -> list[Entry]:
        return self.queue(Side.SELL if entry.side is Side.BUY else Side.BUY)

    @staticmethod
    def reaches(entry: Entry | NewOrder, price: int) -> bool:
        if entry.type in (OrderType.MARKET, OrderType.STOP):
            return True
        return price <= entry.price if entry.side is Side.BUY else price >= entry.price

    def mode(self, entry: Entry | NewOrder) -> SelfTrade:
        return (
            entry.self_trade
            if entry.self_trade is not SelfTrade.DEFAULT
            else self.config.self_trade
        )

    def kept_apart(self, taker: Entry | NewOrder, maker: Entry) -> bool:
        return maker.user == taker.user and self.mode(taker) is not SelfTrade.NONE

    def rest(self, entry: Entry) -> None:
        entry.shown = min(entry.display, entry.remaining) if entry.display else entry.remaining
        entry.priority = self.next_priority
        self.next_priority += 1
        self.out.append(
            Rested(
                entry.number,
                entry.user,
                entry.side,
                entry.price,
                entry.shown,
                entry.remaining,
                entry.priority,
            )
        )

    def take_off(self, entry: Entry, quantity: int, reason: Reason) -> None:
        """Cancel some lots of an order; the hidden ones go first."""
        entry.cancelled += quantity
        entry.shown = min(entry.shown, entry.remaining)
        self.out.append(
            Cancelled(self.number, entry.number, entry.user, quantity, entry.remaining, reason)
        )
        if not entry.remaining:
            self.end(entry, Closing.CANCELLED)

    def cancel(self, entry: Entry, reason: Reason) -> None:
        self.take_off(entry, entry.remaining, reason)

    def end(self, entry: Entry, closing: Closing) -> None:
        self.open.remove(entry)
        self.ended[entry.number] = Ended(closing, entry.filled, entry.cancelled, entry.value)

    def reject(self, order: int, user: int, reason: Reason) -> None:
        self.out.append(Rejected(self.number, order, user, reason))

    # New orders

    def new(self, order: NewOrder) -> None:
        reason = self.entry_fault(order)
        if reason is not None:
            self.reject(self.number, order.user, reason)
            return
        self.out.append(Accepted(self.number, order))
        entry = Entry(
            self.number,
            order.user,
            order.side,
            order.type,
            order.time_in_force,
            order.self_trade,
            order.post_only,
            order.price,
            order.stop_price,
            order.display,
            order.expiry,
            order.client_order_id,
            order.quantity,
        )
        self.open.append(entry)
        if entry.type in STOPS:
            return
        if self.state is TradingState.AUCTION:
            self.rest(entry)
        else:
            self.incoming(entry)

    def entry_fault(self, o: NewOrder) -> Reason | None:
        c = self.config
        if self.state is TradingState.CANCEL_ONLY:
            return Reason.MARKET_CANCEL_ONLY
        if self.state is TradingState.HALTED:
            return Reason.MARKET_HALTED
        if self.state is TradingState.CLOSED:
            return Reason.MARKET_CLOSED
        if not 1 <= o.user <= 2**63 - 1:
            return Reason.INVALID_ORDER
        if o.quantity <= 0:
            return Reason.INVALID_QUANTITY
        if o.quantity < c.min_quantity:
            return Reason.QUANTITY_TOO_SMALL
        if o.quantity > c.max_quantity:
            return Reason.QUANTITY_TOO_LARGE
        if o.type in LIMITS and o.price <= 0:
            return Reason.INVALID_PRICE
        if o.type in LIMITS and o.price > c.max_price:
            return Reason.PRICE_TOO_HIGH
        if o.type not in LIMITS and o.price != 0:
            return Reason.INVALID_PRICE
        if o.type in STOPS and not 1 <= o.stop_price <= c.max_price:
            return Reason.INVALID_STOP_PRICE
        if o.type not in STOPS and o.stop_price != 0:
            return Reason.INVALID_STOP_PRICE
        if o.type is OrderType.MARKET and o.time_in_force not in IMMEDIATE:
            return Reason.INVALID_ORDER
        can_rest = o.type in LIMITS and o.time_in_force not in IMMEDIATE
        if o.post_only and not can_rest:
            return Reason.INVALID_ORDER
        if o.display and not can_rest:
            return Reason.INVALID_DISPLAY
        if o.display < 0 or o.display > o.quantity:
            return Reason.INVALID_DISPLAY
        if o.display and o.quantity > 100 * o.display:
            return Reason.INVALID_DISPLAY
        if (o.time_in_force is TimeInForce.GTD) != (o.expiry != 0):
            return Reason.INVALID_EXPIRY
        if o.expiry < 0 or o.expiry > 253402300799999999:
            return Reason.INVALID_EXPIRY
        if o.expiry and o.expiry <= self.time:
            return Reason.EXPIRED
        if o.price and o.price * o.quantity < c.min_notional:
            return Reason.NOTIONAL_TOO_SMALL
        is_stop = o.type in STOPS
        immediate = o.time_in_force in IMMEDIATE
        auction = self.state is TradingState.AUCTION
        if auction and not is_stop and (immediate or o.post_only):
            return Reason.NOT_IN_AUCTION
        mine = [e for e in self.open if e.user == o.user]
        if c.max_open_orders and len(mine) >= c.max_open_orders and (is_stop or not immediate):
            return Reason.TOO_MANY_OPEN_ORDERS
        if is_stop:
            return None
        return self.start_fault(o, o.quantity)

    def start_fault(self, o: NewOrder | Entry, remaining: int) -> Reason | None:
        """What is judged when an order starts to run, at entry or at its trigger."""
        if o.price and self.refuses(o.price):
            return Reason.PRICE_BAND
        if self.state is TradingState.AUCTION:
            return None
        facing = self.opposite(o)
        if o.type in (OrderType.MARKET, OrderType.STOP) and not facing:
            return Reason.NO_LIQUIDITY
        if o.post_only and facing and self.reaches(o, facing[0].price):
            return Reason.WOULD_CROSS
        if o.time_in_force is TimeInForce.FOK and not self.would_fill(o, remaining):
            return Reason.UNFILLABLE
        return None

    def would_fill(self, o: NewOrder | Entry, remaining: int) -> bool:
        """Run the order on copies of what it faces, and see."""
        facing = [replace(e) for e in self.opposite(o)]
        later = 10**12
        while remaining:
            sign = 1 if o.side is Side.BUY else -1
            facing.sort(key=lambda e: (sign * e.price, e.priority))
            if not facing:
                return False
            maker = facing[0]
            if not self.reaches(o, maker.price):
                return False
            if self.kept_apart(o, maker):
                if self.mode(o) is not SelfTrade.CANCEL_OLDEST:
                    return False
                facing.remove(maker)
                continue
            if not self.in_band(maker.price):
                return False
            if maker.user == o.user:
                facing.remove(maker)
                continue
            lots = min(remaining, maker.shown)
            remaining -= lots
            maker.filled += lots
            maker.shown -= lots
            if not maker.remaining:
                facing.remove(maker)
            elif not maker.shown:
                maker.shown = min(maker.display, maker.remaining)
                later += 1
                maker.priority = later
        return True

    def incoming(self, entry: Entry) -> None:
        """Match an order that has passed ``start_fault``, then see what becomes of the rest."""
        stopped = False
        while entry.remaining and entry in self.open:
            facing = self.opposite(entry)
            if not facing or not self.reaches(entry, facing[0].price):
                break
            maker = facing[0]
            if self.kept_apart(entry, maker):
                self.prevent(maker, entry)
            elif not self.in_band(maker.price):
                stopped = True
                break
            else:
                self.trade(maker, entry, entry, maker.price, min(entry.remaining, maker.shown))
                self.after_fill(maker)
        if not entry.remaining:
            if entry in self.open:
                self.end(entry, Closing.FILLED)
        elif stopped:
            self.cancel(entry, Reason.PRICE_BAND)
            if self.config.band_mode is BandMode.HALT:
                self.state = TradingState.HALTED
                self.out.append(StateChanged(self.number, self.state, Reason.PRICE_BAND))
        elif entry.type in (OrderType.MARKET, OrderType.STOP):
            self.cancel(entry, Reason.MARKET_REST)
        elif entry.time_in_force in IMMEDIATE:
            self.cancel(entry, Reason.IMMEDIATE_OR_CANCEL)
        else:
            self.rest(entry)

    def prevent(self, maker: Entry, taker: Entry) -> None:
        mode = self.mode(taker)
        if mode is SelfTrade.DECREMENT:
            lots = min(maker.remaining, taker.remaining)
            self.take_off(maker, lots, Reason.SELF_TRADE)
            self.take_off(taker, lots, Reason.SELF_TRADE)
        if mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
            self.cancel(maker, Reason.SELF_TRADE)
        if mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH):
            self.cancel(taker, Reason.SELF_TRADE)

    def trade(self, one: Entry, other: Entry, taker: Entry, price: int, lots: int) -> None:
        maker = other if taker is one else one
        for entry in (one, other):
            entry.filled += lots
            entry.value += price * lots
            if entry.resting:
                entry.shown -= lots
        self.last = price
        self.out.append(
            Traded(
                maker.number,
                maker.user,
                taker.number,
                taker.user,
                taker.side,
                price,
                lots,
                maker.remaining,
                taker.remaining,
                ceiling_fee(price * lots, self.config.maker_fee),
                ceiling_fee(price * lots, self.config.taker_fee),
            )
        )

    def after_fill(self, entry: Entry) -> None:
        """A resting order has traded: it is gone, or shows its next slice when one is used up."""
        if not entry.remaining:
            self.end(entry, Closing.FILLED)
        elif not entry.shown:
            self.rest(entry)

    # Other commands

    def cancel_one(self, command: CancelOrder) -> None:
        if self.state is TradingState.CLOSED:
            self.reject(command.order, command.user, Reason.MARKET_CLOSED)
            return
        for entry in self.open:
            if entry.number == command.order and command.user in (0, entry.user):
                self.cancel(entry, Reason.USER if command.user else Reason.ADMIN)
                return
        self.reject(command.order, command.user, Reason.UNKNOWN_ORDER)

    def cancel_all(self, command: CancelAll) -> None:
        if self.state is TradingState.CLOSED:
            self.reject(0, command.user, Reason.MARKET_CLOSED)
            return
        reason = command.reason
        if command.user == 0 and reason is Reason.USER:
            reason = Reason.ADMIN
        chosen = [e for e in self.open if command.user in (0, e.user)]
        for entry in sorted(chosen, key=lambda e: e.number):
            self.cancel(entry, reason)
        self.out.append(AllCancelled(self.number, command.user, len(chosen)))

    def amend(self, command: AmendOrder) -> None:
        reason = self.try_amend(command)
        if reason is not None:
            self.reject(command.order, command.user, reason)

    def try_amend(self, a: AmendOrder) -> Reason | None:
        c = self.config
        if self.state is TradingState.HALTED:
            return Reason.MARKET_HALTED
        if self.state is TradingState.CLOSED:
            return Reason.MARKET_CLOSED
        found = [e for e in self.open if e.number == a.order and e.user == a.user]
        if not found:
            return Reason.UNKNOWN_ORDER
        e = found[0]

        def new_value(asked: int, current: int) -> int | None:
            return asked if asked not in (0, current) else None

        quantity = new_value(a.quantity, e.quantity)
        price = new_value(a.price, e.price)
        display = new_value(a.display, e.display)
        stop_price = new_value(a.stop_price, e.stop_price)
        expiry = new_value(a.expiry, e.expiry)
        if [quantity, price, display, stop_price, expiry] == [None] * 5:
            return Reason.NOTHING_TO_AMEND
        total = e.quantity if quantity is None else quantity
        only_quantity = [price, display, stop_price, expiry] == [None] * 4
        keeps = only_quantity and total < e.quantity
        if quantity is not None:
            if quantity <= 0:
                return Reason.INVALID_QUANTITY
            if quantity < c.min_quantity:
                return Reason.QUANTITY_TOO_SMALL
            if quantity > c.max_quantity and not keeps:
                return Reason.QUANTITY_TOO_LARGE
            if quantity - e.filled - e.cancelled <= 0:
                return Reason.QUANTITY_FILLED
        if price is not None:
            if price < 0 or e.type is OrderType.STOP:
                return Reason.INVALID_PRICE
            if price > c.max_price:
                return Reason.PRICE_TOO_HIGH
        if stop_price is not None and (not e.waiting or not 1 <= stop_price <= c.max_price):
            return Reason.INVALID_STOP_PRICE
        if display is not None:
            if e.type is OrderType.STOP or e.time_in_force in IMMEDIATE:
                return Reason.INVALID_DISPLAY
            if display < 0 or display > total or total > 100 * display:
                return Reason.INVALID_DISPLAY
        elif total > e.quantity and (e.display > total or (e.display and total > 100 * e.display)):
            return Reason.INVALID_DISPLAY
        if expiry is not None:
            if e.time_in_force is not TimeInForce.GTD:
                return Reason.INVALID_EXPIRY
            if not 1 <= expiry <= 253402300799999999:
                return Reason.INVALID_EXPIRY
            if expiry <= self.time:
                return Reason.EXPIRED
        limit = e.price if price is None else price
        judged = limit and (quantity is not None or price is not None)
        if judged and limit * total < c.min_notional:
            return Reason.NOTIONAL_TOO_SMALL
        if not keeps:
            if self.state is TradingState.CANCEL_ONLY:
                return Reason.MARKET_CANCEL_ONLY
            if e.resting:
                if self.state is TradingState.AUCTION and e.post_only:
                    return Reason.NOT_IN_AUCTION
                if price is not None and self.refuses(price):
                    return Reason.PRICE_BAND
                facing = self.opposite(e)
                crosses = facing and self.reaches(replace(e, price=limit), facing[0].price)
                if e.post_only and crosses:
                    return Reason.WOULD_CROSS
        e.quantity = total
        e.price = limit
        e.display = e.display if display is None else display
        e.stop_price = e.stop_price if stop_price is None else stop_price
        e.expiry = e.expiry if expiry is None else expiry
        self.out.append(
            Amended(
                self.number,
                e.number,
                e.user,
                e.quantity,
                e.remaining,
                e.price,
                e.display,
                e.stop_price,
                e.expiry,
                keeps,
            )
        )
        if keeps:
            e.shown = min(e.shown, e.remaining)
        elif e.resting:
            e.priority = e.shown = 0
            if self.state is TradingState.RUNNING:
                self.incoming(e)
            else:
                self.rest(e)
        return None

    def configure(self, command: Configure) -> None:
        c = command.config
        most = max([c.max_price, *(e.price for e in self.open)]) * max(
            [c.max_quantity, *(e.quantity for e in self.open)]
        )
        fine = (
            1 <= c.min_quantity <= c.max_quantity <= 10**12
            and c.max_price >= 1
            and most <= 2**62
            and all(e.value + most <= 2**63 - 1 for e in self.open)
            and 0 <= c.min_notional <= c.max_price * c.max_quantity
            and c.self_trade is not SelfTrade.DEFAULT
            and 0 <= c.band <= 100 * BILLION
            and (c.band > 0 or c.band_mode is BandMode.NONE)
            and 0 <= c.reference_price <= c.max_price
            and abs(c.maker_fee) <= BILLION
            and abs(c.taker_fee) <= BILLION
            and 0 <= c.max_open_orders <= 10**9
            and c.rules_version == 1
        )
        if not fine:
            self.reject(0, 0, Reason.INVALID_CONFIGURATION)
            return
        self.config = c
        self.out.append(Configured(self.number, c))

    # States and the auction

    def set_state(self, command: SetState) -> None:
        bids, asks = self.queue(Side.BUY), self.queue(Side.SELL)
        crossed = bids and asks and bids[0].price >= asks[0].price
        if command.state is TradingState.RUNNING:
            if self.state is TradingState.AUCTION:
                self.uncross()
            elif crossed:
                self.reject(0, 0, Reason.BOOK_CROSSED)
                return
        self.state = command.state
        self.out.append(StateChanged(self.number, command.state, command.reason))

    def indicative(self) -> tuple[int, int] | None:
        """Every tick is tried; where they are many, every one at which an order begins or ends to
        count, and the reference."""
        bids, asks = self.queue(Side.BUY), self.queue(Side.SELL)
        if not bids or not asks or bids[0].price < asks[0].price:
            return None
        reference = self.last or self.config.reference_price
        low, high = asks[0].price, bids[0].price
        ticks: Iterable[int] = range(low, high + 1)
        if high - low > 50:
            near = {e.price + step for e in [*bids, *asks] for step in (-1, 0, 1)}
            ticks = sorted(p for p in near | {reference} if low <= p <= high)
        results = []
        for price in ticks:
            buying = sum(e.remaining for e in bids if e.price >= price)
            selling = sum(e.remaining for e in asks if e.price <= price)
            results.append((price, min(buying, selling), buying - selling))
        volume = max(v for _, v, _ in results)
        results = [r for r in results if r[1] == volume]
        least = min(abs(s) for _, _, s in results)
        results = [r for r in results if abs(r[2]) == least]
        prices = [p for p, _, _ in results]
        if all(s > 0 for _, _, s in results):
            return max(prices), volume
        if all(s < 0 for _, _, s in results):
            return min(prices), volume
        if not reference:
            return min(prices), volume
        return min(prices, key=lambda p: (abs(p - reference), p)), volume

    def uncross(self) -> None:
        price, volume = self.indicative() or (0, 0)
        left = volume
        if volume:
            self.fix_band(price)
        while left:
            buy, sell = self.queue(Side.BUY)[0], self.queue(Side.SELL)[0]
            assert buy.price >= price >= sell.price
            lots = min(buy.shown, sell.shown)
            left -= lots
            taker = buy if buy.number > sell.number else sell
            self.trade(buy, sell, taker, price, lots)
            self.after_fill(buy)
            self.after_fill(sell)
        self.out.append(Uncrossed(self.number, price, volume))

    # Stops

    def newly_reached(self) -> list[Entry]:
        if not self.last or self.state is not TradingState.RUNNING:
            return []
        buys = [e for e in self.open if e.waiting and e.side is Side.BUY]
        sells = [e for e in self.open if e.waiting and e.side is Side.SELL]
        buys = [e for e in buys if self.last >= e.stop_price]
        sells = [e for e in sells if self.last <= e.stop_price]
        return sorted(buys, key=lambda e: (e.stop_price, e.number)) + sorted(
            sells, key=lambda e: (-e.stop_price, e.number)
        )

    def look_at_stops(self) -> None:
        queue = self.newly_reached()
        while queue and self.state is TradingState.RUNNING:
            entry = queue.pop(0)
            entry.triggered = True
            self.out.append(Triggered(entry.number, entry.user))
            reason = self.start_fault(entry, entry.remaining)
            if reason is not None:
                self.cancel(entry, reason)
            else:
                self.incoming(entry)
            queue += [e for e in self.newly_reached() if e not in queue]

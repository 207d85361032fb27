"""One market's deterministic state machine."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappush
from itertools import islice

from gomatch.engine.amending import Amendment, judge
from gomatch.engine.auction import equilibrium, uncross
from gomatch.engine.book import Book, Level
from gomatch.engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Configure,
    NewOrder,
    SetState,
)
from gomatch.engine.entry import USER_LIMIT, configuration_fault, order_fault
from gomatch.engine.events import (
    Accepted,
    AllCancelled,
    Amended,
    Cancelled,
    Configured,
    Event,
    Expired,
    Rejected,
    Rested,
    StateChanged,
    Triggered,
    Uncrossed,
)
from gomatch.engine.image import Image, ImageHeader, OrderImage
from gomatch.engine.matching import Band, limit_key, match, obstacle
from gomatch.engine.order import Closing, Order, order_from_image
from gomatch.engine.timers import Expiries, Stops
from gomatch.engine.types import (
    BandMode,
    MarketConfig,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    TradingState,
)

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET, STOP = OrderType.LIMIT, OrderType.MARKET, OrderType.STOP
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
RUNNING, AUCTION = TradingState.RUNNING, TradingState.AUCTION
_CLOSED_TO_ENTRY = {
    TradingState.CANCEL_ONLY: Reason.MARKET_CANCEL_ONLY,
    TradingState.HALTED: Reason.MARKET_HALTED,
    TradingState.CLOSED: Reason.MARKET_CLOSED,
}


@dataclass(slots=True, frozen=True)
class Changes:
    """What changed since the last drain: orders by number, and the lots that a touched price
    displays now (0: the level is gone). Orders rejected at entry are not in it."""

    orders: dict[int, Order]
    bids: dict[int, int]
    asks: dict[int, int]


class Engine:
    """A market's matching core: commands in, events out (docs/matching-rules.md).

    Pure and deterministic: the same commands and times give the same events. Prices are ticks,
    quantities lots, times microseconds since the epoch. After an exception out of ``apply`` or
    ``advance`` other than their ValueErrors the state is undefined: drop the engine and restore.
    """

    __slots__ = (
        "_applied",
        "_band",
        "_book",
        "_config",
        "_expiries",
        "_high",
        "_low",
        "_sequence",
        "_state",
        "_stops",
        "_time",
    )

    def __init__(
        self, config: MarketConfig = MarketConfig(), *, state: TradingState = RUNNING
    ) -> None:
        """A new, empty market. Raises ValueError when ``config`` cannot be used."""
        self._book = Book()
        self._stops = Stops()
        self._expiries = Expiries(self._book.orders)
        self._state = state
        self._time = 0
        self._applied = 0
        self._sequence = 0
        fault = configuration_fault(config)
        if fault is not None:
            raise ValueError(f"invalid market configuration: {fault}")
        self._use(config)

    def _use(self, config: MarketConfig) -> None:
        self._config = config
        self._band = Band(config)
        self._fix_band()

    def _fix_band(self) -> None:
        """Fix the price band, and with it the limit prices that are taken without a doubt."""
        band, config = self._band, self._config
        band.fix(self._book.last_price)
        self._low, self._high = 1, config.max_price
        if config.band_mode is BandMode.REFUSE:
            self._low, self._high = max(1, band.low), min(band.high, config.max_price)

    # Reading

    @property
    def applied(self) -> int:
        """Number of the last command applied; 0 before the first."""
        return self._applied

    @property
    def sequence(self) -> int:
        """Sequence of the last event; 0 before the first."""
        return self._sequence

    @property
    def time(self) -> int:
        return self._time

    @property
    def state(self) -> TradingState:
        return self._state

    @property
    def last_price(self) -> int:
        """Price of the last trade in ticks; 0 before the first."""
        return self._book.last_price

    @property
    def config(self) -> MarketConfig:
        return self._config

    @property
    def open_orders(self) -> int:
        """How many orders are open, waiting stops included."""
        return len(self._book.orders)

    @property
    def next_expiry(self) -> int | None:
        """The earliest expiry of an open order, in microseconds."""
        return self._expiries.next()

    def order(self, number: int) -> OrderImage | None:
        """The open order of that number."""
        order = self._book.orders.get(number)
        return None if order is None else order.image()

    def best(self, side: Side) -> int | None:
        """The best price of ``side`` in ticks."""
        of = self._book.side(side)
        return of.levels[of.heap[0]].price if of.heap else None

    def depth(self, side: Side, limit: int | None = None) -> list[tuple[int, int]]:
        """Price and displayed lots of the best ``limit`` levels (None: all), best first."""
        return [
            (level.price, level.displayed) for level in islice(self._book.side(side).walk(), limit)
        ]

    def indicative(self) -> tuple[int, int] | None:
        """Price and volume at which an Auction would uncross now; None when nothing crosses."""
        if self._state is not AUCTION:
            return None
        return equilibrium(self._book, self._reference())

    def _reference(self) -> int:
        return self._book.last_price or self._config.reference_price

    def header(self) -> ImageHeader:
        book = self._book
        return ImageHeader(
            self._time,
            self._applied,
            self._sequence,
            self._state,
            book.last_price,
            book.next_priority,
            self._config,
        )

    def image(self) -> Image:
        """The whole state; equal states give equal images."""
        return Image(self.header(), [order.image() for order in self._book.orders.values()])

    @classmethod
    def restore(cls, image: Image) -> Engine:
        """The engine that gave ``image``. Raises ValueError when its configuration is invalid."""
        header = image.header
        engine = cls(header.config, state=header.state)
        book = engine._book
        resting: list[Order] = []
        for order_image in image.orders:
            order = order_from_image(order_image)
            book.register(order)
            if order.priority:
                resting.append(order)
            else:
                engine._stops.add(order)
            if order.expiry:
                engine._expiries.add(order)
        resting.sort(key=lambda order: order.priority)
        for order in resting:
            book.side(order.side).append(order)
        book.bids.touched.clear()
        book.asks.touched.clear()
        book.last_price = header.last_price
        book.next_priority = header.next_priority
        engine._time = header.time
        engine._applied = header.applied
        engine._sequence = header.sequence
        engine._fix_band()
        return engine

    def drain(self) -> Changes:
        """What changed since the last drain. The orders are live: read them before the next
        command."""
        book = self._book
        bids, asks = book.bids, book.asks
        changes = Changes(
            book.touched,
            {price: level.displayed for price, level in bids.touched.items()},
            {price: level.displayed for price, level in asks.touched.items()},
        )
        book.touched, bids.touched, asks.touched = {}, {}, {}
        return changes

    # Writing

    def advance(self, time: int, out: list[Event]) -> None:
        """Let the time, which never goes back, be at least ``time`` microseconds: GTD orders
        expire by (expiry, number), in every state."""
        if time <= self._time:
            return
        self._time = time
        while (order := self._expiries.due(time)) is not None:
            out.append(Expired(order.number, order.user, order.remaining))
            self._stops.waiting.pop(order.number, None)
            self._book.close(order, Closing.EXPIRED)
            self._sequence += 1

    def apply(self, number: int, command: Command, out: list[Event]) -> None:
        """Apply the next command; appends at least one event.

        Raises ValueError, and changes nothing, when ``number`` is not ``applied`` + 1.
        """
        if number != self._applied + 1:
            raise ValueError(f"command {number} does not follow {self._applied}")
        self._applied = number
        before = len(out)
        if self._book.last_price != self._band.reference:
            self._fix_band()
        kind = type(command)
        if kind is NewOrder:
            self._enter(number, command, out)  # type: ignore[arg-type]
        elif kind is CancelOrder:
            self._cancel(number, command, out)  # type: ignore[arg-type]
        else:
            self._apply_rarer(number, command, out)
        if self._stops.waiting and self._state is RUNNING:
            self._trigger(number, out)
        self._sequence += len(out) - before

    def skip(self, number: int, command: Command, out: list[Event]) -> None:
        """Apply nothing of a command on which an engine raised, but reject it.

        Raises ValueError, and changes nothing, when ``number`` is not ``applied`` + 1.
        """
        if number != self._applied + 1:
            raise ValueError(f"command {number} does not follow {self._applied}")
        self._applied = number
        self._sequence += 1
        order = number if isinstance(command, NewOrder) else getattr(command, "order", 0)
        out.append(Rejected(number, order, getattr(command, "user", 0), Reason.INTERNAL_ERROR))

    def _apply_rarer(self, number: int, command: Command, out: list[Event]) -> None:
        if isinstance(command, AmendOrder):
            self._amend(number, command, out)
        elif isinstance(command, CancelAll):
            self._cancel_all(number, command, out)
        elif isinstance(command, SetState):
            self._set_state(number, command, out)
        elif isinstance(command, Configure):
            fault = configuration_fault(command.config)
            if fault is not None:
                out.append(Rejected(number, 0, 0, Reason.INVALID_CONFIGURATION))
                return
            self._use(command.config)
            out.append(Configured(number, command.config))
        else:
            raise TypeError(f"not a command: {command!r}")

    def _enter(self, number: int, command: NewOrder, out: list[Event]) -> None:
        config = self._config
        book = self._book
        user = command.user
        quantity = command.quantity
        price = command.price
        kind = command.type
        plain = (
            kind is LIMIT
            and command.time_in_force is GTC
            and self._state is RUNNING
            and self._low <= price <= self._high
            and config.min_quantity <= quantity <= config.max_quantity
            and 0 < user <= USER_LIMIT
            and price * quantity >= config.min_notional
            and not (
                command.post_only
                or command.display
                or command.stop_price
                or command.expiry
                or config.max_open_orders
            )
        )
        if not plain:
            reason = self._refusal(command)
            if reason is not None:
                out.append(Rejected(number, number, user, reason))
                return
        order = Order()
        order.number = number
        order.user = user
        order.side = side = command.side
        order.type = kind
        order.time_in_force = command.time_in_force
        order.self_trade = command.self_trade
        order.post_only = command.post_only
        order.client_order_id = command.client_order_id
        order.price = price
        order.stop_price = command.stop_price
        order.display = command.display
        order.expiry = command.expiry
        order.quantity = order.remaining = quantity
        order.filled = order.value = order.displayed = order.priority = 0
        order.triggered = False
        order.open = True
        order.closing = order.level = order.previous = order.next = None
        out.append(Accepted(number, command))
        if not plain:
            book.touched[number] = order
            if kind >= STOP:
                book.register(order)
                self._stops.add(order)
            elif self._state is RUNNING:
                self._run(order, number, out)
            else:
                book.register(order)
                book.rest(order, out)
            if order.expiry and order.open:
                self._expiries.add(order)
            return
        if side is BUY:
            own, heap, key, limit = book.bids, book.asks.heap, -price, price
        else:
            own, heap, key, limit = book.asks, book.bids.heap, price, -price
        if heap and heap[0] <= limit:
            self._run(order, number, out)
            return
        # The commonest case, a plain order that rests at once: register and rest in line.
        order.displayed = quantity
        order.priority = priority = book.next_priority
        book.next_priority = priority + 1
        level = own.levels.get(key)
        if level is None:
            level = own.levels[key] = Level(key, price)
            heappush(own.heap, key)
        elif level.head is None:
            own.stale -= 1
        order.level = level
        tail = level.tail
        level.tail = order
        if tail is None:
            level.head = order
        else:
            order.previous = tail
            tail.next = order
        level.displayed += quantity
        own.touched[price] = level
        book.orders[number] = book.touched[number] = order
        owned = book.users.get(user)
        if owned is None:
            book.users[user] = {number: order}
        else:
            owned[number] = order
        out.append(Rested(number, user, side, price, quantity, quantity, priority))

    def _refusal(self, command: NewOrder) -> Reason | None:
        """Why a new order is not taken; the first reason in the documented order."""
        reason = _CLOSED_TO_ENTRY.get(self._state) or order_fault(command, self._config, self._time)
        if reason is not None:
            return reason
        waits = command.type >= STOP
        immediate = command.type is MARKET or command.time_in_force in {IOC, FOK}
        if self._state is AUCTION and not waits and (immediate or command.post_only):
            return Reason.NOT_IN_AUCTION
        limit = self._config.max_open_orders
        if limit and (waits or not immediate):
            if len(self._book.users.get(command.user, ())) >= limit:
                return Reason.TOO_MANY_OPEN_ORDERS
        if waits:
            return None
        if self._state is AUCTION:
            inside = self._low <= command.price <= self._high
            return None if inside else Reason.PRICE_BAND
        return obstacle(self._book, command, command.quantity, self._band)

    def _run(self, order: Order, number: int, out: list[Event]) -> None:
        """Match an incoming order, then rest it or cancel what is left."""
        stopped = match(self._book, order, limit_key(order), self._band, number, out)
        if not order.open:
            return
        if stopped:
            self._end(order, number, Reason.PRICE_BAND, out)
            if self._config.band_mode is BandMode.HALT:
                self._state = TradingState.HALTED
                out.append(StateChanged(number, self._state, Reason.PRICE_BAND))
        elif not order.price:
            self._end(order, number, Reason.MARKET_REST, out)
        elif order.time_in_force is IOC:
            self._end(order, number, Reason.IMMEDIATE_OR_CANCEL, out)
        else:
            self._book.register(order)
            self._book.rest(order, out)

    def _end(self, order: Order, number: int, reason: Reason, out: list[Event]) -> None:
        """Cancel all that remains of the order."""
        out.append(Cancelled(number, order.number, order.user, order.remaining, 0, reason))
        self._stops.waiting.pop(order.number, None)
        self._book.close(order, Closing.CANCELLED)

    def _trigger(self, number: int, out: list[Event]) -> None:
        """Run the stops that the last trade reached, and those that they make it reach."""
        stops, book = self._stops, self._book
        if not book.last_price:
            return
        queue = deque(stops.reached(book.last_price))
        while queue:
            order = queue.popleft()
            if self._state is not RUNNING:
                stops.add(order)
                continue
            order.triggered = True
            book.touched[order.number] = order
            out.append(Triggered(order.number, order.user))
            reason = obstacle(book, order, order.remaining, self._band)
            if reason is not None:
                self._end(order, number, reason, out)
                continue
            before = book.last_price
            self._run(order, number, out)
            if book.last_price != before and self._state is RUNNING:
                queue.extend(stops.reached(book.last_price))

    def _cancel(self, number: int, command: CancelOrder, out: list[Event]) -> None:
        user = command.user
        book = self._book
        order = book.orders.get(command.order)
        if self._state is TradingState.CLOSED:
            out.append(Rejected(number, command.order, user, Reason.MARKET_CLOSED))
        elif order is None or (user != order.user and user != 0):
            out.append(Rejected(number, command.order, user, Reason.UNKNOWN_ORDER))
        else:
            self._end(order, number, Reason.USER if user else Reason.ADMIN, out)

    def _cancel_all(self, number: int, command: CancelAll, out: list[Event]) -> None:
        user, reason = command.user, command.reason
        if self._state is TradingState.CLOSED:
            out.append(Rejected(number, 0, user, Reason.MARKET_CLOSED))
            return
        orders = self._book.users.get(user, {}) if user else self._book.orders
        if not user and reason is Reason.USER:
            reason = Reason.ADMIN
        count = len(orders)
        for order in list(orders.values()):
            self._end(order, number, reason, out)
        out.append(AllCancelled(number, user, count))

    def _amend(self, number: int, command: AmendOrder, out: list[Event]) -> None:
        order = self._book.orders.get(command.order)
        reason = _CLOSED_TO_ENTRY.get(self._state)
        if reason is None or reason is Reason.MARKET_CANCEL_ONLY:
            if order is None or order.user != command.user:
                reason = Reason.UNKNOWN_ORDER
            else:
                amendment = judge(order, command, self._config, self._time)
                if isinstance(amendment, Amendment):
                    reason = self._amend_refusal(order, amendment)
                    if reason is None:
                        self._carry_out(order, amendment, number, out)
                        return
                else:
                    reason = amendment
        out.append(Rejected(number, command.order, command.user, reason))

    def _amend_refusal(self, order: Order, amendment: Amendment) -> Reason | None:
        """Why an amend that is sound in itself cannot be done now."""
        if amendment.keeps_priority:
            return None
        if self._state is TradingState.CANCEL_ONLY:
            return Reason.MARKET_CANCEL_ONLY
        if order.waiting:
            return None
        if order.post_only and self._state is AUCTION:
            return Reason.NOT_IN_AUCTION
        price = amendment.price
        if amendment.repriced and not self._low <= price <= self._high:
            return Reason.PRICE_BAND
        if order.post_only:
            opposite = self._book.asks if order.side is BUY else self._book.bids
            if opposite.heap and opposite.heap[0] <= price * opposite.sign:
                return Reason.WOULD_CROSS
        return None

    def _carry_out(self, order: Order, amendment: Amendment, number: int, out: list[Event]) -> None:
        book = self._book
        waiting = order.waiting
        book.touched[order.number] = order
        if waiting:
            order.remaining = amendment.remaining
        elif amendment.keeps_priority and order.level is not None:
            book.side(order.side).reduce(order, order.level, amendment.remaining)
        else:
            book.withdraw(order)
            order.remaining = amendment.remaining
        order.quantity = amendment.quantity
        order.price = amendment.price
        order.display = amendment.display
        if amendment.expiry != order.expiry:
            order.expiry = amendment.expiry
            self._expiries.add(order)
        if amendment.stop_price != order.stop_price:
            order.stop_price = amendment.stop_price
            self._stops.add(order)
        out.append(
            Amended(
                number,
                order.number,
                order.user,
                order.quantity,
                order.remaining,
                order.price,
                order.display,
                order.stop_price,
                order.expiry,
                amendment.keeps_priority,
            )
        )
        if waiting or amendment.keeps_priority:
            return
        if self._state is RUNNING:
            self._run(order, number, out)
        else:
            book.rest(order, out)

    def _set_state(self, number: int, command: SetState, out: list[Event]) -> None:
        if command.state is RUNNING and self._book.crossed:
            if self._state is not AUCTION:
                out.append(Rejected(number, 0, 0, Reason.BOOK_CROSSED))
                return
        if command.state is RUNNING and self._state is AUCTION:
            price, volume = equilibrium(self._book, self._reference()) or (0, 0)
            uncross(self._book, price, volume, self._config, out)
            out.append(Uncrossed(number, price, volume))
        self._state = command.state
        out.append(StateChanged(number, command.state, command.reason))

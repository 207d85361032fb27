"""What each command does to a market."""

from __future__ import annotations

from collections import deque

from gomatch.engine.amending import Amendment, judge
from gomatch.engine.auction import equilibrium, uncross
from gomatch.engine.book import TIDY_MASK, Book
from gomatch.engine.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Configure,
    NewOrder,
    SetState,
)
from gomatch.engine.entry import OPEN_ORDERS_LIMIT, configuration_fault, order_fault
from gomatch.engine.events import (
    Accepted,
    AllCancelled,
    Amended,
    Cancelled,
    Configured,
    Event,
    Expired,
    Rejected,
    StateChanged,
    Triggered,
    Uncrossed,
)
from gomatch.engine.levels import STALE_ALLOWED
from gomatch.engine.matching import limit_key, match, obstacle
from gomatch.engine.members import (
    AUCTION,
    BUY,
    BY_ADMIN,
    BY_IMMEDIATE_OR_CANCEL,
    BY_MARKET_REST,
    BY_USER,
    CANCELLED,
    CLOSED,
    FOK,
    IOC,
    MARKET,
    REFUSE,
    RUNNING,
    STOP,
    UNKNOWN_ORDER,
)
from gomatch.engine.order import TRIGGERED, Closing, Order
from gomatch.engine.timers import UNBOUNDED, Expiries, Stops
from gomatch.engine.types import (
    NOTIONAL_LIMIT,
    RATE_SCALE,
    BandMode,
    MarketConfig,
    Reason,
    TradingState,
)

_NOTHING = (1, 0, 1, 0, 0, 0)
"""Limits that no order keeps."""
_CLOSED_TO_ENTRY = {
    TradingState.CANCEL_ONLY: Reason.MARKET_CANCEL_ONLY,
    TradingState.HALTED: Reason.MARKET_HALTED,
    TradingState.CLOSED: Reason.MARKET_CLOSED,
}


class Market:
    """A market's book, its timers and its rules. ``time`` in microseconds since the epoch.

    Limit prices from ``lowest`` to ``highest`` ticks, both included, are taken at entry.
    """

    __slots__ = (
        "_last",
        "book",
        "config",
        "expiries",
        "highest",
        "limits",
        "lowest",
        "state",
        "stops",
        "time",
    )

    def __init__(self, config: MarketConfig, state: TradingState) -> None:
        """Raises ValueError when ``config`` cannot be used."""
        fault = configuration_fault(config)
        if fault is not None:
            raise ValueError(f"invalid market configuration: {fault}")
        self.book = Book(config)
        self.stops = Stops()
        self.expiries = Expiries(self.book.orders)
        self.state = state
        self.time = 0
        self.use(config)

    @property
    def reference(self) -> int:
        """The price that bands and auctions refer to, in ticks; 0 for none."""
        return self.book.last_price or self.config.reference_price

    def use(self, config: MarketConfig) -> None:
        self.config = self.book.config = config
        self.book.low, self.book.high, self.book.banded = 0, UNBOUNDED, False
        self.lowest, self.highest = 1, config.max_price
        self.fix_band()
        self._set_limits()

    def enter_state(self, state: TradingState) -> None:
        self.state = state
        self._set_limits()

    def _set_limits(self) -> None:
        """Set the lowest and highest price, smallest and largest quantity, least notional and the
        number of the user's orders below which a plain limit order is taken without more
        questions; in ``limits``, which is another tuple whenever one of them changes."""
        config = self.config
        if self.state is not RUNNING:
            self.limits = _NOTHING
            return
        self.limits = (
            self.lowest,
            self.highest,
            config.min_quantity,
            config.max_quantity,
            config.min_notional,
            config.max_open_orders or OPEN_ORDERS_LIMIT,
        )

    def fix_band(self) -> None:
        """Fix the price band for the next command and the stops that it triggers."""
        book, config = self.book, self.config
        self._last = last = book.last_price
        if not config.band_mode:
            return
        reference = last or config.reference_price
        if reference:
            width = reference * config.band // RATE_SCALE
            book.low = reference - width
            book.high = reference + width
            book.banded = True
            if config.band_mode is REFUSE:
                self.lowest = max(1, book.low)
                self.highest = min(book.high, config.max_price)
                self._set_limits()

    def indicative(self) -> tuple[int, int] | None:
        """Price in ticks and volume in lots at which the book would uncross now."""
        return equilibrium(self.book, self.reference)

    def expire(self, time: int, out: list[Event]) -> None:
        """Let GTD orders expire whose expiry is at most ``time``, by (expiry, number)."""
        self.time = time
        while (order := self.expiries.due(time)) is not None:
            out.append(Expired(order.number, order.user, order.remaining))
            self.stops.waiting.pop(order.number, None)
            self.book.close(order, Closing.EXPIRED)

    def handle(self, number: int, command: Command, out: list[Event]) -> None:
        """Carry the command out, with the stops that it triggers. A CancelOrder, which triggers
        none, goes to ``cancel``."""
        kind = type(command)
        if kind is NewOrder:
            self._enter(number, command, out)  # type: ignore[arg-type]
        elif isinstance(command, AmendOrder):
            self._amend(number, command, out)
        elif isinstance(command, CancelAll):
            self._cancel_all(number, command, out)
        elif isinstance(command, SetState):
            self._set_state(number, command, out)
        elif isinstance(command, Configure):
            self._configure(number, command, out)
        else:
            raise TypeError(f"not a command: {command!r}")
        self.finish(number, out)

    def start(self, order: Order, limit: int, number: int, out: list[Event]) -> None:
        """Run a plain limit order that was just accepted and reaches the other side up to the
        key ``limit``, with the stops it triggers."""
        book = self.book
        stopped = match(book, order, limit, number, out)
        if stopped:
            self._leave(order, stopped, number, out)
        elif order.remaining:
            book.rest(order, out)
        last = book.last_price
        if last != self._last:
            stops = self.stops
            if last >= stops.buys_from or last <= stops.sells_from:
                self.finish(number, out)
            elif self.config.band_mode:
                self.fix_band()
            else:
                self._last = last

    def finish(self, number: int, out: list[Event]) -> None:
        """End a command after which stops may be reached."""
        book, stops = self.book, self.stops
        last = book.last_price
        if last >= stops.buys_from or last <= stops.sells_from:
            if last and self.state is RUNNING:
                self._trigger(number, out)
            last = book.last_price
        if last != self._last:
            self.fix_band()

    def run(self, order: Order, number: int, out: list[Event]) -> None:
        """Match an incoming order, then rest it or cancel what is left."""
        stopped = match(self.book, order, limit_key(order.terms), number, out)
        if order.closing is None:
            self._leave(order, stopped, number, out)

    def _leave(self, order: Order, stopped: bool, number: int, out: list[Event]) -> None:
        """Rest or cancel what a match, that the band stopped or not, has left of an order."""
        book, terms = self.book, order.terms
        if stopped:
            self._end(order, number, Reason.PRICE_BAND, out)
            if self.config.band_mode is BandMode.HALT:
                self.enter_state(TradingState.HALTED)
                out.append(StateChanged(number, self.state, Reason.PRICE_BAND))
        elif not terms.price:
            self._end(order, number, BY_MARKET_REST, out)
        elif terms.time_in_force is IOC:
            self._end(order, number, BY_IMMEDIATE_OR_CANCEL, out)
        else:
            book.rest(order, out)

    def cancel(self, number: int, command: CancelOrder, out: list[Event]) -> None:
        """Cancel one order. What follows for the owner's resting order is ``_end``, in line."""
        user, target = command.user, command.order
        book = self.book
        order = book.orders.get(target)
        if order is None or user != order.terms.user or self.state is CLOSED or not order.displayed:
            self._cancel_other(number, command, out)
            return
        terms = order.terms
        remaining, displayed, price = order.remaining, order.displayed, terms.price
        out.append(Cancelled(number, target, user, remaining, 0, BY_USER))
        side = book.bids if terms.side is BUY else book.asks
        side.touched[price] = level = side.levels[price * side.sign]
        level.displayed -= displayed
        level.hidden -= remaining - displayed
        level.gone += 1
        order.cancelled += remaining
        order.displayed = order.remaining = 0
        order.closing = CANCELLED
        if not level.displayed or level.gone > STALE_ALLOWED:
            side.tidy(level)
        del book.orders[target]
        book.users_gone[user] = gone = book.users_gone[user] + 1
        if not gone & TIDY_MASK:
            book.tidy_user(user)
        book.touched[target] = order

    def _cancel_other(self, number: int, command: CancelOrder, out: list[Event]) -> None:
        """Refuse a cancel, or cancel a stop or in the venue's name."""
        user = command.user
        order = self.book.orders.get(command.order)
        if self.state is CLOSED:
            out.append(Rejected(number, command.order, user, Reason.MARKET_CLOSED))
        elif order is None or (user and user != order.terms.user):
            out.append(Rejected(number, command.order, user, UNKNOWN_ORDER))
        else:
            self._end(order, number, BY_USER if user else BY_ADMIN, out)

    def _end(self, order: Order, number: int, reason: Reason, out: list[Event]) -> None:
        """Cancel all that remains of the order."""
        terms = order.terms
        out.append(Cancelled(number, order.number, terms.user, order.remaining, 0, reason))
        if terms.stop_price:
            self.stops.waiting.pop(order.number, None)
        self.book.close(order, CANCELLED)

    def _enter(self, number: int, terms: NewOrder, out: list[Event]) -> None:
        reason = self._refusal(terms)
        if reason is not None:
            out.append(Rejected(number, number, terms.user, reason))
            return
        out.append(Accepted(number, terms))
        book = self.book
        order = book.touched[number] = Order(number, terms, terms.quantity)
        if terms.type >= STOP:
            book.register(order)
            self.stops.add(order)
        elif self.state is RUNNING:
            self.run(order, number, out)
        else:
            book.rest(order, out)
        if terms.expiry and order.closing is None:
            self.expiries.add(order)

    def _refusal(self, terms: NewOrder) -> Reason | None:
        """Why a new order is not taken: the first reason in the documented order."""
        state = self.state
        reason = _CLOSED_TO_ENTRY.get(state) or order_fault(terms, self.config, self.time)
        if reason is not None:
            return reason
        waits = terms.type >= STOP
        immediate = terms.type is MARKET or terms.time_in_force in {IOC, FOK}
        if state is AUCTION and not waits and (immediate or terms.post_only):
            return Reason.NOT_IN_AUCTION
        limit = self.config.max_open_orders
        may_stay = waits or not immediate
        if limit and may_stay and self.book.count(terms.user) >= limit:
            return Reason.TOO_MANY_OPEN_ORDERS
        if waits:
            return None
        if state is AUCTION:
            return None if self.lowest <= terms.price <= self.highest else Reason.PRICE_BAND
        return obstacle(self.book, terms, terms.quantity)

    def _trigger(self, number: int, out: list[Event]) -> None:
        """Run the stops that the last trade reached, and those that they make it reach.

        When one of them halts the market, those behind it go back to waiting.
        """
        stops, book = self.stops, self.book
        queue = deque(stops.reached(book.last_price))
        while queue:
            order = queue.popleft()
            if self.state is not RUNNING:
                stops.add(order)
                continue
            order.priority = TRIGGERED
            out.append(Triggered(order.number, order.terms.user))
            reason = obstacle(book, order.terms, order.remaining)
            if reason is not None:
                self._end(order, number, reason, out)
                continue
            self.run(order, number, out)
            queue.extend(stops.reached(book.last_price))

    def _cancel_all(self, number: int, command: CancelAll, out: list[Event]) -> None:
        user, reason = command.user, command.reason
        if self.state is CLOSED:
            out.append(Rejected(number, 0, user, Reason.MARKET_CLOSED))
            return
        book = self.book
        orders = book.of_user(user) if user else list(book.orders.values())
        if not user and reason is BY_USER:
            reason = BY_ADMIN
        for order in orders:
            self._end(order, number, reason, out)
        out.append(AllCancelled(number, user, len(orders)))

    def _amend(self, number: int, command: AmendOrder, out: list[Event]) -> None:
        amendment = self._amendment(command)
        if isinstance(amendment, Reason):
            out.append(Rejected(number, command.order, command.user, amendment))
            return
        book, terms = self.book, amendment.terms
        order = book.orders[command.order]
        before = order.terms
        waiting = order.waiting
        if waiting:
            order.remaining = amendment.remaining
        elif amendment.keeps_priority:
            book.side(terms.side).reduce(order, amendment.remaining)
        else:
            order = book.move(order)
            order.remaining = amendment.remaining
        order.terms = terms
        book.touched[command.order] = order
        if terms.expiry != before.expiry:
            self.expiries.add(order)
        if terms.stop_price != before.stop_price:
            self.stops.add(order)
        out.append(
            Amended(
                number,
                order.number,
                terms.user,
                terms.quantity,
                order.remaining,
                terms.price,
                terms.display,
                terms.stop_price,
                terms.expiry,
                amendment.keeps_priority,
            )
        )
        if waiting or amendment.keeps_priority:
            return
        if self.state is RUNNING:
            self.run(order, number, out)
        else:
            book.rest(order, out)

    def _amendment(self, command: AmendOrder) -> Amendment | Reason:
        """What the amend does, or why it is refused: the first reason in the documented order."""
        state = self.state
        reason = _CLOSED_TO_ENTRY.get(state)
        if reason is not None and state is not TradingState.CANCEL_ONLY:
            return reason
        order = self.book.orders.get(command.order)
        if order is None or order.terms.user != command.user:
            return UNKNOWN_ORDER
        amendment = judge(order, command, self.config, self.time)
        if isinstance(amendment, Reason) or amendment.keeps_priority:
            return amendment
        if reason is not None:
            return reason
        if order.waiting:
            return amendment
        terms = amendment.terms
        if state is AUCTION and terms.post_only:
            return Reason.NOT_IN_AUCTION
        if amendment.repriced and not self.lowest <= terms.price <= self.highest:
            return Reason.PRICE_BAND
        opposite = self.book.asks if terms.side is BUY else self.book.bids
        if terms.post_only and opposite.heap and opposite.heap[0] <= limit_key(terms):
            return Reason.WOULD_CROSS
        return amendment

    def _set_state(self, number: int, command: SetState, out: list[Event]) -> None:
        if command.state is RUNNING:
            if self.state is AUCTION:
                price, volume = self.indicative() or (0, 0)
                uncross(self.book, price, volume, out)
                self.fix_band()  # by the price before, the first stop would halt the market again
                out.append(Uncrossed(number, price, volume))
            elif self.book.crossed:
                out.append(Rejected(number, 0, 0, Reason.BOOK_CROSSED))
                return
        self.enter_state(command.state)
        out.append(StateChanged(number, command.state, command.reason))

    def _configure(self, number: int, command: Configure, out: list[Event]) -> None:
        config = command.config
        if configuration_fault(config) is not None or not self._fits_open_orders(config):
            out.append(Rejected(number, 0, 0, Reason.INVALID_CONFIGURATION))
            return
        self.use(config)
        out.append(Configured(number, config))

    def _fits_open_orders(self, config: MarketConfig) -> bool:
        """Whether price * quantity stays within NOTIONAL_LIMIT, and the value of every order within
        64 bits, under the valid ``config``. Only another limit makes this look at the orders."""
        price, quantity = config.max_price, config.max_quantity
        if (price, quantity) == (self.config.max_price, self.config.max_quantity):
            return True
        highest, largest, traded = self.book.extremes()
        most = max(price, highest) * max(quantity, largest)
        return most <= NOTIONAL_LIMIT and traded + most < 2 * NOTIONAL_LIMIT

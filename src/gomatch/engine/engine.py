"""One market's deterministic state machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from gomatch.engine.commands import CancelOrder, Command, NewOrder
from gomatch.engine.events import Accepted, Event, Rejected, Rested
from gomatch.engine.image import Image, ImageHeader, OrderImage
from gomatch.engine.market import Market
from gomatch.engine.members import AUCTION, BUY, GTC, LIMIT, RUNNING
from gomatch.engine.order import Order, restore_order
from gomatch.engine.types import MarketConfig, Reason, Side, TradingState

_DEFAULT_CONFIG = MarketConfig()


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
    quantities lots, times microseconds since the epoch. When anything but a documented
    ValueError comes out of a method that writes, the state is undefined: drop the engine and
    restore another.
    """

    __slots__ = ("_applied", "_market", "_sequence")

    def __init__(
        self, config: MarketConfig = _DEFAULT_CONFIG, *, state: TradingState = RUNNING
    ) -> None:
        """A new, empty market. Raises ValueError when ``config`` cannot be used."""
        self._market = Market(config, state)
        self._applied = 0
        self._sequence = 0

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
        """The latest time given to ``advance``, in microseconds since the epoch."""
        return self._market.time

    @property
    def state(self) -> TradingState:
        return self._market.state

    @property
    def last_price(self) -> int:
        """Price of the last trade in ticks; 0 before the first."""
        return self._market.book.last_price

    @property
    def config(self) -> MarketConfig:
        return self._market.config

    @property
    def open_orders(self) -> int:
        """How many orders are open, waiting stops included."""
        return len(self._market.book.orders)

    @property
    def next_expiry(self) -> int | None:
        """The earliest expiry of an open order, in microseconds; None when none expires."""
        return self._market.expiries.next()

    def order(self, number: int) -> OrderImage | None:
        """The open order of that number."""
        order = self._market.book.orders.get(number)
        return None if order is None else order.image()

    def best(self, side: Side) -> int | None:
        """The best price of ``side`` in ticks."""
        of = self._market.book.side(side)
        return of.levels[of.heap[0]].price if of.heap else None

    def depth(self, side: Side, limit: int | None = None) -> list[tuple[int, int]]:
        """Price and displayed lots of the best ``limit`` levels (None: all), best first."""
        levels = islice(self._market.book.side(side).walk(), limit)
        return [(level.price, level.displayed) for level in levels]

    def indicative(self) -> tuple[int, int] | None:
        """Price and volume at which an Auction would uncross now; None when nothing crosses."""
        return self._market.indicative() if self._market.state is AUCTION else None

    def header(self) -> ImageHeader:
        market = self._market
        return ImageHeader(
            market.time,
            self._applied,
            self._sequence,
            market.state,
            market.book.last_price,
            market.book.next_priority,
            market.config,
        )

    def image(self) -> Image:
        """The whole state; equal states give equal images."""
        orders = self._market.book.orders
        return Image(self.header(), [order.image() for order in orders.values()])

    @classmethod
    def restore(cls, image: Image) -> Engine:
        """The engine that gave ``image``. Raises ValueError when its configuration is invalid."""
        header = image.header
        engine = cls(header.config, state=header.state)
        engine._applied = header.applied
        engine._sequence = header.sequence
        market = engine._market
        book = market.book
        orders = [restore_order(order) for order in image.orders]
        for order in orders:
            book.register(order)
            if order.waiting:
                market.stops.add(order)
            if order.terms.expiry:
                market.expiries.add(order)
        for order in sorted(orders, key=lambda order: order.priority):
            if order.displayed:
                book.side(order.terms.side).append(order)
        book.bids.touched.clear()
        book.asks.touched.clear()
        book.last_price = header.last_price
        book.next_priority = header.next_priority
        market.time = header.time
        market.fix_band()
        return engine

    def drain(self) -> Changes:
        """What changed since the last drain. The orders are live: read them before the next
        command."""
        book = self._market.book
        bids, asks = book.bids, book.asks
        changes = Changes(
            book.touched,
            {price: level.displayed for price, level in bids.touched.items()},
            {price: level.displayed for price, level in asks.touched.items()},
        )
        book.touched, bids.touched, asks.touched = {}, {}, {}
        return changes

    def advance(self, time: int, out: list[Event]) -> None:
        """Let the time, which never goes back, be at least ``time`` microseconds: GTD orders
        expire by (expiry, number), in every state."""
        if time > self._market.time:
            before = len(out)
            self._market.expire(time, out)
            self._sequence += len(out) - before

    def apply(self, number: int, command: Command, out: list[Event]) -> None:
        """Apply the next command; appends at least one event.

        Raises ValueError, and changes nothing, when ``number`` is not ``applied`` + 1.
        """
        self.apply_batch(number, (command,), out)

    def skip(self, number: int, command: Command, out: list[Event]) -> None:
        """Apply nothing of a command on which an engine raised, but reject it.

        Raises ValueError, and changes nothing, when ``number`` is not ``applied`` + 1.
        """
        self._expect(number)
        self._applied = number
        self._sequence += 1
        order = number if isinstance(command, NewOrder) else getattr(command, "order", 0)
        out.append(Rejected(number, order, getattr(command, "user", 0), Reason.INTERNAL_ERROR))

    def _expect(self, number: int) -> None:
        if number != self._applied + 1:
            raise ValueError(f"command {number} does not follow {self._applied}")

    def apply_batch(self, first: int, commands: Sequence[Command], out: list[Event]) -> None:
        """Apply consecutive commands, the first of them with the number ``first``.

        Raises ValueError, and changes nothing, when ``first`` is not ``applied`` + 1.

        Most commands are plain limit orders that rest at once. The loop below recognises them
        by as few steps as it can and rests them in line; ``Market.handle`` does everything else,
        and would do the same with these.
        """
        self._expect(first)
        before = len(out)
        market = self._market
        book = market.book
        orders, users, touched = book.orders, book.users, book.touched
        bids, asks = book.bids, book.asks
        bid_heap, bid_levels, touched_bids = bids.heap, bids.levels, bids.touched
        ask_heap, ask_levels, touched_asks = asks.heap, asks.levels, asks.touched
        limits = market.limits
        lowest, highest, smallest, largest, least, most = limits
        priority = book.next_priority
        for number, command in enumerate(commands, first):
            if type(command) is NewOrder:
                price = command.price
                quantity = command.quantity
                user = command.user
                owned = users.get(user)
                if (
                    command.type is not LIMIT
                    or command.time_in_force is not GTC
                    or price < lowest
                    or price > highest
                    or quantity < smallest
                    or quantity > largest
                    or command.display
                    or command.post_only
                    or command.stop_price
                    or command.expiry
                    or owned is None
                    or len(owned) >= most
                    or price * quantity < least
                ):
                    book.next_priority = priority
                    market.handle(number, command, out)
                    priority = book.next_priority
                    if market.limits is not limits:
                        limits = market.limits
                        lowest, highest, smallest, largest, least, most = limits
                    continue
                out.append(Accepted(number, command))
                side = command.side
                if side is BUY:
                    if ask_heap and ask_heap[0] <= price:
                        book.next_priority = priority
                        market.start(Order(number, command, quantity), price, number, out)
                        priority = book.next_priority
                        if market.limits is not limits:
                            limits = market.limits
                            lowest, highest, smallest, largest, least, most = limits
                        continue
                    level = bid_levels.get(-price)
                    if level is None or not level.displayed:
                        level = bids.open_level(price)
                    touched_bids[price] = level
                else:
                    if bid_heap and bid_heap[0] <= -price:
                        book.next_priority = priority
                        market.start(Order(number, command, quantity), -price, number, out)
                        priority = book.next_priority
                        if market.limits is not limits:
                            limits = market.limits
                            lowest, highest, smallest, largest, least, most = limits
                        continue
                    level = ask_levels.get(price)
                    if level is None or not level.displayed:
                        level = asks.open_level(price)
                    touched_asks[price] = level
                order = Order(number, command, quantity, quantity, priority)
                touched[number] = orders[number] = order
                owned.append(number)
                level.queue.append(order)
                level.displayed += quantity
                out.append(Rested(number, user, side, price, quantity, quantity, priority))
                priority += 1
            elif type(command) is CancelOrder:
                market.cancel(number, command, out)
            else:
                book.next_priority = priority
                market.handle(number, command, out)
                priority = book.next_priority
                if market.limits is not limits:
                    limits = market.limits
                    lowest, highest, smallest, largest, least, most = limits
        book.next_priority = priority
        self._applied = first + len(commands) - 1
        self._sequence += len(out) - before

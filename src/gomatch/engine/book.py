"""The book: price levels of both sides, orders by number and by user, and what changed.

A side keeps its levels in a dict and their keys in a binary heap, best first. A level that
empties stays in both until it comes to the top or until more than half of the heap is empty, so
adding, removing and reviving a level cost O(log levels) at most, amortised. Within a level the
orders form a doubly linked list.

A key is the price on the ask side and the negated price on the bid side: on both sides a smaller
key is the better price, and an order may trade with a level when level.key <= its limit key.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from gomatch.engine.events import Event, Rested
from gomatch.engine.order import Closing, Order
from gomatch.engine.types import Side

WALK_BY_HEAP = 64
"""Levels that a walk takes off a second heap before it sorts the rest."""
STALE_ALLOWED = 64
"""Empty levels that a side may keep before it looks at their share."""


class Level:
    """The orders that rest at one price, in time priority; quantities in lots."""

    __slots__ = ("displayed", "head", "hidden", "key", "price", "tail")

    def __init__(self, key: int, price: int) -> None:
        self.key = key
        self.price = price
        self.head: Order | None = None
        self.tail: Order | None = None
        self.displayed = 0
        self.hidden = 0

    def __iter__(self) -> Iterator[Order]:
        order = self.head
        while order is not None:
            yield order
            order = order.next


class BookSide:
    """One side's levels. The top of ``heap`` is never an empty level."""

    __slots__ = ("heap", "levels", "sign", "stale", "touched")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.heap: list[int] = []
        self.levels: dict[int, Level] = {}
        self.stale = 0
        self.touched: dict[int, Level] = {}

    def append(self, order: Order) -> None:
        """Put the order, whose ``displayed`` is set, at the end of its price's level."""
        key = order.price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(key, order.price)
            heappush(self.heap, key)
        elif level.head is None:
            self.stale -= 1
        order.level = level
        tail = level.tail
        level.tail = order
        if tail is None:
            level.head = order
        else:
            order.previous = tail
            tail.next = order
        level.displayed += order.displayed
        level.hidden += order.remaining - order.displayed
        self.touched[level.price] = level

    def remove(self, order: Order, level: Level) -> None:
        """Take the order out of ``level``, its level."""
        self.unlink(order, level)
        if level.head is None:
            self.emptied(level)

    def unlink(self, order: Order, level: Level) -> None:
        """As ``remove``, but leaves it to the caller to call ``emptied``."""
        previous = order.previous
        following = order.next
        if previous is None:
            level.head = following
        else:
            previous.next = following
            order.previous = None
        if following is None:
            level.tail = previous
        else:
            following.previous = previous
            order.next = None
        order.level = None
        level.displayed -= order.displayed
        level.hidden -= order.remaining - order.displayed
        self.touched[level.price] = level

    def reduce(self, order: Order, level: Level, remaining: int) -> None:
        """Leave the resting order with ``remaining`` lots, hidden ones gone first."""
        displayed = min(order.displayed, remaining)
        level.displayed -= order.displayed - displayed
        level.hidden -= (order.remaining - order.displayed) - (remaining - displayed)
        order.remaining = remaining
        order.displayed = displayed
        self.touched[level.price] = level

    def emptied(self, level: Level) -> None:
        """Called once when the last order has left ``level``."""
        heap, levels = self.heap, self.levels
        if heap[0] == level.key:
            del levels[heappop(heap)]
            while heap and levels[heap[0]].head is None:
                del levels[heappop(heap)]
                self.stale -= 1
            return
        self.stale += 1
        if self.stale > STALE_ALLOWED and self.stale * 2 > len(heap):
            self.levels = {key: kept for key, kept in levels.items() if kept.head is not None}
            heap[:] = self.levels
            heapify(heap)
            self.stale = 0

    def walk(self) -> Iterator[Level]:
        """The levels, best first, leaving the heap as it is."""
        heap, levels = self.heap, self.levels
        size = len(heap)
        if not size:
            return
        frontier = [(heap[0], 0)]
        for _ in range(min(size, WALK_BY_HEAP)):
            key, position = heappop(frontier)
            level = levels[key]
            if level.head is not None:
                yield level
            for child in (2 * position + 1, 2 * position + 2):
                if child < size:
                    heappush(frontier, (heap[child], child))
        if size > WALK_BY_HEAP:
            for last in sorted(last for last in heap if last > key):
                level = levels[last]
                if level.head is not None:
                    yield level

    def crossing(self, limit: int) -> list[Level]:
        """The levels whose key is at most ``limit``, best first."""
        if not self.heap or self.heap[0] > limit:
            return []
        found = [
            level for key, level in self.levels.items() if key <= limit and level.head is not None
        ]
        found.sort(key=lambda level: level.key)
        return found


class Book:
    """Both sides and all open orders, waiting stops included."""

    __slots__ = ("asks", "bids", "last_price", "next_priority", "orders", "touched", "users")

    def __init__(self) -> None:
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        self.orders: dict[int, Order] = {}
        """Open orders in rising order of their numbers."""
        self.users: dict[int, dict[int, Order]] = {}
        """The same by user; a user without an open order is not in it."""
        self.touched: dict[int, Order] = {}
        self.next_priority = 1
        self.last_price = 0

    def side(self, side: Side) -> BookSide:
        return self.bids if side is Side.BUY else self.asks

    @property
    def crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        bids, asks = self.bids.heap, self.asks.heap
        return bool(bids and asks and -bids[0] >= asks[0])

    def register(self, order: Order) -> None:
        """Count the order among the open ones; registering it again changes nothing."""
        self.orders[order.number] = order
        owned = self.users.get(order.user)
        if owned is None:
            self.users[order.user] = {order.number: order}
        else:
            owned[order.number] = order

    def rest(self, order: Order, out: list[Event]) -> None:
        """Show the order, or its next slice, at the end of its level with a new priority."""
        remaining = order.remaining
        order.displayed = displayed = min(order.display or remaining, remaining)
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        self.side(order.side).append(order)
        self.touched[order.number] = order
        out.append(
            Rested(
                order.number,
                order.user,
                order.side,
                order.price,
                displayed,
                remaining,
                priority,
            )
        )

    def refill(self, order: Order, level: Level, out: list[Event]) -> None:
        """Show the next slice of the first order of ``level``, whose last one is used up."""
        remaining = order.remaining
        order.displayed = displayed = min(order.display, remaining)
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        level.displayed += displayed
        level.hidden -= displayed
        following, tail = order.next, level.tail
        if following is not None and tail is not None:
            level.head = following
            following.previous = None
            tail.next = order
            order.previous = tail
            order.next = None
            level.tail = order
        out.append(
            Rested(
                order.number,
                order.user,
                order.side,
                order.price,
                displayed,
                remaining,
                priority,
            )
        )

    def withdraw(self, order: Order) -> None:
        """Take the order off its level, if it rests; it stays registered."""
        level = order.level
        if level is not None:
            self.side(order.side).remove(order, level)
            order.displayed = 0

    def close(self, order: Order, closing: Closing) -> None:
        """End the order, wherever it is. Its ``remaining`` becomes 0."""
        self.withdraw(order)
        number, user = order.number, order.user
        if self.orders.pop(number, None) is not None:
            owned = self.users[user]
            del owned[number]
            if not owned:
                del self.users[user]
        order.remaining = 0
        order.open = False
        order.closing = closing
        self.touched[number] = order

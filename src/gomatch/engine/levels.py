"""Price levels.

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

from gomatch.engine.order import Order

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

    def rotate(self) -> None:
        """Put the first order last."""
        first, last = self.head, self.tail
        if first is None or last is None or first is last:
            return
        self.head = second = first.next
        if second is not None:
            second.previous = None
        last.next = first
        first.previous = last
        first.next = None
        self.tail = first


class BookSide:
    """One side's levels. The top of ``heap`` is never an empty level."""

    __slots__ = ("heap", "levels", "sign", "stale", "touched")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.heap: list[int] = []
        self.levels: dict[int, Level] = {}
        self.stale = 0
        self.touched: dict[int, Level] = {}
        """Levels that changed since the last drain, by price."""

    def append(self, order: Order) -> None:
        """Put the order, whose ``displayed`` is set, at the end of its price's level."""
        price = order.terms.price
        key = price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(key, price)
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
        self.touched[price] = level

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
            for key in [key for key in heap if levels[key].head is None]:
                del levels[key]
            heap[:] = levels
            heapify(heap)
            self.stale = 0

    def walk(self) -> Iterator[Level]:
        """The levels, best first, leaving the heap as it is."""
        heap, levels = self.heap, self.levels
        size = len(heap)
        if not size:
            return
        frontier = [(heap[0], 0)]
        key = heap[0]
        for _ in range(min(size, WALK_BY_HEAP)):
            key, position = heappop(frontier)
            level = levels[key]
            if level.head is not None:
                yield level
            for child in (2 * position + 1, 2 * position + 2):
                if child < size:
                    heappush(frontier, (heap[child], child))
        if size > WALK_BY_HEAP:
            for further in sorted(other for other in heap if other > key):
                level = levels[further]
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

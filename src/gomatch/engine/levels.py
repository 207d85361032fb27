"""Price levels.

A side keeps its levels in a dict and their keys in a binary heap, best first. A level is empty
when it displays nothing. One that empties stays in the heap until it comes to the top and in the
dict after that, so that it is quickly there again; what is empty is dropped once it is the
larger part. So opening and emptying a level cost O(log levels) at most, amortised.

A key is the price on the ask side and the negated price on the bid side: on both sides a smaller
key is the better price, and an order may trade with a level when level.key <= its limit key.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import islice

from gomatch.engine.order import Order

WALK_BY_HEAP = 64
"""Levels that a walk takes off a second heap before it sorts the rest."""
STALE_ALLOWED = 64
"""Empty levels in a side, or orders gone from a level, that are kept before their share counts."""


class Level:
    """The orders that rest at one price, in time priority; quantities in lots.

    The orders are ``queue[head:]`` without those that display nothing: an order that leaves from
    the middle is only marked by that. ``gone`` counts such marks; they are dropped when the head
    comes to them or when they are the larger part, so every order is skipped at most once.
    """

    __slots__ = ("displayed", "gone", "head", "hidden", "key", "listed", "price", "queue")

    def __init__(self, key: int, price: int) -> None:
        self.key = key
        self.price = price
        self.displayed = 0
        self.hidden = 0
        self.queue: list[Order] = []
        self.head = 0
        self.gone = 0
        self.listed = False
        """Whether its key is in the heap."""

    def __iter__(self) -> Iterator[Order]:
        return (order for order in islice(self.queue, self.head, None) if order.displayed)

    def front(self) -> Order:
        """The first order of a level that is not empty."""
        order = self.queue[self.head]
        while not order.displayed:
            self.head += 1
            self.gone -= 1
            order = self.queue[self.head]
        return order

    def pass_front(self) -> None:
        """Leave the first order behind, which was filled or shows its next slice at the end."""
        self.head += 1
        self.tidy()

    def tidy(self) -> None:
        """Drop what lies before the head once it is the larger part."""
        head = self.head
        if head > STALE_ALLOWED and head * 2 > len(self.queue):
            del self.queue[:head]
            self.head = 0


class BookSide:
    """One side's levels. The top of ``heap`` is never an empty level."""

    __slots__ = ("heap", "levels", "most", "sign", "stale", "touched")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.heap: list[int] = []
        self.levels: dict[int, Level] = {}
        self.stale = 0
        """Empty levels in the heap."""
        self.most = STALE_ALLOWED
        """Levels beyond which the empty ones are dropped before another is added."""
        self.touched: dict[int, Level] = {}
        """Levels that changed since the last drain, by price."""

    def open_level(self, price: int) -> Level:
        """The empty level at ``price``, in which the caller is about to place an order."""
        key = price * self.sign
        level = self.levels.get(key)
        if level is None:
            if len(self.levels) > self.most:
                self._drop_empty()
            level = self.levels[key] = Level(key, price)
        if level.listed:
            self.stale -= 1
        else:
            level.listed = True
            heappush(self.heap, key)
        return level

    def append(self, order: Order) -> None:
        """Put the order, whose ``displayed`` is set, at the end of its price's level."""
        price = order.terms.price
        level = self.levels.get(price * self.sign)
        if level is None or not level.displayed:
            level = self.open_level(price)
        displayed = order.displayed
        level.queue.append(order)
        level.displayed += displayed
        level.hidden += order.remaining - displayed
        self.touched[price] = level

    def level_of(self, order: Order) -> Level:
        """The level on which the order rests."""
        return self.levels[order.terms.price * self.sign]

    def remove(self, order: Order) -> None:
        """Take the resting order out of its level; it displays nothing afterwards."""
        price = order.terms.price
        level = self.levels[price * self.sign]
        displayed = order.displayed
        level.displayed -= displayed
        level.hidden -= order.remaining - displayed
        order.displayed = 0
        self.touched[price] = level
        level.gone += 1
        self.tidy(level)

    def tidy(self, level: Level) -> None:
        """Called after an order has left ``level`` from anywhere."""
        if not level.displayed:
            self.emptied(level)
        elif level.gone > STALE_ALLOWED and level.gone * 2 > len(level.queue) - level.head:
            level.queue = list(level)
            level.head = level.gone = 0

    def reduce(self, order: Order, remaining: int) -> None:
        """Leave the resting order with ``remaining`` lots, hidden ones gone first."""
        level = self.level_of(order)
        displayed = min(order.displayed, remaining)
        level.displayed -= order.displayed - displayed
        level.hidden -= (order.remaining - order.displayed) - (remaining - displayed)
        order.remaining = remaining
        order.displayed = displayed
        self.touched[level.price] = level

    def emptied(self, level: Level) -> None:
        """Called once when the last order has left ``level``."""
        level.queue.clear()
        level.head = level.gone = 0
        heap, levels = self.heap, self.levels
        if heap[0] != level.key:
            self.stale += 1
            if self.stale > STALE_ALLOWED and self.stale * 2 > len(heap):
                self._drop_empty()
        else:
            level.listed = False
            heappop(heap)
            while heap and not (top := levels[heap[0]]).displayed:
                top.listed = False
                heappop(heap)
                self.stale -= 1

    def _drop_empty(self) -> None:
        heap, levels = self.heap, self.levels
        for key in [key for key, level in levels.items() if not level.displayed]:
            del levels[key]
        heap[:] = levels
        heapify(heap)
        self.stale = 0
        self.most = 2 * len(levels) + STALE_ALLOWED

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
            if level.displayed:
                yield level
            for child in (2 * position + 1, 2 * position + 2):
                if child < size:
                    heappush(frontier, (heap[child], child))
        if size > WALK_BY_HEAP:
            for further in sorted(other for other in heap if other > key):
                level = levels[further]
                if level.displayed:
                    yield level

    def crossing(self, limit: int) -> list[Level]:
        """The levels whose key is at most ``limit``, best first."""
        found = [level for key, level in self.levels.items() if key <= limit and level.displayed]
        found.sort(key=lambda level: level.key)
        return found

"""Orders that wait for something else than a counterpart: stops for a price, GTD for a time.

Both are heaps with lazy deletion: an entry counts only while its order is still there with the
same value, and a heap that is mostly stale is rebuilt.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from gomatch.engine.members import BUY
from gomatch.engine.order import Order

UNBOUNDED = 1 << 63
"""A price beyond every price."""
STALE_ALLOWED = 64
"""Stale entries that a heap may hold before it looks at their share."""


class Stops:
    """Stops that wait for their price. Keys: stop price for buys, its negative for sells.

    No waiting buy is reached below ``buys_from`` ticks and no waiting sell above ``sells_from``.
    """

    __slots__ = ("_buys", "_sells", "buys_from", "sells_from", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Order] = {}
        self._buys: list[tuple[int, int]] = []
        self._sells: list[tuple[int, int]] = []
        self.buys_from = UNBOUNDED
        self.sells_from = 0

    def add(self, order: Order) -> None:
        """Let the order wait for its stop price; also after that price was amended."""
        self.waiting[order.number] = order
        if order.terms.side is BUY:
            self._push(self._buys, (order.terms.stop_price, order.number), 1)
        else:
            self._push(self._sells, (-order.terms.stop_price, order.number), -1)
        self._note_tops()

    def reached(self, last_price: int) -> list[Order]:
        """Take out the stops that ``last_price`` reaches: buys by rising stop price, then sells
        by falling stop price, equal ones by number."""
        found: list[Order] = []
        self._take(self._buys, last_price, 1, found)
        self._take(self._sells, -last_price, -1, found)
        self._note_tops()
        return found

    def _note_tops(self) -> None:
        self.buys_from = self._buys[0][0] if self._buys else UNBOUNDED
        self.sells_from = -self._sells[0][0] if self._sells else 0

    def _take(self, heap: list[tuple[int, int]], limit: int, sign: int, found: list[Order]) -> None:
        waiting = self.waiting
        while heap and heap[0][0] <= limit:
            key, number = heappop(heap)
            order = waiting.get(number)
            if order is not None and order.terms.stop_price * sign == key:
                del waiting[number]
                found.append(order)

    def _push(self, heap: list[tuple[int, int]], entry: tuple[int, int], sign: int) -> None:
        waiting = self.waiting
        if len(heap) > 2 * len(waiting) + STALE_ALLOWED:
            heap[:] = {
                (key, number)
                for key, number in heap
                if number in waiting and waiting[number].terms.stop_price * sign == key
            }
            heapify(heap)
        heappush(heap, entry)


class Expiries:
    """Open GTD orders by (expiry, number)."""

    __slots__ = ("_heap", "_orders")

    def __init__(self, orders: dict[int, Order]) -> None:
        self._orders = orders
        self._heap: list[tuple[int, int]] = []

    def add(self, order: Order) -> None:
        """Remember the order's expiry; also after it was amended."""
        heap = self._heap
        if len(heap) > 2 * len(self._orders) + STALE_ALLOWED:
            heap[:] = {entry for entry in heap if self._valid(entry)}
            heapify(heap)
        heappush(heap, (order.terms.expiry, order.number))

    def next(self) -> int | None:
        """The earliest expiry of an open order, in microseconds."""
        heap = self._heap
        while heap:
            if self._valid(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def due(self, time: int) -> Order | None:
        """Take out the next order whose expiry is at most ``time``."""
        expiry = self.next()
        if expiry is None or expiry > time:
            return None
        return self._orders[heappop(self._heap)[1]]

    def _valid(self, entry: tuple[int, int]) -> bool:
        order = self._orders.get(entry[1])
        return order is not None and order.terms.expiry == entry[0]

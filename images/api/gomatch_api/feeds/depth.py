"""The displayed book of one market: levels by price, the best of each side at hand."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gomatch.engine import Side


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """``bids`` and ``asks`` are (price in ticks, displayed lots), best first, as of
    ``sequence``."""

    sequence: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class BookSide:
    """Price to displayed lots. The best price comes from a heap whose dead entries are skipped,
    so that neither a change nor the best costs more for a book of many levels."""

    __slots__ = ("_heap", "_sign", "_sorted", "levels")

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self.levels: dict[int, int] = {}
        self._heap: list[int] = []
        self._sorted: list[int] | None = []

    def load(self, levels: Mapping[int, int]) -> None:
        self.levels = dict(levels)
        self._rebuild()

    def apply(self, changed: Mapping[int, int]) -> None:
        """Take over displayed lots; 0 removes the level."""
        levels, heap, sign = self.levels, self._heap, self._sign
        for price, displayed in changed.items():
            if displayed:
                if price not in levels:
                    heapq.heappush(heap, sign * price)
                    self._sorted = None
                levels[price] = displayed
            elif levels.pop(price, None) is not None:
                self._sorted = None
        if len(heap) > 2 * len(levels) + 1_000:
            self._rebuild()

    def best(self) -> tuple[int, int] | None:
        heap = self._heap
        while heap:
            price = heap[0] * self._sign
            displayed = self.levels.get(price)
            if displayed is not None:
                return price, displayed
            heapq.heappop(heap)
        return None

    def top(self, limit: int | None) -> list[tuple[int, int]]:
        """The best ``limit`` levels, all of them for None."""
        levels = self.levels
        prices: Iterable[int]
        if self._sorted is not None:
            prices = self._sorted[:limit]
        elif limit is not None and limit * 4 < len(levels):
            choose = heapq.nlargest if self._sign < 0 else heapq.nsmallest
            prices = choose(limit, levels)
        else:
            self._sorted = sorted(levels, reverse=self._sign < 0)
            prices = self._sorted[:limit]
        return [(price, levels[price]) for price in prices]

    def _rebuild(self) -> None:
        self._heap = [self._sign * price for price in self.levels]
        heapq.heapify(self._heap)
        self._sorted = None


class DepthBook:
    """``changed`` is the sequence of the last batch that changed a level: depth messages are a
    chain of such sequences. ``through`` is how far the levels are known to be right."""

    def __init__(self) -> None:
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        self.changed = 0
        self.through = 0

    def load(self, sequence: int, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        self.bids.load(bids)
        self.asks.load(asks)
        self.changed = self.through = sequence

    def apply(self, sequence: int, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """Take over the changes of a batch that ends at ``sequence``."""
        self.through = sequence
        if bids or asks:
            self.bids.apply(bids)
            self.asks.apply(asks)
            self.changed = sequence

    def snapshot(self, limit: int | None) -> DepthSnapshot:
        return DepthSnapshot(self.through, self.bids.top(limit), self.asks.top(limit))

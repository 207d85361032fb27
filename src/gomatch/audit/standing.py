"""Who stands first: the displayed orders of one side by price, then time."""

from __future__ import annotations

from heapq import heappop, heappush

from gomatch.engine import Side

Place = tuple[int, int, int]
"""(price key, priority, order number): the smaller stands first."""


class Standing:
    """A heap and the places that still count; what left its place is dropped when it comes up."""

    __slots__ = ("_heap", "_places", "_sign")

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self._heap: list[Place] = []
        self._places: dict[int, Place] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def add(self, number: int, price: int, priority: int) -> None:
        """``price`` in ticks. An order stands in one place: an older one counts no more."""
        place = (price * self._sign, priority, number)
        self._places[number] = place
        heappush(self._heap, place)

    def remove(self, number: int) -> None:
        """Nothing happens when it does not stand here."""
        self._places.pop(number, None)

    def first(self) -> int | None:
        """The number of the order that stands before all others."""
        heap, places = self._heap, self._places
        while heap:
            place = heap[0]
            if places.get(place[2]) == place:
                return place[2]
            heappop(heap)
        return None

    def best(self) -> int | None:
        """The best price in ticks."""
        return None if self.first() is None else self._heap[0][0] * self._sign

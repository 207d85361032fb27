"""Token buckets: commands a second, with a burst."""

from __future__ import annotations


class TokenBucket:
    """``rate`` commands a second, ``capacity`` at once. The caller passes the time (seconds of
    any steady clock). A batch larger than the capacity passes when the bucket is full, and its
    excess is owed."""

    __slots__ = ("_capacity", "_rate", "_time", "_tokens")

    def __init__(self, *, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, capacity)
        self._tokens = self._capacity
        self._time = now

    def take(self, count: int, now: float) -> float:
        """0.0 when ``count`` commands may pass; otherwise the seconds after which they may."""
        self._tokens = min(self._capacity, self._tokens + (now - self._time) * self._rate)
        self._time = now
        missing = min(float(count), self._capacity) - self._tokens
        if missing <= 0:
            self._tokens -= count
            return 0.0
        return missing / self._rate

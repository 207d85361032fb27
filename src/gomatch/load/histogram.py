"""A latency histogram of fixed size: logarithmic buckets of 1 % width, from 1 µs to 1,000 s."""

from __future__ import annotations

import math

import msgspec

_RATIO = 1.01
_LOG_RATIO = math.log(_RATIO)
_LIMIT = 1_000_000_000
_BUCKETS = int(math.log(_LIMIT) / _LOG_RATIO) + 2


class LatencySummary(msgspec.Struct, frozen=True):
    """Times in milliseconds; all 0 when ``count`` is 0."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    maximum: float


class LatencyHistogram:
    """Recording costs well under a microsecond and memory never grows. Quantiles are at most one
    bucket (1 %) above the true value; the maximum is exact."""

    __slots__ = ("_buckets", "_maximum", "_total", "count")

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0
        self._maximum = 0.0
        self._buckets = [0] * _BUCKETS

    def record(self, seconds: float, *, times: int = 1) -> None:
        microseconds = seconds * 1e6
        if microseconds <= 1:
            bucket = 0
        else:
            bucket = min(int(math.log(microseconds) / _LOG_RATIO) + 1, _BUCKETS - 1)
        self._buckets[bucket] += times
        self.count += times
        self._total += seconds * times
        self._maximum = max(self._maximum, seconds)

    def quantile(self, share: float) -> float:
        """The latency in seconds that ``share`` (0 to 1) of the values do not exceed; 0 when
        nothing was recorded."""
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if seen >= wanted:
                return min(_RATIO**bucket * 1e-6, self._maximum)
        return self._maximum

    def summary(self) -> LatencySummary:
        def milliseconds(seconds: float) -> float:
            return round(seconds * 1e3, 3)

        return LatencySummary(
            count=self.count,
            mean=milliseconds(self._total / self.count if self.count else 0.0),
            p50=milliseconds(self.quantile(0.5)),
            p90=milliseconds(self.quantile(0.9)),
            p99=milliseconds(self.quantile(0.99)),
            p999=milliseconds(self.quantile(0.999)),
            maximum=milliseconds(self._maximum),
        )

"""The metric families of one registry, shared by all who count into it."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Families:
    """A family is made when it is first asked for and is the same from then on, so that several
    markets in one process have one family with a label. Names carry their unit."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}

    def counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        """Prometheus shows it as ``name`` with ``_total``."""
        if name not in self._counters:
            self._counters[name] = Counter(name, text, labels, registry=self._registry)
        return self._counters[name]

    def gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, text, labels, registry=self._registry)
        return self._gauges[name]

    def histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        if name not in self._histograms:
            self._histograms[name] = Histogram(
                name, text, labels, registry=self._registry, buckets=buckets
            )
        return self._histograms[name]

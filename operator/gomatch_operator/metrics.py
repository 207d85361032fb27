"""The operator's own metrics; docs/metrics.md lists them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class OperatorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._reconciles = Counter(
            "gomatch_operator_reconciles",
            "Reconciles by result: done, incomplete (something is tried again) or failed.",
            ["result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "gomatch_operator_reconcile_seconds",
            "Time of one reconcile of one Market.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter(
            "gomatch_operator_errors",
            "Errors met, by their code.",
            ["code"],
            registry=registry,
        )
        self.drift = Counter(
            "gomatch_operator_drift_repaired",
            "What somebody deleted or changed and was restored, by kind.",
            ["kind"],
            registry=registry,
        )
        self.calls = Counter(
            "gomatch_operator_api_calls",
            "Calls to the API server, by verb.",
            ["verb"],
            registry=registry,
        )
        self.leading = Gauge(
            "gomatch_operator_leading",
            "1 while this process is the active operator.",
            registry=registry,
        )
        self.markets = Gauge(
            "gomatch_operator_markets",
            "Markets by the status of their condition Ready.",
            ["ready"],
            registry=registry,
        )
        self._length = Gauge(
            "gomatch_operator_queue_length",
            "Markets that wait to be reconciled.",
            registry=registry,
        )
        self._oldest = Gauge(
            "gomatch_operator_queue_oldest_seconds",
            "How long the first of them has waited.",
            registry=registry,
        )
        self.refused = Counter(
            "gomatch_operator_queue_refused",
            "Markets that found the queue full; a later sweep brings them again.",
            registry=registry,
        )

    def watch_queue(self, *, length: Callable[[], int], oldest: Callable[[], float]) -> None:
        self._length.set_function(length)
        self._oldest.set_function(oldest)

    def reconciled(self, result: str, seconds: float) -> None:
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

"""The transport's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from gomatch.transport.hooks import TransportHooks

_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_KINDS = {
    "content type": "content type",
    "header": "header",
    "market": "market",
    "malformed": "malformed",
    "unknown version": "unknown version",
    "bytes": "size",
    "commands under numbers": "count",
    "its numbers": "numbers",
    "its commands": "commands",
}
"""What is counted for a reason that begins so, after a number at its beginning."""


def prometheus_hooks(registry: CollectorRegistry) -> TransportHooks:
    """Hooks that count into ``registry``, under names that begin with ``gomatch_transport_``."""
    published = Histogram(
        "gomatch_transport_publish_seconds",
        "Time until the broker confirmed a batch.",
        ["market"],
        registry=registry,
        buckets=_SECONDS,
    )
    failed = Counter(
        "gomatch_transport_publish_failures",
        "Batches that the broker did not confirm; matchers read them from PostgreSQL.",
        ["market", "reason"],
        registry=registry,
    )
    reconnects = Counter(
        "gomatch_transport_reconnects",
        "Connections to the broker made again after one was lost.",
        registry=registry,
    )
    connect_failures = Counter(
        "gomatch_transport_connect_failures",
        "Attempts to connect to the broker that failed.",
        registry=registry,
    )
    dead_letters = Counter(
        "gomatch_transport_dead_letters",
        "Messages put aside because they cannot be a market's commands.",
        ["market", "reason"],
        registry=registry,
    )
    redeclared = Counter(
        "gomatch_transport_redeclared_queues",
        "Queues or exchanges that were missing and were made again.",
        ["market"],
        registry=registry,
    )
    return TransportHooks(
        published=lambda market, seconds: published.labels(market).observe(seconds),
        publish_failed=lambda market, reason: failed.labels(market, reason).inc(),
        reconnected=reconnects.inc,
        connect_failed=connect_failures.inc,
        dead_lettered=lambda market, reason: dead_letters.labels(market, _kind(reason)).inc(),
        redeclared=lambda market: redeclared.labels(market).inc(),
    )


def _kind(reason: str) -> str:
    """A label of few values: what garbage says must not make new time series."""
    text = reason.lstrip("0123456789 ")
    return next((kind for begin, kind in _KINDS.items() if text.startswith(begin)), "other")

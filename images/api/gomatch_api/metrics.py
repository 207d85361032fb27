"""The API's metrics; docs/metrics.md describes each."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class ApiMetrics:
    """One object for each registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.commands = Counter(
            "gomatch_api_commands",
            "Commands in, by result: `accepted`, `duplicate`, or the code of the problem.",
            ["result"],
            registry=self.registry,
        )
        self.requests = Histogram(
            "gomatch_api_request_seconds",
            "Time from a request's headers to its answer, by route and status class.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "gomatch_api_step_seconds",
            "Time of one step: validate (parse and transform one request), wait (for the accept "
            "before), accept (the transaction), publish (until the broker confirms a batch), "
            "notify (apply one message of results and hand it to its listeners), result (the "
            "wait of `?wait=result`).",
            ["step"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.accept_size = Histogram(
            "gomatch_api_accept_commands",
            "Commands in one accepting transaction.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "gomatch_api_waiting_commands",
            "Commands that wait to be accepted.",
            registry=self.registry,
        )
        self.publishing = Gauge(
            "gomatch_api_publishing_batches",
            "Batches that wait for the broker's confirmation.",
            registry=self.registry,
        )
        self.publish_failures = Counter(
            "gomatch_api_publish_failures",
            "Batches that did not reach the broker, by reason; matchers read them from PostgreSQL.",
            ["reason"],
            registry=self.registry,
        )
        self.rate_limited = Counter(
            "gomatch_api_rate_limited_commands",
            "Commands refused by a key's rate limit.",
            registry=self.registry,
        )
        self.database_errors = Counter(
            "gomatch_api_database_errors",
            "Failed calls of PostgreSQL, by operation.",
            ["operation"],
            registry=self.registry,
        )
        self.database_available = Gauge(
            "gomatch_api_database_available",
            "0 from a failure of PostgreSQL until it answers a probe.",
            registry=self.registry,
        )
        self.problems = Counter(
            "gomatch_api_problems",
            "Problem documents sent, by code.",
            ["code"],
            registry=self.registry,
        )
        self.unexpected_errors = Counter(
            "gomatch_api_unexpected_errors",
            "Exceptions that nobody expected, answered as internal_error.",
            registry=self.registry,
        )

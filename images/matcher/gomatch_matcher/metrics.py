"""The matcher's Prometheus metrics, in a registry that its program owns."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class MatcherMetrics:
    """Every metric carries the label ``market``; this object is bound to one market."""

    def __init__(self, registry: CollectorRegistry, market: str) -> None:
        self.registry = registry
        self.market = market
        self.step_seconds = Histogram(
            "gomatch_matcher_step_seconds",
            "Time of one step for a batch: take, match, commit, cache, ack.",
            ["market", "step"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.batch_commands = self._histogram(
            "gomatch_matcher_batch_commands", "Commands in one committed batch.", _COUNTS
        )
        self.commands = self._counter("gomatch_matcher_commands", "Commands applied.")
        self.events = self._counter("gomatch_matcher_events", "Events journaled.")
        self.trades = self._counter("gomatch_matcher_trades", "Trades.")
        self.duplicates = self._counter(
            "gomatch_matcher_duplicate_commands", "Commands dropped because they were applied."
        )
        self.from_store = self._counter(
            "gomatch_matcher_commands_read_from_store",
            "Commands read from PostgreSQL instead of the queue.",
        )
        self.refused_messages = self._counter(
            "gomatch_matcher_refused_messages",
            "Messages that cannot be decoded or are not what was accepted; dead-lettered.",
        )
        self.engine_faults = self._counter(
            "gomatch_matcher_engine_faults", "Commands on which the engine raised."
        )
        self.reloads = self._counter(
            "gomatch_matcher_reloads", "Times the engine was dropped and loaded again."
        )
        self.fenced = self._counter(
            "gomatch_matcher_fenced", "Times this process found another leader."
        )
        self.cache_failures = self._counter(
            "gomatch_matcher_cache_failures", "Failed writes of the Redis mirror."
        )
        self.cache_rebuilds = self._counter(
            "gomatch_matcher_cache_rebuilds", "Rebuilds of the Redis mirror."
        )
        self.images = self._counter("gomatch_matcher_images", "Images written.")
        self.image_failures = self._counter("gomatch_matcher_image_failures", "Images not written.")
        self.applied = self._gauge("gomatch_matcher_applied", "Number of the last command applied.")
        self.accepted = self._gauge(
            "gomatch_matcher_accepted", "Number of the last command accepted, as last seen."
        )
        self.sequence = self._gauge("gomatch_matcher_sequence", "Sequence of the last event.")
        self.epoch = self._gauge("gomatch_matcher_epoch", "Epoch of the current term, 0 if none.")
        self.leader = self._gauge("gomatch_matcher_leader", "1 while this process leads.")
        self.open_orders = self._gauge(
            "gomatch_matcher_open_orders", "Open orders, stops included."
        )
        self.state = self._gauge(
            "gomatch_matcher_trading_state",
            "1 Running, 2 Auction, 3 CancelOnly, 4 Halted, 5 Closed.",
        )
        self.oldest_seconds = self._gauge(
            "gomatch_matcher_command_age_seconds",
            "Age of the oldest command of the last batch when it was committed.",
        )
        self.images_refused = self._counter(
            "gomatch_matcher_images_refused", "Images that recoveries found unusable."
        )
        self._recoveries = Counter(
            "gomatch_matcher_recoveries",
            "Times the book was loaded, by source: redis, image or genesis.",
            ["market", "source"],
            registry=registry,
        )
        self._recovery_seconds = self._gauge(
            "gomatch_matcher_recovery_seconds", "Duration of the last recovery."
        )
        self.callback_connected = self._gauge(
            "gomatch_matcher_callback_replicas", "API replicas that receive results."
        )
        self.callback_dropped = self._counter(
            "gomatch_matcher_callback_drops", "Replica streams dropped because they lagged."
        )

    def recovered(self, source: str, seconds: float) -> None:
        self._recoveries.labels(self.market, source).inc()
        self._recovery_seconds.set(seconds)

    def step(self, name: str) -> Histogram:
        """The histogram of one step."""
        return self.step_seconds.labels(self.market, name)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["market"], registry=self.registry).labels(self.market)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["market"], registry=self.registry).labels(self.market)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ["market"], registry=self.registry, buckets=buckets).labels(
            self.market
        )

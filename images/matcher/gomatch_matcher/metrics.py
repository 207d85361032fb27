"""The matcher's Prometheus metrics; docs/metrics.md describes each."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gomatch.engine import TradingState
from gomatch.observability.families import Families
from gomatch_matcher.progress import Progress

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class MatcherMetrics:
    """Every metric carries the label ``market``; this object is bound to one market. Several
    markets of one process share the ``families``; a registry gets families of its own."""

    def __init__(self, families: Families | CollectorRegistry, market: str) -> None:
        if isinstance(families, CollectorRegistry):
            families = Families(families)
        self._families = families
        self.market = market
        self.progress = Progress()
        self._step_seconds = families.histogram(
            "gomatch_matcher_step_seconds",
            "Time of one step for a batch: take (until commands came), match, commit, cache, "
            "callback (from the commit until it was handed to one API replica), ack.",
            ["market", "step"],
            _SECONDS,
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
        self.leader = self._gauge("gomatch_matcher_leader", "1 while this process leads.")
        self.epoch = self._gauge("gomatch_matcher_epoch", "Epoch of the lease; 0 without it.")
        progress = self.progress
        self._gauge(
            "gomatch_matcher_accepted",
            "Number of the last command accepted, as seen within about a second; 0 unless leading.",
        ).set_function(lambda: progress.accepted)
        self._gauge(
            "gomatch_matcher_applied", "Number of the last command applied; 0 unless leading."
        ).set_function(lambda: progress.applied)
        self._gauge(
            "gomatch_matcher_oldest_command_age_seconds",
            "Age of the oldest command that is accepted and not applied; 0 without one.",
        ).set_function(progress.oldest_seconds)
        self.queue_batches = self._gauge(
            "gomatch_matcher_queue_batches",
            "Batches that wait in the market's queue, without those delivered; NaN while the "
            "broker cannot say.",
        )
        self.sequence = self._gauge(
            "gomatch_matcher_sequence", "Sequence of the last event; 0 unless leading."
        )
        self.open_orders = self._gauge(
            "gomatch_matcher_open_orders", "Open orders, stops included; 0 unless leading."
        )
        self.state = self._gauge(
            "gomatch_matcher_trading_state",
            "1 Running, 2 Auction, 3 CancelOnly, 4 Halted, 5 Closed; 0 unless leading.",
        )
        self.command_age = self._histogram(
            "gomatch_matcher_command_age_seconds",
            "Time from acceptance to commit of the oldest command of a batch.",
            _SECONDS,
        )
        self.images_refused = self._counter(
            "gomatch_matcher_images_refused", "Images that recoveries found unusable."
        )
        self._recoveries = families.counter(
            "gomatch_matcher_recoveries",
            "Times the book was loaded, by source: redis, image or genesis.",
            ["market", "source"],
        )
        self._recovery_seconds = self._gauge(
            "gomatch_matcher_recovery_seconds", "Duration of the last recovery."
        )
        self.callback_connected = self._gauge(
            "gomatch_matcher_callback_replicas", "API replicas that receive results."
        )
        self._callback_drops = self._reasoned(
            "gomatch_matcher_callback_drops",
            "Streams to API replicas that were up and ended, by reason; `overflow`, `unanswered` "
            "and `timeout` are replicas that were too slow.",
        )
        self._callback_connect_failures = self._reasoned(
            "gomatch_matcher_callback_connect_failures",
            "Attempts to open a stream to an API replica that failed, by reason.",
        )
        self.callback_resumed = self._counter(
            "gomatch_matcher_callback_resumed_events",
            "Events that API replicas had missed and were sent from the journal.",
        )
        self.callback_sent = self._counter(
            "gomatch_matcher_callback_sent_bytes", "Bytes sent to all API replicas."
        )

    def recovered(self, source: str, seconds: float) -> None:
        self._recoveries.labels(self.market, source).inc()
        self._recovery_seconds.set(seconds)

    def step(self, name: str) -> Histogram:
        """The histogram of one step."""
        return self._step_seconds.labels(self.market, name)

    def callback_dropped(self, reason: str) -> None:
        self._callback_drops.labels(self.market, reason).inc()

    def callback_refused(self, reason: str) -> None:
        self._callback_connect_failures.labels(self.market, reason).inc()

    def begin_term(
        self, *, accepted: int, applied: int, sequence: int, open_orders: int, state: TradingState
    ) -> None:
        """This process leads, from there."""
        self.progress.begin(accepted=accepted, applied=applied)
        self.sequence.set(sequence)
        self.open_orders.set(open_orders)
        self.state.set(state)
        self.leader.set(1)

    def end_term(self) -> None:
        """It leads no more, and says nothing about the market any longer."""
        self.progress.end()
        for gauge in (
            self.leader,
            self.sequence,
            self.open_orders,
            self.state,
            self.queue_batches,
        ):
            gauge.set(0)

    def _counter(self, name: str, text: str) -> Counter:
        return self._families.counter(name, text, ["market"]).labels(self.market)

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._families.gauge(name, text, ["market"]).labels(self.market)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return self._families.histogram(name, text, ["market"], buckets).labels(self.market)

    def _reasoned(self, name: str, text: str) -> Counter:
        return self._families.counter(name, text, ["market", "reason"])

"""What a load run saw. Only the event loop's thread writes here."""

from __future__ import annotations

import time
from collections import Counter

import msgspec

from gomatch.load.histogram import LatencyHistogram, LatencySummary


class LoadReport(msgspec.Struct, frozen=True):
    """Times in seconds, latencies in milliseconds. ``orders`` counts commands of every kind (new,
    cancel, amend); ``acknowledged`` those that the venue accepted. ``client_cpu`` is the CPU time
    of this process, the generator. ``late`` is from when a request was due until it was sent, a
    part of the latencies: the generator's own delay, or the wait while all lanes are busy."""

    seconds: float
    orders: int
    acknowledged: int
    orders_per_second: float
    requests: int
    refused: dict[str, int]
    failed_requests: dict[str, int]
    skipped: dict[str, int]
    private_messages: int
    private_events: int
    public_messages: int
    stream_gaps: int
    reconnects: int
    client_cpu: float
    acknowledgement: LatencySummary
    fill: LatencySummary
    late: LatencySummary


class Statistics:
    """``sent``, ``acknowledged`` and ``refused`` count commands; ``failed`` counts requests that
    got no answer of the venue's, by cause."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Begin to measure anew, as after a warm-up."""
        self.sent = 0
        self.acknowledged = 0
        self.requests = 0
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.private_messages = 0
        self.private_events = 0
        self.public_messages = 0
        self.stream_gaps = 0
        self.reconnects = 0
        self.acknowledgement = LatencyHistogram()
        self.fill = LatencyHistogram()
        self.late = LatencyHistogram()
        self._began = time.perf_counter()
        self._cpu = time.process_time()
        self._ended = 0.0
        self._cpu_ended = 0.0

    def finish(self) -> None:
        """Sending ends now: what is still seen afterwards takes no time."""
        self._ended = time.perf_counter()
        self._cpu_ended = time.process_time()

    @property
    def rate(self) -> float:
        """Commands acknowledged a second since the last reset."""
        return self.acknowledged / max(time.perf_counter() - self._began, 1e-9)

    def report(self) -> LoadReport:
        """Everything since the last reset, until ``finish`` or, before it, until now."""
        seconds = (self._ended or time.perf_counter()) - self._began
        return LoadReport(
            seconds=round(seconds, 3),
            orders=self.sent,
            acknowledged=self.acknowledged,
            orders_per_second=round(self.acknowledged / seconds, 1),
            requests=self.requests,
            refused=dict(self.refused),
            failed_requests=dict(self.failed),
            skipped=dict(self.skipped),
            private_messages=self.private_messages,
            private_events=self.private_events,
            public_messages=self.public_messages,
            stream_gaps=self.stream_gaps,
            reconnects=self.reconnects,
            client_cpu=round((self._cpu_ended or time.process_time()) - self._cpu, 3),
            acknowledgement=self.acknowledgement.summary(),
            fill=self.fill.summary(),
            late=self.late.summary(),
        )

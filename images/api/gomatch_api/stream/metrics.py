"""Metrics of the stream and the feeds, in the API's registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class StreamMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(
            "gomatch_api_stream_connections", "WebSocket connections.", registry=registry
        )
        self.subscriptions = Gauge(
            "gomatch_api_stream_subscriptions",
            "Subscriptions, by channel.",
            ["channel"],
            registry=registry,
        )
        self.received = Counter(
            "gomatch_api_stream_received_messages",
            "WebSocket messages from clients.",
            registry=registry,
        )
        self.sent = Counter(
            "gomatch_api_stream_sent_messages", "WebSocket messages to clients.", registry=registry
        )
        self.closed = Counter(
            "gomatch_api_stream_closed",
            "WebSocket connections that the server closed, by code; slow_reader are drops.",
            ["code"],
            registry=registry,
        )
        self.conflated = Counter(
            "gomatch_api_stream_conflations",
            "Depth changes merged into one that was waiting for a slow reader.",
            registry=registry,
        )
        self.replayed = Counter(
            "gomatch_api_stream_replayed_events",
            "Events of the journal walked for resumed private streams.",
            registry=registry,
        )
        self.resyncs = Counter(
            "gomatch_api_stream_resyncs",
            "Private streams that were too far behind to resume.",
            registry=registry,
        )
        self.disconnect_cancels = Counter(
            "gomatch_api_disconnect_cancels",
            "Sessions whose orders were cancelled because they disconnected.",
            registry=registry,
        )
        self.disconnect_failures = Counter(
            "gomatch_api_disconnect_failures",
            "Renewals and sweeps of cancel-on-disconnect that failed.",
            registry=registry,
        )
        self.callback_bytes = Counter(
            "gomatch_api_callback_received_bytes",
            "Bytes of results from matchers, by market.",
            ["market"],
            registry=registry,
        )
        self.callback_ended = Counter(
            "gomatch_api_callback_streams_ended",
            "Streams of matchers that ended, by reason.",
            ["reason"],
            registry=registry,
        )

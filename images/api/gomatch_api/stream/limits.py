"""What one connection may do, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Times are seconds. ``requests`` is how many requests of order entry one connection may have
    in flight: beyond, it is not read until one is answered."""

    buffer: int = 2_000
    buffer_bytes: int = 33_554_432
    messages_per_second: float = 200.0
    heartbeat: float = 5.0
    replay_events: int = 500_000
    requests: int = 64
    subscriptions: int = 500
    connections: int = 10_000
    connections_per_user: int = 200
    errors: int = 10
    """Messages in ten seconds that cannot be read, after which the connection is closed."""
    write_timeout: float = 10.0
    close_timeout: float = 5.0
    drain_timeout: float = 4.0
    """How long requests in flight may take when the connection ends."""
    replays: int = 4

    @classmethod
    def of(cls, settings: Settings) -> StreamLimits:
        return cls(
            buffer=settings.stream_buffer,
            messages_per_second=settings.stream_messages_per_second,
            heartbeat=settings.stream_heartbeat,
            replay_events=settings.replay_events,
        )

"""What a Market wants at RabbitMQ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredQueue:
    symbol: str
    max_length: int
    """Batches that may wait; 0 is no limit and no policy."""

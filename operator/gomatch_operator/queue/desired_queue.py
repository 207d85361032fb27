"""What a Market needs at the broker, and the length that most queues have."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.transport.rabbitmq import topology
from gomatch_operator.market import Queue

USUAL_LENGTH = Queue().max_length
"""Batches. One policy gives it to every market's queue; only other lengths need one of their own,
as each policy costs the broker time for every queue (docs/adr/0010)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredQueue:
    symbol: str
    max_length: int
    """Batches that may wait; then publishing fails. 0 is no limit."""

    @property
    def name(self) -> str:
        return topology.queue_name(self.symbol)

    @property
    def usual(self) -> bool:
        """The shared policy is enough."""
        return self.max_length == USUAL_LENGTH

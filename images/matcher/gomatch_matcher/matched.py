"""Values that pass through the matcher's pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gomatch.engine import Command, Reason
from gomatch.messages.applied import AppliedBatch
from gomatch.observability.tracing import join
from gomatch.store.records import OrderRow, OrderUpdateRow, TradeRow
from gomatch.transport import Delivery

Place = tuple[int, int, int]
"""(side, price in ticks, priority) of an order in the book."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive commands that were accepted together."""

    first: int
    commands: Sequence[Command]
    accepted_at: int
    trace: str = ""
    source: Delivery | None = None
    """The message that brought them; None when they were read from PostgreSQL."""

    @property
    def last(self) -> int:
        return self.first + len(self.commands) - 1


@dataclass(frozen=True, slots=True)
class Taken:
    """Contiguous commands to apply next, possibly none; ``delivery`` is acknowledged once they
    are committed (None when they came from PostgreSQL)."""

    segments: Sequence[Segment]
    delivery: Delivery | None = None

    @property
    def count(self) -> int:
        return sum(len(segment.commands) for segment in self.segments)

    @property
    def trace(self) -> str:
        return join(segment.trace for segment in self.segments)


@dataclass(slots=True)
class MirrorDelta:
    """What one batch changes in Redis: packed open orders and their places; None when the order
    is closed, or not in the book."""

    orders: dict[int, bytes | None] = field(default_factory=dict)
    places: dict[int, Place | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedBatch:
    """A batch that is matched and waits for its commit; nothing of it may leave before."""

    first_number: int
    previous_sequence: int
    previous_chain: bytes
    chain: bytes
    rules_version: int
    header: bytes
    applied: AppliedBatch
    new_orders: list[OrderRow]
    order_updates: list[OrderUpdateRow]
    trades: list[TradeRow]
    state_reason: Reason | None
    mirror: MirrorDelta
    skipped: tuple[int, ...]
    oldest_accepted_at: int
    delivery: Delivery | None
    sources: Sequence[Delivery] = ()
    """The messages whose commands are in it; the commit compares them with what was accepted."""

    @property
    def count(self) -> int:
        return self.applied.applied - self.first_number + 1


@dataclass(frozen=True, slots=True)
class MirrorState:
    """The committed book, as packed orders and places, at one sequence."""

    sequence: int
    chain: bytes
    header: bytes
    orders: Mapping[int, bytes]
    places: Mapping[int, Place]

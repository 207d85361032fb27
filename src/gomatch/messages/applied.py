"""One applied and committed batch, as the matcher hands it to its subscribers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gomatch.engine import Event, TradingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The market after a batch; the indicative pair is 0, 0 outside an auction."""

    state: TradingState
    last_price: int
    indicative_price: int = 0
    indicative_volume: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBatch:
    """``events`` have the sequences first_sequence and following; ``packed`` is their compact
    form. ``bids`` and ``asks`` hold the changed levels: displayed lots now, 0 when gone.
    ``trace`` is as in a CommandBatch."""

    epoch: int
    first_sequence: int
    last_sequence: int
    applied: int
    time: int
    events: Sequence[Event]
    packed: bytes
    bids: Mapping[int, int]
    asks: Mapping[int, int]
    summary: Summary
    trace: str = ""

"""The commands by which somebody asks for a trading state."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.engine import CancelAll, Command, Reason, SetState, TradingState

EVERYBODY = 0


def state_commands(state: TradingState, reason: Reason = Reason.REQUESTED) -> Sequence[Command]:
    """In their order. Nothing can be cancelled in a closed market, so everybody's orders are
    cancelled before it closes."""
    change = SetState(state, reason)
    return [CancelAll(EVERYBODY), change] if state is TradingState.CLOSED else [change]

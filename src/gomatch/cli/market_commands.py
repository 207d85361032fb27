"""Numbered commands of a market, entered by the command line, and what became of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

import asyncpg

from gomatch.engine import Reason, Rejected, TradingState
from gomatch.messages.codec import pack_commands, unpack_events
from gomatch.messages.trading_state import state_commands
from gomatch.store import (
    Acceptance,
    Intake,
    Journal,
    MarketRecord,
    Markets,
    state_backlog_limit,
)

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """``pending``: durable and in its place, but no matcher has come to it yet."""

    command: int
    status: Literal["applied", "rejected", "pending"]
    reason: str | None = None


async def enter_state(
    pool: asyncpg.Pool, record: MarketRecord, state: TradingState, *, backlog_limit: int
) -> Acceptance:
    """Ask for a trading state; the last of what is accepted does it. ``backlog_limit`` (commands)
    keeps out only what lets the market match again.

    Raises BacklogFull, StoreUnavailable."""
    commands = state_commands(state, Reason.MANUAL)
    return await Intake(pool).accept(
        record.market_id,
        bodies=pack_commands(commands),
        count=len(commands),
        backlog_limit=state_backlog_limit(state, backlog_limit),
    )


async def outcome(
    pool: asyncpg.Pool, record: MarketRecord, command: int, *, seconds: float
) -> Outcome:
    """Wait at most ``seconds`` until the command is applied. Raises StoreUnavailable."""
    deadline = time.monotonic() + seconds
    while True:
        head = await Markets(pool).head(record.symbol)
        if head is not None and head.applied >= command:
            reason = await _refusal(pool, record, command)
            return Outcome(command, "rejected" if reason else "applied", reason)
        if time.monotonic() >= deadline:
            return Outcome(command, "pending")
        await asyncio.sleep(_POLL_SECONDS)


async def _refusal(pool: asyncpg.Pool, record: MarketRecord, command: int) -> str | None:
    rows = await Journal(pool).rows_after_number(record.market_id, command - 1, limit_rows=1)
    for row in rows:
        for event in unpack_events(row.events):
            if isinstance(event, Rejected) and event.number == command:
                return str(event.reason)
    return None

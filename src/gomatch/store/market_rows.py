"""A market's rows, inside a transaction of whoever makes or redefines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gomatch.engine import Command, Configure, TradingState
from gomatch.errors import DefinitionChanged, IdentityMismatch
from gomatch.messages.codec import pack_commands
from gomatch.messages.market import MarketDefinition
from gomatch.store.records import Acceptance, MarketRecord

MARKET_COLUMNS = "market_id, symbol, definition::text, created_at, managed_by"
NO_LIMIT = 1 << 62
"""Of the backlog, for what has to get in however many commands wait."""

_INSERT = f"""
WITH made AS (
     INSERT INTO markets (symbol, definition, managed_by, created_at)
     VALUES ($1, $2::text::jsonb, $3, gomatch_now())
         ON CONFLICT (symbol) DO NOTHING RETURNING *),
     counter AS (INSERT INTO intake (market_id) SELECT market_id FROM made),
     head AS (INSERT INTO heads (market_id) SELECT market_id FROM made),
     lease AS (INSERT INTO leases (market_id) SELECT market_id FROM made)
SELECT {MARKET_COLUMNS} FROM made
"""  # noqa: S608
_LOCK = f"SELECT {MARKET_COLUMNS} FROM markets WHERE market_id = $1 FOR UPDATE"  # noqa: S608
_ACCEPT = "SELECT * FROM gomatch_accept($1, $2, $3, $4, '{}', '{}', '{}', '{}', '{}')"
_REDEFINE = "UPDATE markets SET definition = $2::text::jsonb WHERE market_id = $1"


def state_backlog_limit(state: TradingState, limit: int) -> int:
    """The backlog at which a request for ``state`` is refused: a market that is flooded can still
    be stopped."""
    return limit if state in (TradingState.RUNNING, TradingState.AUCTION) else NO_LIMIT


async def insert_market(
    connection: Any, definition: MarketDefinition, *, managed_by: str, after: Sequence[Command] = ()
) -> MarketRecord | None:
    """A new market, with its configuration as command number 1 and ``after`` as those that follow;
    None when the symbol is taken. Raises ConfigurationError."""
    commands = [Configure(definition.config()), *after]
    row = await connection.fetchrow(_INSERT, definition.symbol, encoded(definition), managed_by)
    if row is None:
        return None
    record = read_market(row)
    await enter(connection, record.market_id, commands, backlog_limit=len(commands))
    return record


async def redefine_market(
    connection: Any,
    market_id: int,
    definition: MarketDefinition,
    *,
    current: MarketDefinition,
    backlog_limit: int,
) -> Acceptance:
    """Replace the definition, which is ``current``, and enter it as a command.

    Raises ConfigurationError, IdentityMismatch, DefinitionChanged when it is another than
    ``current``, BacklogFull and UnknownMarket.
    """
    check_identity(current, definition)
    # First the market's row in intake, as everyone who accepts locks it.
    accepted = await enter(
        connection, market_id, [Configure(definition.config())], backlog_limit=backlog_limit
    )
    record = read_market(await connection.fetchrow(_LOCK, market_id))
    if record.definition != current:
        raise DefinitionChanged(
            f"market {record.symbol} was configured by somebody else meanwhile: "
            "look at it and try again"
        )
    await connection.execute(_REDEFINE, market_id, encoded(definition))
    return accepted


async def enter(
    connection: Any, market_id: int, commands: Sequence[Command], *, backlog_limit: int
) -> Acceptance:
    """Accept the venue's own commands. Raises BacklogFull, UnknownMarket."""
    packed = pack_commands(commands)
    row = await connection.fetchrow(_ACCEPT, market_id, len(commands), packed, backlog_limit)
    return Acceptance(*row)


def check_identity(existing: MarketDefinition, wanted: MarketDefinition) -> None:
    """Raises IdentityMismatch when tick or lot size differ."""
    for name in ("tick", "lot"):
        if getattr(existing, name) != getattr(wanted, name):
            raise IdentityMismatch(
                f"market {existing.symbol} exists with {name}_size "
                f"{getattr(existing, name + '_size')}: it cannot be changed to "
                f"{getattr(wanted, name + '_size')}"
            )


def encoded(definition: MarketDefinition) -> str:
    return msgspec.json.encode(definition).decode()


def decoded(definition: str) -> MarketDefinition:
    return msgspec.json.decode(definition, type=MarketDefinition)


def read_market(row: Any) -> MarketRecord:
    """A MarketRecord from MARKET_COLUMNS."""
    market_id, symbol, definition, created_at, managed_by = row
    return MarketRecord(
        market_id=market_id,
        symbol=symbol,
        definition=decoded(definition),
        created_at=created_at,
        managed_by=managed_by,
    )

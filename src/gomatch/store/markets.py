"""Markets: their definitions, and where each one stands."""

from __future__ import annotations

from typing import Any

import msgspec

from gomatch.engine import Configure, TradingState
from gomatch.errors import DefinitionChanged, IdentityMismatch
from gomatch.messages.codec import pack_commands
from gomatch.messages.market import MarketDefinition
from gomatch.store.pool import PoolUser
from gomatch.store.records import Acceptance, MarketHead, MarketRecord

_COLUMNS = "market_id, symbol, definition::text, created_at, managed_by"
_SELECT = f"SELECT {_COLUMNS} FROM markets "  # noqa: S608
_INSERT = f"""
INSERT INTO markets (symbol, definition, managed_by, created_at)
VALUES ($1, $2::text::jsonb, $3, gomatch_now())
    ON CONFLICT (symbol) DO NOTHING RETURNING {_COLUMNS}
"""  # noqa: S608
_HEADS = """
SELECT m.market_id, m.symbol, i.accepted, h.applied, h.sequence, h.epoch, h.chain, h.state,
       h.last_price
  FROM markets AS m JOIN intake AS i USING (market_id) JOIN heads AS h USING (market_id)
"""
_FIRST_BACKLOG = 1
_ACCEPT = "SELECT * FROM gomatch_accept($1, 1, $2, $3, '{}', '{}', '{}', '{}', '{}')"
_REDEFINE = "UPDATE markets SET definition = $2::text::jsonb WHERE market_id = $1"


class Markets(PoolUser):
    async def create(
        self, definition: MarketDefinition, *, managed_by: str = "cli"
    ) -> MarketRecord:
        """Create the market, with its configuration as command number 1, or return the one that
        exists with the same identity (base, quote, tick and lot size).

        Raises ConfigurationError, IdentityMismatch, StoreUnavailable.
        """
        bodies = pack_commands([Configure(definition.config())])
        async with self._connection(writing=True) as connection, connection.transaction():
            row = await self._insert(connection, definition, managed_by, bodies)
        record = _record(row) if row is not None else await self.get(definition.symbol)
        if record is None:
            raise IdentityMismatch(f"market {definition.symbol} was removed meanwhile")
        _check_identity(record.definition, definition)
        return record

    async def configure(
        self, record: MarketRecord, definition: MarketDefinition, *, backlog_limit: int
    ) -> Acceptance:
        """Replace the definition of ``record`` and enter it as a command, both or none.

        Raises ConfigurationError, IdentityMismatch, DefinitionChanged when it is no longer that
        of ``record``, BacklogFull and StoreUnavailable.
        """
        _check_identity(record.definition, definition)
        bodies = pack_commands([Configure(definition.config())])
        text = msgspec.json.encode(definition).decode()
        async with self._connection(writing=True) as connection, connection.transaction():
            # First the market's row in intake, as everyone who accepts locks it.
            accepted = await connection.fetchrow(_ACCEPT, record.market_id, bodies, backlog_limit)
            row = await connection.fetchrow(
                _SELECT + "WHERE market_id = $1 FOR UPDATE", record.market_id
            )
            if _record(row).definition != record.definition:
                raise DefinitionChanged(
                    f"market {record.symbol} was configured by somebody else meanwhile: "
                    "look at it and try again"
                )
            await connection.execute(_REDEFINE, record.market_id, text)
        return Acceptance(*accepted)

    async def get(self, symbol: str) -> MarketRecord | None:
        row = await self._fetchrow(_SELECT + "WHERE symbol = $1", symbol)
        return None if row is None else _record(row)

    async def heads(self) -> list[MarketHead]:
        """Where every market stands, by symbol."""
        return [read_head(row) for row in await self._fetch(_HEADS + "ORDER BY m.symbol")]

    async def head(self, symbol: str) -> MarketHead | None:
        row = await self._fetchrow(_HEADS + "WHERE m.symbol = $1", symbol)
        return None if row is None else read_head(row)

    async def head_of(self, market_id: int) -> MarketHead | None:
        row = await self._fetchrow(_HEADS + "WHERE m.market_id = $1", market_id)
        return None if row is None else read_head(row)

    async def _insert(
        self, connection: Any, definition: MarketDefinition, managed_by: str, bodies: bytes
    ) -> Any | None:
        row = await connection.fetchrow(
            _INSERT,
            definition.symbol,
            msgspec.json.encode(definition).decode(),
            managed_by,
        )
        if row is None:
            return None
        market_id = row["market_id"]
        for table in ("intake", "heads", "leases"):
            await connection.execute(f"INSERT INTO {table} (market_id) VALUES ($1)", market_id)  # noqa: S608
        await connection.fetchrow(_ACCEPT, market_id, bodies, _FIRST_BACKLOG)
        return row

    async def list(self) -> list[MarketRecord]:
        rows = await self._fetch(_SELECT + "ORDER BY symbol")
        return [_record(row) for row in rows]


def _check_identity(existing: MarketDefinition, wanted: MarketDefinition) -> None:
    for name in ("tick", "lot"):
        if getattr(existing, name) != getattr(wanted, name):
            raise IdentityMismatch(
                f"market {existing.symbol} exists with {name}_size "
                f"{getattr(existing, name + '_size')}: it cannot be changed to "
                f"{getattr(wanted, name + '_size')}"
            )


def _record(row: Any) -> MarketRecord:
    market_id, symbol, definition, created_at, managed_by = row
    return MarketRecord(
        market_id=market_id,
        symbol=symbol,
        definition=msgspec.json.decode(definition, type=MarketDefinition),
        created_at=created_at,
        managed_by=managed_by,
    )


def read_head(row: Any) -> MarketHead:
    """A MarketHead from the columns of the same names."""
    values = dict(row)
    return MarketHead(**{**values, "state": TradingState(values["state"])})

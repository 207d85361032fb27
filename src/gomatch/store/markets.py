"""Markets: their definitions, and where each one stands."""

from __future__ import annotations

from typing import Any

from gomatch.engine import TradingState
from gomatch.errors import IdentityMismatch
from gomatch.messages.market import MarketDefinition
from gomatch.store.market_rows import (
    MARKET_COLUMNS,
    check_identity,
    insert_market,
    read_market,
    redefine_market,
)
from gomatch.store.pool import PoolUser
from gomatch.store.records import Acceptance, MarketHead, MarketRecord

_SELECT = f"SELECT {MARKET_COLUMNS} FROM markets "  # noqa: S608
_HEADS = """
SELECT m.market_id, m.symbol, i.accepted, h.applied, h.sequence, h.epoch, h.chain, h.state,
       h.last_price
  FROM markets AS m JOIN intake AS i USING (market_id) JOIN heads AS h USING (market_id)
"""


class Markets(PoolUser):
    async def create(
        self, definition: MarketDefinition, *, managed_by: str = "cli"
    ) -> MarketRecord:
        """Create the market, with its configuration as command number 1, or return the one that
        exists with the same identity (base, quote, tick and lot size).

        Raises ConfigurationError, IdentityMismatch, StoreUnavailable.
        """
        async with self._connection(writing=True) as connection, connection.transaction():
            made = await insert_market(connection, definition, managed_by=managed_by)
        record = made or await self.get(definition.symbol)
        if record is None:
            raise IdentityMismatch(f"market {definition.symbol} was removed meanwhile")
        check_identity(record.definition, definition)
        return record

    async def configure(
        self, record: MarketRecord, definition: MarketDefinition, *, backlog_limit: int
    ) -> Acceptance:
        """Replace the definition of ``record`` and enter it as a command, both or none.

        Raises ConfigurationError, IdentityMismatch, DefinitionChanged when it is no longer that
        of ``record``, BacklogFull and StoreUnavailable.
        """
        async with self._connection(writing=True) as connection, connection.transaction():
            return await redefine_market(
                connection,
                record.market_id,
                definition,
                current=record.definition,
                backlog_limit=backlog_limit,
            )

    async def get(self, symbol: str) -> MarketRecord | None:
        row = await self._fetchrow(_SELECT + "WHERE symbol = $1", symbol)
        return None if row is None else read_market(row)

    async def heads(self) -> list[MarketHead]:
        """Where every market stands, by symbol."""
        return [read_head(row) for row in await self._fetch(_HEADS + "ORDER BY m.symbol")]

    async def head(self, symbol: str) -> MarketHead | None:
        row = await self._fetchrow(_HEADS + "WHERE m.symbol = $1", symbol)
        return None if row is None else read_head(row)

    async def head_of(self, market_id: int) -> MarketHead | None:
        row = await self._fetchrow(_HEADS + "WHERE m.market_id = $1", market_id)
        return None if row is None else read_head(row)

    async def list(self) -> list[MarketRecord]:
        rows = await self._fetch(_SELECT + "ORDER BY symbol")
        return [read_market(row) for row in rows]


def read_head(row: Any) -> MarketHead:
    """A MarketHead from the columns of the same names."""
    values = dict(row)
    return MarketHead(**{**values, "state": TradingState(values["state"])})

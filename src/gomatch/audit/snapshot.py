"""The database as it stood at one moment, read in streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from gomatch.store import CommandRow, JournalRow, SnapshotRow
from gomatch.store.failures import Translated
from gomatch.store.journal import read_journal_row
from gomatch.store.records import OPEN_STATUSES, ORDER_COLUMNS, TRADE_COLUMNS

_PREFETCH = 200
_TIMEOUT = 120.0
_ORDERS = ", ".join(ORDER_COLUMNS)
_TRADES = ", ".join(TRADE_COLUMNS)


class StoredMarket(NamedTuple):
    """A market's figures as they are stored, sound or not; None where a row is missing."""

    market_id: int
    symbol: str
    accepted: int | None
    applied: int | None
    sequence: int | None
    epoch: int | None
    chain: bytes | None
    state: int | None
    last_price: int | None


class StoredImage(NamedTuple):
    applied: int
    sequence: int
    chain: bytes


class ClientIdRow(NamedTuple):
    number: int
    user: int
    kind: int
    client_id: str
    digest: bytes


class DatabaseSnapshot:
    """One REPEATABLE READ transaction, read only; every method sees the same state.

    Raises StoreUnavailable.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def markets(self) -> list[StoredMarket]:
        """By symbol."""
        rows = await self._fetch(
            "SELECT m.market_id, m.symbol, i.accepted, h.applied, h.sequence, h.epoch, h.chain,"
            " h.state, h.last_price FROM markets AS m"
            " LEFT JOIN intake AS i USING (market_id) LEFT JOIN heads AS h USING (market_id)"
            " ORDER BY m.symbol"
        )
        return [StoredMarket(*row) for row in rows]

    async def commands(self, market_id: int, after: int) -> AsyncIterator[CommandRow]:
        """Rows with commands after number ``after``, in order."""
        async for row in self._stream(
            "SELECT first, last, accepted_at, bodies FROM commands"
            " WHERE market_id = $1 AND last > $2 ORDER BY first",
            market_id,
            after,
        ):
            yield CommandRow(*row)

    async def journal(self, market_id: int, after: int) -> AsyncIterator[JournalRow]:
        """Rows with events after sequence ``after``, in order."""
        async for row in self._stream(
            "SELECT first_number, last_number, first_sequence, last_sequence, epoch,"
            " rules_version, time, events, chain, skipped FROM journal"
            " WHERE market_id = $1 AND last_sequence > $2 ORDER BY last_sequence",
            market_id,
            after,
        ):
            yield read_journal_row(row)

    async def first_sequence(self, market_id: int) -> int | None:
        """Where the journal begins; None when it is empty."""
        rows = await self._fetch(
            "SELECT first_sequence FROM journal WHERE market_id = $1"
            " ORDER BY last_sequence LIMIT 1",
            market_id,
        )
        return rows[0][0] if rows else None

    async def images(self, market_id: int) -> list[StoredImage]:
        """Every image without its bytes, the oldest first."""
        rows = await self._fetch(
            "SELECT applied, sequence, chain FROM snapshots WHERE market_id = $1 ORDER BY sequence",
            market_id,
        )
        return [StoredImage(*row) for row in rows]

    async def image(self, market_id: int, sequence: int) -> SnapshotRow:
        rows = await self._fetch(
            "SELECT applied, sequence, time, chain, image FROM snapshots"
            " WHERE market_id = $1 AND sequence = $2",
            market_id,
            sequence,
        )
        return SnapshotRow(*rows[0])

    async def orders(self, market_id: int, numbers: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """Rows of `orders` by number, in the order of ORDER_COLUMNS."""
        rows = await self._fetch(
            f"SELECT {_ORDERS} FROM orders WHERE market_id = $1 AND number = ANY($2::bigint[])",  # noqa: S608
            market_id,
            list(numbers),
        )
        return {row["number"]: tuple(row) for row in rows}

    async def open_orders(self, market_id: int) -> dict[int, tuple[int, int]]:
        """(filled, remaining) of the rows of `orders` whose status is an open one, by number."""
        rows = await self._fetch(
            "SELECT number, filled, remaining FROM orders"
            " WHERE market_id = $1 AND status = ANY($2::smallint[])",
            market_id,
            list(OPEN_STATUSES),
        )
        return {number: (filled, remaining) for number, filled, remaining in rows}

    async def trades(self, market_id: int, first: int, last: int) -> dict[int, tuple[Any, ...]]:
        """Rows of `trades` with sequences first..last, in the order of TRADE_COLUMNS."""
        rows = await self._fetch(
            f"SELECT {_TRADES} FROM trades"  # noqa: S608
            " WHERE market_id = $1 AND sequence BETWEEN $2 AND $3",
            market_id,
            first,
            last,
        )
        return {row["sequence"]: tuple(row) for row in rows}

    async def counts(self, market_id: int, after: int, after_sequence: int) -> tuple[int, int]:
        """How many orders after number ``after``, and trades after ``after_sequence``."""
        rows = await self._fetch(
            "SELECT (SELECT count(*) FROM orders WHERE market_id = $1 AND number > $2),"
            " (SELECT count(*) FROM trades WHERE market_id = $1 AND sequence > $3)",
            market_id,
            after,
            after_sequence,
        )
        return rows[0][0], rows[0][1]

    async def client_ids(self, market_id: int, after: int) -> AsyncIterator[ClientIdRow]:
        """Client ids of commands after number ``after``, by number."""
        async for row in self._stream(
            "SELECT number, user_id, kind, client_id, digest FROM client_ids"
            " WHERE market_id = $1 AND number > $2 ORDER BY number",
            market_id,
            after,
        ):
            yield ClientIdRow(*row)

    async def _fetch(self, sql: str, *arguments: Any) -> list[Any]:
        with Translated():
            rows: list[Any] = await self._connection.fetch(sql, *arguments)
            return rows

    async def _stream(self, sql: str, *arguments: Any) -> AsyncIterator[Any]:
        with Translated():
            async for row in self._connection.cursor(sql, *arguments, prefetch=_PREFETCH):
                yield row


@asynccontextmanager
async def database_snapshot(url: str) -> AsyncIterator[DatabaseSnapshot]:
    """Raises StoreUnavailable when PostgreSQL cannot be reached."""
    with Translated():
        connection = await asyncpg.connect(
            url,
            timeout=10,
            command_timeout=_TIMEOUT,
            server_settings={"application_name": "gomatch audit"},
        )
    try:
        with Translated():
            transaction = connection.transaction(isolation="repeatable_read", readonly=True)
            await transaction.start()
        yield DatabaseSnapshot(connection)
        with Translated():
            await transaction.rollback()
    finally:
        connection.terminate()

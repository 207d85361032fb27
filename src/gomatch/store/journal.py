"""The journal: every applied batch, and the accepted commands it came from."""

from __future__ import annotations

from typing import Any

from gomatch.errors import UnknownMarket
from gomatch.messages.codec import next_chain
from gomatch.store.markets import Markets
from gomatch.store.pool import PoolUser
from gomatch.store.records import Backlog, CommandRow, JournalRow, MarketHead

DEFAULT_ROWS = 200

_ROW = (
    "first_number, last_number, first_sequence, last_sequence, epoch, rules_version, time, "
    "{events}, chain, skipped"
)
_FULL = _ROW.format(events="events")
_WITHOUT_EVENTS = _ROW.format(events="''::bytea")
_BACKLOG = """
SELECT i.accepted, h.applied, (gomatch_now() - c.accepted_at) / 1e6::float8
  FROM intake AS i
  JOIN heads AS h USING (market_id)
  LEFT JOIN LATERAL (
       SELECT accepted_at FROM commands
        WHERE market_id = i.market_id AND first <= h.applied + 1
        ORDER BY first DESC LIMIT 1) AS c ON i.accepted > h.applied
 WHERE i.market_id = $1
"""


class Journal(PoolUser):
    async def head(self, market_id: int) -> MarketHead:
        """Raises UnknownMarket, StoreUnavailable."""
        head = await Markets(self._pool, timeout=self._timeout).head_of(market_id)
        if head is None:
            raise UnknownMarket(f"market {market_id} does not exist")
        return head

    async def backlog(self, market_id: int) -> Backlog:
        """How much waits to be applied, and for how long. Raises UnknownMarket,
        StoreUnavailable."""
        row = await self._fetchrow(_BACKLOG, market_id)
        if row is None:
            raise UnknownMarket(f"market {market_id} does not exist")
        accepted, applied, age = row
        if age is None:
            return Backlog(accepted, applied, 0, 0.0)
        return Backlog(accepted, applied, applied + 1, max(0.0, age))

    async def commands(
        self, market_id: int, first: int, last: int, *, limit_rows: int = DEFAULT_ROWS
    ) -> list[CommandRow]:
        """The accepted batches that hold any of first..last, in order, at most ``limit_rows``."""
        rows = await self._fetch(
            "SELECT first, last, accepted_at, bodies FROM commands"
            " WHERE market_id = $1 AND first <= $3 AND first >= coalesce("
            "   (SELECT max(first) FROM commands WHERE market_id = $1 AND first <= $2), $2)"
            " ORDER BY first LIMIT $4",
            market_id,
            first,
            last,
            limit_rows,
        )
        return [CommandRow(*row) for row in rows if row[1] >= first]

    async def rows(
        self,
        market_id: int,
        after_sequence: int,
        *,
        limit_rows: int = DEFAULT_ROWS,
        with_events: bool = True,
    ) -> list[JournalRow]:
        """The applied batches with any event after ``after_sequence``, in order; the first may
        begin before it. Without events the bytes are empty."""
        columns = _FULL if with_events else _WITHOUT_EVENTS
        rows = await self._fetch(
            f"SELECT {columns} FROM journal WHERE market_id = $1 AND last_sequence > $2"  # noqa: S608
            " ORDER BY last_sequence LIMIT $3",
            market_id,
            after_sequence,
            limit_rows,
        )
        return [read_journal_row(row) for row in rows]

    async def last_skipped_at(self, market_id: int) -> int | None:
        """The time (microseconds) of the last batch in which a command was skipped because the
        engine raised on it; None when there was none."""
        row = await self._fetchrow(
            "SELECT time FROM journal WHERE market_id = $1 AND skipped <> '{}'"
            " ORDER BY last_sequence DESC LIMIT 1",
            market_id,
        )
        return row[0] if row else None

    async def rows_after_number(
        self, market_id: int, number: int, *, limit_rows: int = DEFAULT_ROWS
    ) -> list[JournalRow]:
        """The applied batches with any command after ``number``, in order; between them those
        without commands."""
        rows = await self._fetch(
            f"SELECT {_FULL} FROM journal WHERE market_id = $1 AND last_number > $2"  # noqa: S608
            " ORDER BY last_number, last_sequence LIMIT $3",
            market_id,
            number,
            limit_rows,
        )
        return [read_journal_row(row) for row in rows]


def row_chain(previous: bytes, row: JournalRow, events: bytes) -> bytes:
    """The chain after ``row``, had it the packed ``events`` and the chain ``previous`` before."""
    return next_chain(
        previous,
        first_number=row.first_number,
        last_number=row.last_number,
        first_sequence=row.first_sequence,
        last_sequence=row.last_sequence,
        epoch=row.epoch,
        rules_version=row.rules_version,
        time=row.time,
        events=events,
    )


def read_journal_row(row: Any) -> JournalRow:
    """A JournalRow from its columns in order."""
    record = JournalRow(*row)
    return record._replace(skipped=tuple(record.skipped))

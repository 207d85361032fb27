"""Images of markets: from the newest one and the journal after it an engine is restored."""

from __future__ import annotations

from gomatch.store.pool import PoolUser
from gomatch.store.records import SnapshotRow

KEEP_NEWEST = 3

_COLUMNS = "applied, sequence, time, chain, image"
_WRITE = """
INSERT INTO snapshots (market_id, applied, sequence, chain, image, time)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (market_id, sequence) DO NOTHING
"""
_PRUNE = """
DELETE FROM snapshots
 WHERE market_id = $1
   AND sequence > (SELECT min(sequence) FROM snapshots WHERE market_id = $1)
   AND sequence < (SELECT min(sequence) FROM (
           SELECT sequence FROM snapshots WHERE market_id = $1
            ORDER BY sequence DESC LIMIT $2) AS newest)
"""


class Snapshots(PoolUser):
    async def write(
        self,
        market_id: int,
        *,
        applied: int,
        sequence: int,
        chain: bytes,
        image: bytes,
        time: int,
    ) -> None:
        """Keep the image of the state after ``sequence``. The first one and the newest few stay:
        the first is where an audit begins, the others are to recover from, should the last one
        turn out to be unreadable. Raises StoreUnavailable."""
        async with self._connection(writing=True) as connection, connection.transaction():
            await connection.execute(_WRITE, market_id, applied, sequence, chain, image, time)
            await connection.execute(_PRUNE, market_id, KEEP_NEWEST)

    async def newest(self, market_id: int) -> SnapshotRow | None:
        return await self._one("market_id = $1 ORDER BY sequence DESC", market_id)

    async def oldest(self, market_id: int) -> SnapshotRow | None:
        return await self._one("market_id = $1 ORDER BY sequence", market_id)

    async def at_or_before(self, market_id: int, sequence: int) -> SnapshotRow | None:
        """The newest image that holds nothing after ``sequence``."""
        return await self._one(
            "market_id = $1 AND sequence <= $2 ORDER BY sequence DESC", market_id, sequence
        )

    async def _one(self, condition: str, *arguments: int) -> SnapshotRow | None:
        row = await self._fetchrow(
            f"SELECT {_COLUMNS} FROM snapshots WHERE {condition} LIMIT 1",  # noqa: S608
            *arguments,
        )
        return None if row is None else SnapshotRow(*row)

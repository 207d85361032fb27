"""Images of markets: from the newest one and the journal after it an engine is restored."""

from __future__ import annotations

from gomatch.store.pool import PoolUser
from gomatch.store.records import SnapshotRow

KEEP_NEWEST = 3

_AT_OR_BEFORE = """
SELECT applied, sequence, time, chain, image FROM snapshots
 WHERE market_id = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1
"""
_WRITE = """
INSERT INTO snapshots (market_id, applied, sequence, chain, image, time)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (market_id, sequence) DO UPDATE
   SET applied = excluded.applied, chain = excluded.chain, image = excluded.image,
       time = excluded.time
 WHERE (snapshots.applied, snapshots.chain, snapshots.image)
       IS DISTINCT FROM (excluded.applied, excluded.chain, excluded.image)
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
        """Keep the image of the state after ``sequence``, in place of one that is not it, as an
        unreadable one that was recovered past. The first one and the newest few stay:
        the first is where an audit begins, the others are to recover from, should the last one
        turn out to be unreadable. Raises StoreUnavailable."""
        async with self._connection(writing=True) as connection, connection.transaction():
            await connection.execute(_WRITE, market_id, applied, sequence, chain, image, time)
            await connection.execute(_PRUNE, market_id, KEEP_NEWEST)

    async def at_or_before(self, market_id: int, sequence: int) -> SnapshotRow | None:
        """The newest image that holds nothing after ``sequence``."""
        row = await self._fetchrow(_AT_OR_BEFORE, market_id, sequence)
        return None if row is None else SnapshotRow(*row)

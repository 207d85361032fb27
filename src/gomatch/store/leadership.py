"""Leadership of a market: a lease by the database's clock, and the epoch that fences commits."""

from __future__ import annotations

from typing import Any

from gomatch.credentials import Endpoint
from gomatch.store.failures import Translated, fenced
from gomatch.store.pool import OwnConnection
from gomatch.store.records import Leader, LeaseHolder, LeaseMarks

_TERMINATE_MILLISECONDS = 1000

_RENEW = """
UPDATE leases SET expires_at = gomatch_now() + $3
 WHERE market_id = $1 AND epoch = $2 AND holder <> ''
RETURNING refresh_requested > refresh_done, refresh_requested
"""
_REGISTER = """
INSERT INTO lease_backends (market_id, pid, started_at)
SELECT l.market_id, a.pid, a.backend_start
  FROM leases AS l, pg_stat_activity AS a
 WHERE l.market_id = $1 AND l.epoch = $2 AND a.pid = $3
   FOR UPDATE OF l
    ON CONFLICT (market_id, pid) DO UPDATE SET started_at = excluded.started_at
RETURNING pid
"""
_RELEASE = """
UPDATE leases SET expires_at = 0, holder = '' WHERE market_id = $1 AND epoch = $2
"""
_HOLDER = """
SELECT holder, epoch, (expires_at - gomatch_now()) / 1e6::float8 FROM leases WHERE market_id = $1
"""


class Leadership:
    """One for each matcher process, on a connection of its own: renewing never waits behind a
    commit. Connects when needed; after a failure the next call connects again."""

    def __init__(
        self, server: str | Endpoint, *, timeout: float, application: str = "gomatch lease"
    ) -> None:
        self._own = OwnConnection(server, timeout=timeout, application=application)

    async def acquire(self, market_id: int, holder: str, seconds: float) -> Leader | None:
        """Take the lease for ``seconds`` if nobody holds it; None while another one does.

        ``holder`` must be unique to this process. The sessions that the leader before had
        registered are ended, and its epoch is fenced off. Raises UnknownMarket, StoreUnavailable.
        """
        row = await self._fetchrow(
            "SELECT gomatch_acquire_lease($1, $2, $3, $4)",
            market_id,
            holder,
            int(seconds * 1_000_000),
            _TERMINATE_MILLISECONDS,
        )
        assert row is not None
        if row[0] is None:
            return None
        return Leader(epoch=row[0])

    async def register_backend(self, market_id: int, epoch: int, pid: int) -> None:
        """Note that the session ``pid`` writes for this leader, before it writes anything.

        Raises Fenced, also when the session has ended meanwhile, and StoreUnavailable.
        """
        if await self._fetchrow(_REGISTER, market_id, epoch, pid) is None:
            raise fenced(market_id, epoch)

    async def renew(self, market_id: int, epoch: int, seconds: float) -> LeaseMarks:
        """Have the lease end ``seconds`` from now. Raises Fenced, also after a release, and
        StoreUnavailable."""
        row = await self._fetchrow(_RENEW, market_id, epoch, int(seconds * 1_000_000))
        if row is None:
            raise fenced(market_id, epoch)
        return LeaseMarks(refresh_cache=row[0], refresh_mark=row[1])

    async def release(self, market_id: int, epoch: int) -> None:
        """Give the lease up, so that the next leader need not wait. Nothing happens when it was
        taken over already."""
        await self._fetchrow(_RELEASE, market_id, epoch)

    async def holder(self, market_id: int) -> LeaseHolder | None:
        """Who holds the lease; None when nobody does or the market does not exist."""
        row = await self._fetchrow(_HOLDER, market_id)
        if row is None or not row[0]:
            return None
        return LeaseHolder(holder=row[0], epoch=row[1], expires_in=row[2])

    async def request_cache_refresh(self, market_id: int) -> None:
        """Ask the leader to write its book to Redis anew; seen at its next renewal."""
        await self._fetchrow(
            "UPDATE leases SET refresh_requested = refresh_requested + 1 WHERE market_id = $1",
            market_id,
        )

    async def cache_refreshed(self, market_id: int, refresh_mark: int) -> None:
        """Requests up to ``refresh_mark`` are done."""
        await self._fetchrow(
            "UPDATE leases SET refresh_done = greatest(refresh_done, $2) WHERE market_id = $1",
            market_id,
            refresh_mark,
        )

    async def close(self) -> None:
        await self._own.close()

    async def _fetchrow(self, sql: str, *arguments: Any) -> Any | None:
        if not self._own.connected:
            await self._own.connect()
        try:
            with Translated(writing=True):
                return await self._own.connection().fetchrow(sql, *arguments)
        except BaseException:
            # Whatever was under way, the session's state is not known any more.
            self._own.drop()
            raise

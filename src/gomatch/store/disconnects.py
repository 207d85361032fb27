"""Cancel-on-disconnect: sessions that must renew, or their user's orders are cancelled.

A row outlives the replica that wrote it; any replica sweeps what has run out.
"""

from __future__ import annotations

from collections.abc import Collection

from gomatch.store.pool import PoolUser
from gomatch.store.records import DisconnectSession

DEFAULT_HOLD = 10.0

_ARM = """
INSERT INTO disconnects (session_id, user_id, market_ids, expires_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (session_id) DO UPDATE
   SET market_ids = excluded.market_ids, expires_at = excluded.expires_at
"""
_CLAIM = """
UPDATE disconnects SET expires_at = gomatch_now() + $2
 WHERE session_id IN (
       SELECT session_id FROM disconnects WHERE expires_at <= gomatch_now()
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING session_id, user_id, market_ids, expires_at
"""


class Disconnects(PoolUser):
    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], expires_at: int
    ) -> None:
        """From ``expires_at`` (microseconds) on the user's orders in these markets are cancelled
        unless the session renews. Arming again replaces markets and time."""
        await self._fetch(_ARM, session_id, user, list(market_ids), expires_at, writing=True)

    async def renew(self, session_ids: Collection[str], expires_at: int) -> None:
        """Push the end of these sessions to ``expires_at``."""
        await self._fetch(
            "UPDATE disconnects SET expires_at = greatest(expires_at, $2)"
            " WHERE session_id = ANY($1)",
            list(session_ids),
            expires_at,
            writing=True,
        )

    async def expire(self, session_id: str) -> None:
        """The session ended: due from now on, for whichever replica sweeps first."""
        await self._fetch(
            "UPDATE disconnects SET expires_at = 0 WHERE session_id = $1",
            session_id,
            writing=True,
        )

    async def disarm(self, session_id: str) -> None:
        """Forget the session: its user asked so, or its orders have been cancelled."""
        await self._fetch("DELETE FROM disconnects WHERE session_id = $1", session_id, writing=True)

    async def claim_expired(
        self, limit: int, *, hold: float = DEFAULT_HOLD
    ) -> list[DisconnectSession]:
        """Sessions that are due and are now the caller's for ``hold`` seconds.

        Enter their cancel-alls, with the session's id as a ClientClaim of kind DISCONNECT so that
        they are entered once, then `disarm` them; a caller that dies meanwhile leaves them to the
        next sweep.
        """
        rows = await self._fetch(_CLAIM, limit, int(hold * 1_000_000), writing=True)
        return [
            DisconnectSession(
                session_id=row[0], user=row[1], market_ids=tuple(row[2]), expires_at=row[3]
            )
            for row in rows
        ]

"""Cancel-on-disconnect: sessions that must renew, or their user's orders are cancelled.

A row outlives the replica that wrote it; any replica sweeps what has run out. ``expires_at`` is by
PostgreSQL's clock alone: above 0 the session lives until then; 0 it has ended; below 0 somebody
sweeps it, and others may from ``-expires_at`` on. A session once claimed never lives again.
"""

from __future__ import annotations

from collections.abc import Collection

from gomatch.store.pool import PoolUser
from gomatch.store.records import DisconnectSession

DEFAULT_HOLD = 10.0

_ARM = """
INSERT INTO disconnects (session_id, user_id, market_ids, expires_at)
VALUES ($1, $2, $3, gomatch_now() + $4)
"""
_RENEW = """
UPDATE disconnects SET expires_at = gomatch_now() + $2
 WHERE session_id = ANY($1) AND expires_at > 0
RETURNING session_id
"""
_CLAIM = """
UPDATE disconnects SET expires_at = -(gomatch_now() + $2)
 WHERE session_id IN (
       SELECT session_id FROM disconnects
        WHERE abs(expires_at) <= gomatch_now() AND session_id <> ALL($3)
        ORDER BY abs(expires_at) LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING session_id, user_id, market_ids, expires_at
"""
_GIVE_BACK = """
UPDATE disconnects SET expires_at = gomatch_now() + $2
 WHERE session_id = ANY($1) AND expires_at < 0
"""


class Disconnects(PoolUser):
    """Lifetimes and holds are seconds."""

    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], lifetime: float
    ) -> None:
        """A new session: ``lifetime`` from now on the user's orders in these markets are
        cancelled unless it renews."""
        markets = list(market_ids)
        await self._fetch(_ARM, session_id, user, markets, _microseconds(lifetime), writing=True)

    async def renew(self, session_ids: Collection[str], lifetime: float) -> set[str]:
        """Let these sessions live for ``lifetime`` from now on. Returns those that do: the others
        have been claimed, or are no longer there."""
        rows = await self._fetch(_RENEW, list(session_ids), _microseconds(lifetime), writing=True)
        return {row[0] for row in rows}

    async def expire(self, session_id: str) -> None:
        """The session ended: due from now on, for whichever replica sweeps first."""
        await self._fetch(
            "UPDATE disconnects SET expires_at = 0 WHERE session_id = $1 AND expires_at > 0",
            session_id,
            writing=True,
        )

    async def disarm(self, session_id: str) -> None:
        """Forget the session: its user asked so, or its orders have been cancelled."""
        await self._fetch("DELETE FROM disconnects WHERE session_id = $1", session_id, writing=True)

    async def claim_expired(
        self, limit: int, *, own: Collection[str] = (), hold: float = DEFAULT_HOLD
    ) -> list[DisconnectSession]:
        """Sessions that are due and are now the caller's for ``hold``; never one of ``own``, which
        the caller knows to live.

        Enter their cancel-alls, with the session's id as a ClientClaim of kind DISCONNECT so that
        they are entered once, then `disarm` them; a caller that dies meanwhile leaves them to the
        next sweep.
        """
        rows = await self._fetch(_CLAIM, limit, _microseconds(hold), list(own), writing=True)
        return [
            DisconnectSession(
                session_id=row[0], user=row[1], market_ids=tuple(row[2]), expires_at=row[3]
            )
            for row in rows
        ]

    async def give_back(self, session_ids: Collection[str], lifetime: float) -> None:
        """Undo a claim: these sessions live for ``lifetime`` from now on, if they renew."""
        await self._fetch(_GIVE_BACK, list(session_ids), _microseconds(lifetime), writing=True)


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)

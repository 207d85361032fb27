"""Removal of a market's rows: sealed first, then a batch at a time, its own row last.

A sealed market has no counter, head or lease any more: nobody accepts, commits or leads. From there
on the removal can only go on, by whoever finds it unfinished.
"""

from __future__ import annotations

from typing import Any

from gomatch.engine import TradingState
from gomatch.errors import NotDrained

_STANDS = """
SELECT i.accepted, h.applied, h.state FROM intake AS i JOIN heads AS h USING (market_id)
 WHERE i.market_id = $1 FOR UPDATE OF i
"""
_SEAL = "UPDATE claims SET removing = true WHERE symbol = $1"

BATCHED = ("commands", "journal", "orders", "trades", "snapshots")
_BATCH = """
WITH gone AS (
     DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE market_id = $1 LIMIT $2)) RETURNING 1)
SELECT count(*) FROM gone
"""
# Their key does not begin with the market: one walk along it for all of them.
_CLIENT_IDS = """
WITH page AS (
     SELECT user_id, kind, client_id, market_id FROM client_ids
      WHERE (user_id, kind, client_id) > ($2, $3, $4)
      ORDER BY user_id, kind, client_id LIMIT $5),
     gone AS (
     DELETE FROM client_ids AS c USING page AS p
      WHERE p.market_id = $1 AND c.user_id = p.user_id AND c.kind = p.kind
        AND c.client_id = p.client_id)
SELECT user_id, kind, client_id FROM page ORDER BY user_id DESC, kind DESC, client_id DESC LIMIT 1
"""
_BEGINNING = (-(1 << 63), 0, "")

_FORGET_SESSIONS = """
UPDATE disconnects SET market_ids = array_remove(market_ids, $1) WHERE $1 = ANY(market_ids)
"""


async def seal(connection: Any, market_id: int, symbol: str) -> None:
    """Inside a transaction that has the claim's row. Raises NotDrained."""
    row = await connection.fetchrow(_STANDS, market_id)
    if row is None:
        raise NotDrained(f"market {symbol} has no counter or no head: run `gomatch audit`")
    accepted, applied, state = row
    if state != TradingState.CLOSED:
        raise NotDrained(f"market {symbol} is {TradingState(state).name.lower()}: close it first")
    if accepted != applied:
        raise NotDrained(
            f"market {symbol} has {accepted - applied} commands that are not applied: "
            "let its matcher come to them first"
        )
    for table in ("intake", "leases", "heads"):
        await connection.execute(f"DELETE FROM {table} WHERE market_id = $1", market_id)  # noqa: S608
    await connection.execute(_SEAL, symbol)


async def remove_batch(connection: Any, table: str, market_id: int, size: int) -> int:
    """Returns how many rows of a table of BATCHED are gone; fewer than ``size``: they were the
    last."""
    gone: int = await connection.fetchval(_BATCH.format(table=table), market_id, size)
    return gone


class ClientIdWalk:
    """Removal of a market's client ids, a stretch of the table's key at a time."""

    def __init__(self, market_id: int, size: int) -> None:
        self._market_id = market_id
        self._size = size
        self._at: tuple[int, int, str] = _BEGINNING

    async def step(self, connection: Any) -> bool:
        """Returns False when the end was reached."""
        row = await connection.fetchrow(_CLIENT_IDS, self._market_id, *self._at, self._size)
        if row is None:
            return False
        self._at = (row[0], row[1], row[2])
        return True


async def remove_last(connection: Any, market_id: int, symbol: str) -> None:
    """What remains when all else is gone, in the caller's transaction."""
    await connection.execute(_FORGET_SESSIONS, market_id)
    # A leader that was still writing an image when the market was sealed may have left it.
    for table in ("snapshots", "lease_backends"):
        await connection.execute(f"DELETE FROM {table} WHERE market_id = $1", market_id)  # noqa: S608
    await connection.execute("DELETE FROM claims WHERE symbol = $1", symbol)
    await connection.execute("DELETE FROM markets WHERE market_id = $1", market_id)

"""Trades, for queries: a user's own fills and a market's latest."""

from __future__ import annotations

from gomatch.engine import Side
from gomatch.store.pool import PoolUser
from gomatch.store.records import NEWEST, TRADE_COLUMNS, TradeRecord

_COLUMNS = ", ".join(TRADE_COLUMNS)
# A user trades as maker and as taker; each role has its index, so each gives its newest and the
# two are merged. UNION drops nothing but a trade of a user with itself, seen from both sides.
_OWN = f"""
SELECT * FROM (
    (SELECT {_COLUMNS} FROM trades
      WHERE maker_user = $1 AND market_id = {{market}} AND {{after}}
      ORDER BY sequence DESC LIMIT $2)
    UNION
    (SELECT {_COLUMNS} FROM trades
      WHERE taker_user = $1 AND market_id = {{market}} AND {{after}}
      ORDER BY sequence DESC LIMIT $2)
) AS own
"""  # noqa: S608
_IN_ONE = _OWN.format(market="$3", after="sequence < $4") + "ORDER BY sequence DESC LIMIT $2"
# All markets: the newest of each market in which the user traded, merged by time.
_IN_ALL = f"""
WITH RECURSIVE anchor AS (
    SELECT time, market_id, sequence FROM trades WHERE market_id = $3 AND sequence = $4
    UNION ALL SELECT $4, 0, 0 WHERE $3 = 0
), own_markets AS (
    SELECT (SELECT least((SELECT min(market_id) FROM trades WHERE maker_user = $1),
                         (SELECT min(market_id) FROM trades WHERE taker_user = $1))) AS market_id
    UNION ALL
    SELECT (SELECT least(
        (SELECT min(market_id) FROM trades
          WHERE maker_user = $1 AND market_id > own_markets.market_id),
        (SELECT min(market_id) FROM trades
          WHERE taker_user = $1 AND market_id > own_markets.market_id)))
      FROM own_markets WHERE own_markets.market_id IS NOT NULL
)
SELECT {", ".join(f"newest.{name}" for name in TRADE_COLUMNS)}
  FROM anchor CROSS JOIN own_markets CROSS JOIN LATERAL (
    {
    _OWN.format(
        market="own_markets.market_id",
        after="(time, market_id, sequence) < (anchor.time, anchor.market_id, anchor.sequence)",
    )
}
  ) AS newest
 ORDER BY newest.time DESC, newest.market_id DESC, newest.sequence DESC LIMIT $2
"""  # noqa: S608
_OF_MARKET = f"""
SELECT {_COLUMNS} FROM trades WHERE market_id = $1 AND sequence < $2
 ORDER BY sequence DESC LIMIT $3
"""  # noqa: S608


class Trades(PoolUser):
    async def of_user(
        self,
        user: int,
        *,
        market_id: int | None = None,
        before: tuple[int, int] | None = None,
        limit: int,
    ) -> list[TradeRecord]:
        """The user's fills, newest first, at most ``limit``. ``before`` is (market_id, sequence)
        of the last trade of the page before; a trade that does not exist gives an empty page."""
        if market_id is not None:
            sequence = NEWEST if before is None else before[1]
            rows = await self._fetch(_IN_ONE, user, limit, market_id, sequence)
        else:
            rows = await self._fetch(_IN_ALL, user, limit, *(before or (0, NEWEST)))
        return [_record(row) for row in rows]

    async def of_market(
        self, market_id: int, *, limit: int, before: int | None = None
    ) -> list[TradeRecord]:
        """The market's trades with a sequence below ``before``, newest first."""
        rows = await self._fetch(_OF_MARKET, market_id, NEWEST if before is None else before, limit)
        return [_record(row) for row in rows]


def _record(row: tuple[int, ...]) -> TradeRecord:
    # The side is a plain number until it is replaced.
    record = TradeRecord(*row)  # type: ignore[arg-type]
    return record._replace(taker_side=Side(record.taker_side))

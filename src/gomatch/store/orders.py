"""Orders, for queries: by id, by user with keyset paging, and those not applied yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gomatch.engine import Command, OrderType, SelfTrade, Side, TimeInForce
from gomatch.errors import UnknownMarket
from gomatch.messages.codec import unpack_commands
from gomatch.store.pool import PoolUser
from gomatch.store.records import NEWEST, OPEN_STATUSES, ORDER_COLUMNS, OrderRecord, OrderStatus

_COLUMNS = ", ".join(ORDER_COLUMNS)
# Written out, so that the planner can match it with the condition of the index of open orders.
_IS_OPEN = "status IN (1, 2, 7)"
_GET = f"SELECT {_COLUMNS} FROM orders WHERE market_id = $1 AND number = $2"  # noqa: S608
_GET_MANY = f"""
SELECT {_COLUMNS} FROM orders WHERE market_id = $1 AND number = ANY($2::bigint[])
"""  # noqa: S608
# One statement sees one snapshot: the orders are exactly those of that sequence.
_OPEN_AT_HEAD = f"""
SELECT heads.sequence, {", ".join(f"orders.{name}" for name in ORDER_COLUMNS)}
  FROM heads LEFT JOIN orders
    ON orders.market_id = heads.market_id AND orders.user_id = $1 AND orders.{_IS_OPEN}
 WHERE heads.market_id = $2 ORDER BY orders.number
"""  # noqa: S608
_IN_ONE = f"""
SELECT {_COLUMNS} FROM orders
 WHERE user_id = $1 AND market_id = $4 AND number < $5 AND {{state}} AND status = ANY($3)
 ORDER BY number DESC LIMIT $2
"""  # noqa: S608
# All markets: the newest of each market in which the user has orders, merged by acceptance.
_IN_ALL = f"""
WITH RECURSIVE anchor AS (
    SELECT accepted_at, market_id, number FROM orders WHERE market_id = $4 AND number = $5
    UNION ALL SELECT $5, 0, 0 WHERE $4 = 0
), own_markets AS (
    SELECT (SELECT min(market_id) FROM orders WHERE user_id = $1 AND {{state}}) AS market_id
    UNION ALL
    SELECT (SELECT min(market_id) FROM orders
             WHERE user_id = $1 AND market_id > own_markets.market_id AND {{state}})
      FROM own_markets WHERE own_markets.market_id IS NOT NULL
)
SELECT {", ".join(f"newest.{name}" for name in ORDER_COLUMNS)}
  FROM anchor CROSS JOIN own_markets CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM orders
     WHERE user_id = $1 AND market_id = own_markets.market_id
       AND (accepted_at, market_id, number)
           < (anchor.accepted_at, anchor.market_id, anchor.number)
       AND {{state}} AND status = ANY($3)
     ORDER BY number DESC LIMIT $2
  ) AS newest
 ORDER BY newest.accepted_at DESC, newest.market_id DESC, newest.number DESC LIMIT $2
"""  # noqa: S608
_COMMANDS = """
SELECT first, last, accepted_at, bodies FROM commands
 WHERE market_id = $1 AND first <= $2 ORDER BY first DESC LIMIT 1
"""
_ALL_STATUSES = tuple(OrderStatus)


class Orders(PoolUser):
    async def get(self, market_id: int, number: int) -> OrderRecord | None:
        row = await self._fetchrow(_GET, market_id, number)
        return None if row is None else read_order(row)

    async def open_at_head(self, user: int, market_id: int) -> tuple[int, list[OrderRecord]]:
        """The market's sequence and the user's open orders exactly then, waiting stops too, by
        number.

        Raises UnknownMarket, StoreUnavailable.
        """
        rows = await self._fetch(_OPEN_AT_HEAD, user, market_id)
        if not rows:
            raise UnknownMarket(f"market {market_id} does not exist")
        sequence: int = rows[0][0]
        return sequence, [read_order(tuple(row)[1:]) for row in rows if row[1] is not None]

    async def pending(self, market_id: int, number: int) -> tuple[Command, int] | None:
        """The command ``number`` and when it was accepted (microseconds), or None.

        Raises StoreUnavailable, and CodecError when what is stored cannot be read.
        """
        row = await self._fetchrow(_COMMANDS, market_id, number)
        if row is None or row["last"] < number:
            return None
        return unpack_commands(row["bodies"])[number - row["first"]], row["accepted_at"]

    async def get_many(self, market_id: int, numbers: Sequence[int]) -> list[OrderRecord]:
        """Those of ``numbers`` that are orders and applied, in no particular order."""
        rows = await self._fetch(_GET_MANY, market_id, numbers)
        return [read_order(row) for row in rows]

    async def list(
        self,
        user: int,
        *,
        market_id: int | None = None,
        status: Collection[OrderStatus] | None = None,
        before: tuple[int, int] | None = None,
        limit: int,
    ) -> list[OrderRecord]:
        """The user's orders, newest first, at most ``limit``. ``before`` is (market_id, number)
        of the last order of the page before; one that does not exist gives an empty page."""
        statuses = tuple(status) if status is not None else _ALL_STATUSES
        state = _IS_OPEN if OPEN_STATUSES.issuperset(statuses) else "true"
        if market_id is not None:
            sql = _IN_ONE.format(state=state)
            number = NEWEST if before is None else before[1]
            rows = await self._fetch(sql, user, limit, statuses, market_id, number)
        else:
            sql = _IN_ALL.format(state=state)
            rows = await self._fetch(sql, user, limit, statuses, *(before or (0, NEWEST)))
        return [read_order(row) for row in rows]


def read_order(row: Any) -> OrderRecord:
    """An OrderRecord from ORDER_COLUMNS in order."""
    record = OrderRecord(*row)
    return record._replace(
        side=Side(record.side),
        type=OrderType(record.type),
        time_in_force=TimeInForce(record.time_in_force),
        self_trade=SelfTrade(record.self_trade),
        status=OrderStatus(record.status),
    )

"""The matcher's commit: head, journal, orders and trades in one fenced transaction."""

from __future__ import annotations

from typing import Any

from gomatch.store.failures import Translated, fenced
from gomatch.store.journal import find_row
from gomatch.store.pool import OwnConnection
from gomatch.store.records import ORDER_COLUMNS, TRADE_COLUMNS, Batch, JournalRow, OrderUpdateRow

_COMMIT = f"SELECT gomatch_commit({', '.join(f'${n}' for n in range(1, 29))})"

# The update of open orders joins them with an unnest. A cached plan made while `orders` was small
# would scan the whole table for ever after, and planning each time costs more than the lookups:
# one lookup by primary key for each row is right at every size, so nothing else is left to choose.
_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_NO_UPDATES: tuple[tuple[()], ...] = ((),) * 13


class Commits:
    """One for each matcher process: a connection of its own for commits, which are serial.

    After any StoreUnavailable the connection is gone: connect again, register the new session
    with Leadership, and look the batch up with `find`.
    """

    def __init__(self, url: str, *, timeout: float, application: str = "gomatch commit") -> None:
        self._own = OwnConnection(url, timeout=timeout, application=application, settings=_SETTINGS)

    async def connect(self) -> int:
        """(Re)connect; returns the session's process id for Leadership.register_backend.

        Raises StoreUnavailable.
        """
        return await self._own.connect()

    async def commit(self, batch: Batch) -> None:
        """Write ``batch``. Raises Fenced when the head is not as this leader left it (nothing
        was written), and StoreUnavailable: with ``outcome_unknown`` when it happened at the
        COMMIT itself, so that only `find` can tell.
        """
        connection = self._own.connection()
        transaction = connection.transaction()
        try:
            with Translated():
                await transaction.start()
                hit = await connection.fetchval(_COMMIT, *_arguments(batch))
                if hit:
                    await _copy(connection, batch)
                else:
                    await transaction.rollback()
            if not hit:
                raise fenced(batch.market_id, batch.epoch)
            with Translated(writing=True):
                await transaction.commit()
        except BaseException:
            # Also when cancelled: what the session was doing is not known any more.
            self._own.drop()
            raise

    async def find(self, market_id: int, epoch: int, first_sequence: int) -> JournalRow | None:
        """The journal row of a batch whose commit got no answer, or None: not committed, and
        never will be once its session has ended. Raises StoreUnavailable."""
        try:
            with Translated():
                return await find_row(self._own.connection(), market_id, epoch, first_sequence)
        except BaseException:
            self._own.drop()
            raise

    async def close(self) -> None:
        await self._own.close()


def _arguments(batch: Batch) -> list[Any]:
    updates: Any = _NO_UPDATES
    if batch.order_updates:
        updates = _columns(batch.order_updates)
    return [
        batch.market_id,
        batch.epoch,
        batch.previous_sequence,
        batch.previous_chain,
        batch.first_number,
        batch.last_number,
        batch.first_sequence,
        batch.last_sequence,
        batch.time,
        batch.rules_version,
        batch.events,
        batch.chain,
        batch.state,
        batch.last_price,
        batch.skipped,
        *updates,
    ]


def _columns(rows: list[OrderUpdateRow]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))


async def _copy(connection: Any, batch: Batch) -> None:
    if batch.new_orders:
        await connection.copy_records_to_table(
            "orders", records=batch.new_orders, columns=ORDER_COLUMNS
        )
    if batch.trades:
        await connection.copy_records_to_table(
            "trades", records=batch.trades, columns=TRADE_COLUMNS
        )

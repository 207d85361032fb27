"""The matcher's commit: head, journal, orders and trades in one fenced transaction."""

from __future__ import annotations

from hashlib import sha256

import asyncpg

from gomatch.credentials import Endpoint
from gomatch.errors import CommitRefused
from gomatch.messages.envelope import CommandBatch
from gomatch.store.failures import Translated, fenced
from gomatch.store.pool import OwnConnection, statement_milliseconds
from gomatch.store.records import Batch, SourceRow

_COMMIT = f"SELECT gomatch_commit({', '.join(f'${n}' for n in range(1, 21))})"

# Everything in a commit is one row or one lookup by primary key for each row. What else a planner
# could choose for the update of open orders (see migration 0004) reads the whole table.
_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

# Some forty times of what a row costs.
_SECONDS_A_ROW = 0.001
_MANY_ROWS = 5_000


def source_row(batch: CommandBatch) -> SourceRow:
    """What a commit compares with the accepted commands."""
    return (batch.first, batch.last, batch.accepted_at, sha256(batch.bodies).digest())


class Commits:
    """One for each matcher process: a connection of its own for commits, which are serial.

    After any error the connection is gone. The matcher takes the lease anew, which ends the
    session at the server: what it was doing is done or not by then, and the head tells.
    """

    def __init__(
        self, server: str | Endpoint, *, timeout: float, application: str = "gomatch commit"
    ) -> None:
        self._own = OwnConnection(
            server, timeout=timeout, application=application, settings=_SETTINGS
        )
        self._timeout = timeout
        self._extra = 0.0

    async def connect(self) -> int:
        """Returns the session's process id for Leadership.register_backend. Raises
        StoreUnavailable."""
        self._extra = 0.0
        return await self._own.connect()

    async def commit(self, batch: Batch) -> None:
        """Write ``batch`` whole, in one statement (docs/adr/0007-commit-in-one-statement.md).

        Nothing was written when it raises Fenced (the head is not as this leader left it),
        ForeignCommands (one of ``batch.sources`` is not what was accepted) or CommitRefused (the
        batch cannot be stored). StoreUnavailable: with ``outcome_unknown`` it may be committed
        although no answer came.
        """
        try:
            with Translated(writing=True):
                limit = await self._limit(batch)
                done = await self._own.connection().fetchval(
                    _COMMIT,
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
                    batch.new_orders,
                    batch.order_updates,
                    batch.trades,
                    batch.sources,
                    batch.state_reason or "",
                    timeout=limit,
                )
            if not done:
                raise fenced(batch.market_id, batch.epoch)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OverflowError) as error:
            self._own.drop()
            raise CommitRefused(
                f"commands {batch.first_number} to {batch.last_number}: {error}"
            ) from error
        except BaseException:
            # Also when cancelled: what the session was doing is not known any more.
            self._own.drop()
            raise

    async def _limit(self, batch: Batch) -> float:
        """Seconds that the commit may take. One sweep or cancel-all cannot be split: what it may
        take grows with it, or it would fail again and again and its market stand still."""
        rows = len(batch.new_orders) + len(batch.order_updates) + len(batch.trades)
        extra = rows * _SECONDS_A_ROW if rows > _MANY_ROWS else 0.0
        if extra != self._extra:
            milliseconds = statement_milliseconds(self._timeout + extra)
            await self._own.connection().execute(f"SET statement_timeout = {milliseconds}")
            self._extra = extra
        return self._timeout + extra

    async def close(self) -> None:
        await self._own.close()

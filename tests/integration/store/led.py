"""A market under a leader, for tests that need to commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gomatch.store import (
    Batch,
    Commits,
    Leadership,
    OrderRow,
    OrderUpdateRow,
    TradeRow,
)
from tests.integration.store.rows import batch


async def commit_as_before(connection: Any, batch: Batch) -> bool:
    """As matchers that know no migration after 4: no reason is given. Returns False when fenced."""
    done: bool = await connection.fetchval(
        f"SELECT gomatch_commit({', '.join(f'${n}' for n in range(1, 20))})",
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
    )
    return done


class LedMarket:
    """One matcher's lease and commits. ``position`` is (applied, sequence, chain)."""

    def __init__(self, url: str, market_id: int) -> None:
        self.market_id = market_id
        self.leadership = Leadership(url, timeout=10)
        self.commits = Commits(url, timeout=10)
        self.epoch = 0
        self.pid = 0
        self.position = (0, 0, bytes(32))

    async def lead(self, holder: str, *, seconds: float = 60) -> bool:
        leader = await self.leadership.acquire(self.market_id, holder, seconds)
        if leader is None:
            return False
        self.epoch = leader.epoch
        await self.connect()
        return True

    async def connect(self) -> None:
        self.pid = await self.commits.connect()
        await self.leadership.register_backend(self.market_id, self.epoch, self.pid)

    def next(
        self,
        *,
        commands: int = 1,
        events: int = 1,
        new_orders: Sequence[OrderRow] = (),
        order_updates: Sequence[OrderUpdateRow] = (),
        trades: Sequence[TradeRow] = (),
    ) -> Batch:
        return batch(
            self.market_id,
            self.epoch,
            previous=self.position,
            commands=commands,
            events=events,
            new_orders=new_orders,
            order_updates=order_updates,
            trades=trades,
        )

    async def commit(self, written: Batch) -> None:
        await self.commits.commit(written)
        self.position = (written.last_number, written.last_sequence, written.chain)

    async def close(self) -> None:
        await self.commits.close()
        await self.leadership.close()

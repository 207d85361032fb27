"""A lease is kept while its leader is busy, and let go when its leader hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from gomatch.errors import Fenced, StoreUnavailable
from gomatch.messages.market import MarketDefinition
from gomatch.store import Leadership, Markets, connect_pool
from gomatch_matcher.lease_keeper import LeaseKeeper
from tests.fixtures.servers import run_in_own_loop

LEASE = 0.6
LOOKS = 30
"""So many in a row, each as long after the one before as a lease is renewed, show no renewal."""


class Leader:
    def __init__(self, url: str, market_id: int, epoch: int) -> None:
        self.url, self.market_id, self.epoch = url, market_id, epoch
        self.renewals = 0
        self.refreshed = 0
        self.ready_to_refresh = True

    def keeper(self, *, lease: float = LEASE, stall_limit: float = 60) -> LeaseKeeper:
        return LeaseKeeper(
            Leadership(self.url, timeout=30),
            market_id=self.market_id,
            epoch=self.epoch,
            lease=lease,
            renew=0.1,
            stall_limit=stall_limit,
            renewed=self._renewed,
            refresh_cache=self._refresh,
        )

    def _renewed(self) -> None:
        self.renewals += 1

    def _refresh(self) -> bool:
        self.refreshed += self.ready_to_refresh
        return self.ready_to_refresh


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(database_url, size=3, timeout=10, application="tests")
    yield pool
    await pool.close()


@pytest.fixture
async def candidate(database_url: str) -> AsyncIterator[Leadership]:
    leadership = Leadership(database_url, timeout=30)
    yield leadership
    await leadership.close()


@pytest.fixture
async def leader(database_url: str, pool: asyncpg.Pool, candidate: Leadership) -> Leader:
    definition = MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.001")
    market = await Markets(pool).create(definition)
    acquired = await candidate.acquire(market.market_id, "busy", LEASE)
    assert acquired is not None
    return Leader(database_url, market.market_id, acquired.epoch)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def lease_comes_back(url: str) -> None:
    """Wait until it was renewed after it had run out, as often as shows that it is kept."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            for _ in range(3):
                await connection.execute("UPDATE leases SET expires_at = gomatch_now()")
                while await connection.fetchval("SELECT expires_at <= gomatch_now() FROM leases"):
                    await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def lease_is_let_go(url: str, market_id: int) -> None:
    """Wait until nobody renews it any more, let it run out, and have another one take it."""
    connection, standby = await asyncpg.connect(url), Leadership(url, timeout=30)
    try:
        async with asyncio.timeout(60):
            before, looks = None, 0
            while looks < LOOKS:
                await asyncio.sleep(0.1)
                expires_at = await connection.fetchval("SELECT expires_at FROM leases")
                looks = looks + 1 if expires_at == before else 0
                before = expires_at
        await connection.execute("UPDATE leases SET expires_at = gomatch_now()")
        assert await standby.acquire(market_id, "standby", 60) is not None
    finally:
        await connection.close()
        await standby.close()


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_event_loop_that_is_busy_for_longer_than_the_lease_keeps_it(
    leader: Leader, candidate: Leadership
) -> None:
    task = asyncio.create_task(leader.keeper(lease=60).run())
    await until(lambda: leader.renewals > 0)
    # The loop is held up meanwhile, as a large recovery does.
    run_in_own_loop(lease_comes_back(leader.url))
    assert await candidate.acquire(leader.market_id, "standby", LEASE) is None
    await stop(task)


async def test_a_leader_that_hangs_loses_its_lease_and_learns_of_it(
    leader: Leader,
) -> None:
    task = asyncio.create_task(leader.keeper(lease=60, stall_limit=3).run())
    await until(lambda: leader.renewals > 0)
    # It hangs.
    run_in_own_loop(lease_is_let_go(leader.url, leader.market_id))
    with pytest.raises(Fenced, match="stood still"):
        await task


async def test_another_leader_is_noticed(leader: Leader, pool: asyncpg.Pool) -> None:
    task = asyncio.create_task(leader.keeper().run())
    await until(lambda: leader.renewals > 0)
    await pool.execute("UPDATE leases SET epoch = epoch + 1, holder = 'other'")
    with pytest.raises(Fenced):
        await task


async def test_a_database_that_is_away_for_longer_than_the_lease_ends_it(leader: Leader) -> None:
    leader.url = "postgresql://nobody@127.0.0.1:1/none"
    with pytest.raises(StoreUnavailable):
        await leader.keeper().run()


async def test_a_request_to_refresh_the_mirror_waits_until_it_can_be_met(
    leader: Leader, candidate: Leadership, pool: asyncpg.Pool
) -> None:
    leader.ready_to_refresh = False
    await candidate.request_cache_refresh(leader.market_id)
    task = asyncio.create_task(leader.keeper().run())
    await until(lambda: leader.renewals > 2)
    leader.ready_to_refresh = True
    await until(lambda: leader.refreshed == 1)
    async with asyncio.timeout(60):
        while not await pool.fetchval("SELECT refresh_requested = refresh_done FROM leases"):
            await asyncio.sleep(0.01)
    renewals = leader.renewals
    await until(lambda: leader.renewals > renewals + 2)
    assert leader.refreshed == 1
    await stop(task)

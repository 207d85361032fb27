"""What a caller is told when PostgreSQL falls silent: never that nothing was written unless so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gomatch.errors import StoreUnavailable
from gomatch.store import Intake, MarketRecord, connect_pool
from tests.fixtures.links import ProxyFactory
from tests.fixtures.proxy import TcpProxy
from tests.integration.store.rows import bodies

LIMIT = 10**6


@pytest.fixture
async def proxy(database_url: str, tcp_proxy: ProxyFactory) -> TcpProxy:
    return await tcp_proxy(database_url)


@pytest.fixture
async def far_pool(database_url: str, proxy: TcpProxy) -> AsyncIterator[asyncpg.Pool]:
    """Behind the proxy."""
    pool = await connect_pool(proxy.url(database_url), size=1, timeout=3, application="tests")
    yield pool
    pool.terminate()


async def test_a_committed_accept_whose_answer_never_came_is_of_unknown_outcome(
    far_pool: asyncpg.Pool, proxy: TcpProxy, pool: asyncpg.Pool, market: MarketRecord
) -> None:
    # The statement is prepared before: only its execution is answered with silence.
    await Intake(far_pool).accept(market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT)
    before = await pool.fetchval("SELECT accepted FROM intake")
    proxy.stall("to_client")
    with pytest.raises(StoreUnavailable) as caught:
        await Intake(far_pool).accept(
            market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT
        )
    async with asyncio.timeout(30):
        while await pool.fetchval("SELECT accepted FROM intake") == before:
            await asyncio.sleep(0.01)
    assert caught.value.outcome_unknown


async def test_connections_that_fell_silent_are_replaced(
    far_pool: asyncpg.Pool, proxy: TcpProxy, market: MarketRecord
) -> None:
    intake = Intake(far_pool)
    proxy.stall("to_client")
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            await intake.accept(market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT)
    proxy.cut()
    proxy.restore()
    accepted = await intake.accept(market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT)
    assert accepted.last == accepted.first

"""A pool, a market and a leader of it for the tests of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from gomatch.store import MarketRecord, Markets, connect_pool
from tests.integration.store.led import LedMarket
from tests.integration.store.rows import DEFINITION


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with await connect_pool(
        database_url, size=4, timeout=10, application="store tests"
    ) as pool:
        yield pool


@pytest.fixture
async def market(pool: asyncpg.Pool) -> MarketRecord:
    return await Markets(pool).create(DEFINITION)


@pytest.fixture
async def led(database_url: str, market: MarketRecord) -> AsyncIterator[LedMarket]:
    """The market with a leader that has its lease and its commit connection."""
    led = LedMarket(database_url, market.market_id)
    await led.lead("first")
    yield led
    await led.close()

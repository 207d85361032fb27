from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gomatch.cache import BookMirror
from tests.unit.cache.books import SYMBOL


@pytest.fixture
async def mirror(redis_url: str) -> AsyncIterator[BookMirror]:
    mirror = BookMirror(redis_url, SYMBOL, timeout=60)
    yield mirror
    await mirror.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """What an operator with redis-cli could do."""
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()

"""The pool of connections."""

from __future__ import annotations

import asyncio

import asyncpg
from structlog.testing import capture_logs

from gomatch.store import close_pool, connect_pool


async def test_a_pool_closes_in_time_also_while_a_connection_of_it_is_in_use(
    database_url: str, pool: asyncpg.Pool
) -> None:
    closing = await connect_pool(database_url, size=1, timeout=10, application="closing")
    pid = await closing.fetchval("SELECT pg_backend_pid()")
    await closing.acquire()
    with capture_logs() as logs:
        await close_pool(closing, timeout=0.05)
    assert [line["event"] for line in logs] == ["pool_not_closed"]
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1"
    async with asyncio.timeout(30):
        while not await pool.fetchval(gone, pid):
            await asyncio.sleep(0.01)


async def test_an_idle_pool_closes_without_a_word(database_url: str) -> None:
    closing = await connect_pool(database_url, size=2, timeout=10, application="closing")
    assert await closing.fetchval("SELECT 1") == 1
    with capture_logs() as logs:
        await close_pool(closing, timeout=60)
    assert logs == []

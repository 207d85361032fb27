"""Liveness of a matcher: a leader that does not renew its lease is stuck, a fresh one is not."""

from __future__ import annotations

import asyncio
import time

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_matcher.http import health_application
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService


async def test_a_leader_is_healthy_from_its_first_moment_and_stuck_after_a_minute(
    database_url: str, redis_url: str
) -> None:
    pool = await connect_pool(database_url, size=1, timeout=10, application="tests")
    await Markets(pool).create(
        MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.001")
    )
    await pool.close()
    registry = CollectorRegistry()
    service = MatcherService(
        Settings(
            postgres_url=SecretStr(database_url),
            redis_url=SecretStr(redis_url),
            callback_targets="127.0.0.1:9",
            lease_seconds=90,
            lease_renew=30,  # no renewal within this test
        ),
        market="BTC-USDT",
        transport=InProcessTransport(),
        metrics=MatcherMetrics(registry, "BTC-USDT"),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    transport = httpx.ASGITransport(health_application(service, registry))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://matcher") as client:
            async with asyncio.timeout(60):
                while (await client.get("/readyz")).json()["role"] != "leader":
                    await asyncio.sleep(0.01)
            assert (await client.get("/healthz")).status_code == 200
            service.status.last_progress = time.monotonic() - 61
            answer = await client.get("/healthz")
            assert (answer.status_code, answer.json()) == (503, {"status": "stuck"})
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task

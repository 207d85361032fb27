"""A matcher that cannot serve in a pod stays up, says why, and serves once it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.testing import capture_logs

import gomatch_matcher.service
from gomatch.errors import SchemaMismatch, UnknownMarket
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import Leadership, Markets, check_schema
from gomatch.transport import InProcessTransport
from gomatch_matcher.http import health_application
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService
from tests.fixtures.links import ProxyFactory
from tests.integration.matcher.conftest import Bench, until_leading

POD = "btc-matcher-6d5f-x2x"


class Running:
    def __init__(self, service: MatcherService) -> None:
        self.service = service
        application = health_application(service, CollectorRegistry())
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://matcher"
        )

    async def until(
        self, reason: str, status: int = 503, *, why: str = "", timeout: float = 60
    ) -> dict[str, object]:
        """Wait for /readyz to give this reason, and to say ``why`` among others."""
        async with asyncio.timeout(timeout):
            while True:
                answer = await self._client.get("/readyz")
                body: dict[str, object] = answer.json()
                given = body["reason"], answer.status_code
                if given == (reason, status) and why in str(body.get("why")):
                    return body
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(settings: Settings, symbol: str = "BTC-USDT") -> AsyncIterator[Running]:
    service = MatcherService(
        settings,
        market=symbol,
        transport=InProcessTransport(),
        metrics=MatcherMetrics(CollectorRegistry(), symbol),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        yield Running(service)
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


async def test_a_market_that_is_made_later_is_served_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def check(pool: asyncpg.Pool) -> None:
        nonlocal attempts
        attempts += 1
        await check_schema(pool)

    monkeypatch.setattr(gomatch_matcher.service, "check_schema", check)
    settings = bench.settings.model_copy(update={"pod_name": POD})
    with capture_logs() as logs:
        async with running(settings, "ETH-USDT") as matcher:
            body = await matcher.until("unknown_market")
            assert "ETH-USDT does not exist" in str(body["why"])
            async with asyncio.timeout(60):
                while attempts < 3:
                    await asyncio.sleep(0.01)
            await Markets(bench.pool).create(
                MarketDefinition(base="ETH", quote="USDT", tick_size="0.01", lot_size="0.001")
            )
            body = await matcher.until("", 200)
            assert (body["role"], body["why"]) == ("leader", "")
    assert [line["event"] for line in logs].count("unknown_market") == 1


async def test_a_schema_that_does_not_fit_is_waited_for(bench: Bench) -> None:
    settings = bench.settings.model_copy(update={"pod_name": POD})
    checksum = await bench.pool.fetchval("SELECT checksum FROM schema_migrations WHERE version = 1")
    change = "UPDATE schema_migrations SET checksum = $1 WHERE version = 1"
    await bench.pool.execute(change, "of another build")
    async with running(settings) as matcher:
        body = await matcher.until("schema_mismatch")
        assert "0001_schema" in str(body["why"])
        await bench.pool.execute(change, checksum)
        await matcher.until("", 200)


async def test_outside_of_a_pod_they_end_the_program(bench: Bench) -> None:
    with pytest.raises(UnknownMarket, match="gomatch markets create"):
        async with running(bench.settings, "ETH-USDT") as matcher:
            await matcher.until("unknown_market")
    await bench.pool.execute("UPDATE schema_migrations SET checksum = '' WHERE version = 1")
    with pytest.raises(SchemaMismatch):
        async with running(bench.settings) as matcher:
            await matcher.until("schema_mismatch")


async def test_refused_credentials_are_tried_again_as_the_files_say_then(
    bench: Bench, tmp_path: Path
) -> None:
    url = bench.settings.postgres_url.get_secret_value()
    right = url.partition("://")[2].partition("@")[0].partition(":")[2]
    (tmp_path / "username").write_text("gomatch")
    (tmp_path / "password").write_text("wrong-secret")
    settings = bench.settings.model_copy(update={"postgres_credentials": tmp_path})
    with capture_logs() as logs:
        async with running(settings) as matcher:
            await matcher.until("credentials_refused", why="credentials refused")
            (tmp_path / "password").unlink()
            missing = f"{tmp_path}/password does not exist"
            await matcher.until("credentials_refused", why=missing)
            (tmp_path / "password").write_text(right)
            await until_leading(matcher.service)
    assert "credentials_refused" in [line["event"] for line in logs]
    assert "wrong-secret" not in str(logs)


async def test_a_standby_without_its_database_is_not_ready(
    bench: Bench, tcp_proxy: ProxyFactory
) -> None:
    url = bench.settings.postgres_url.get_secret_value()
    proxy = await tcp_proxy(url)
    far = bench.settings.model_copy(update={"postgres_url": SecretStr(proxy.url(url))})
    async with bench.matcher(lease_seconds=60) as leader:
        await until_leading(leader)
        async with running(far) as standby:
            assert (await standby.until("", 200))["role"] == "standby"
            proxy.cut()
            await standby.until("store_unavailable")
            proxy.restore()
            await standby.until("", 200)
            proxy.stall()
            await standby.until("store_unavailable")
            proxy.restore()
            await standby.until("", 200)


async def test_the_holder_of_a_lease_begins_with_the_name_of_its_pod(bench: Bench) -> None:
    async with bench.matcher(pod_name=POD) as matcher:
        await until_leading(matcher)
        leases = Leadership(bench.settings.postgres, timeout=30)
        holder = await leases.holder(bench.market.market_id)
        await leases.close()
        assert holder is not None
        assert holder.holder.startswith(f"{POD}/")

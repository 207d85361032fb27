"""A password that is changed at a server is used from the next connection on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gomatch.cache import BookMirror
from gomatch.cli.servers import PostgresServer, RabbitServer
from gomatch.credentials import Endpoint
from gomatch.errors import CacheError, CredentialsRefused, StoreUnavailable
from gomatch.store import Leadership, close_pool, connect_pool
from gomatch.transport import RabbitMQTransport
from tests.fixtures.batches import make_batch
from tests.fixtures.broker import publish_until_confirmed
from tests.fixtures.links import ProxyFactory

USER = "rotating"


def write(folder: Path, password: str) -> None:
    (folder / "username").write_text(USER)
    (folder / "password").write_text(f"{password}\n")


async def test_postgresql(
    postgres_server: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    postgres_server.run_sql(
        f"DROP ROLE IF EXISTS {USER}; CREATE ROLE {USER} LOGIN PASSWORD 'first'"
    )
    write(tmp_path, "first")
    database = database_url.rpartition("/")[2]
    endpoint = Endpoint(database_url, tmp_path)
    pool = await connect_pool(endpoint, size=2, timeout=30, application="tests")
    own = Leadership(endpoint, timeout=30)
    assert await pool.fetchval("SELECT current_user") == USER

    postgres_server.run_sql(f"ALTER ROLE {USER} PASSWORD 'second'")
    with pytest.raises(CredentialsRefused, match="credentials refused") as caught:
        await connect_pool(endpoint, size=1, timeout=30, application="tests")
    assert "first" not in str(caught.value)
    with pytest.raises(CredentialsRefused):
        await own.holder(1)

    (tmp_path / "password").unlink()
    with pytest.raises(StoreUnavailable, match="password does not exist"):
        await own.holder(1)

    write(tmp_path, "second")
    async with pool.acquire() as first, pool.acquire() as second:
        # Of the old password and of the new one.
        assert await first.fetchval("SELECT 1") == await second.fetchval("SELECT 1") == 1
    postgres_server.run_sql(f"GRANT SELECT ON leases TO {USER}", database=database)
    assert await own.holder(1) is None
    await own.close()
    await close_pool(pool)
    postgres_server.run_sql(f"DROP OWNED BY {USER}; DROP ROLE {USER}", database=database)


async def test_rabbitmq(
    rabbitmq_server: RabbitServer, rabbitmq_url: str, tcp_proxy: ProxyFactory, tmp_path: Path
) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    await asyncio.to_thread(rabbitmq_server.control, "add_user", USER, "first")
    await asyncio.to_thread(
        rabbitmq_server.control, "set_permissions", "-p", vhost, USER, ".*", ".*", ".*"
    )
    proxy = await tcp_proxy(rabbitmq_url)
    write(tmp_path, "first")
    transport = RabbitMQTransport(Endpoint(proxy.url(rabbitmq_url), tmp_path))
    publisher = await transport.publisher()
    await publish_until_confirmed(publisher, make_batch("BTC-USDT", 1))

    await asyncio.to_thread(rabbitmq_server.control, "change_password", USER, "second")
    with capture_logs() as logs:
        proxy.drop()
        async with asyncio.timeout(60):
            while not any("credentials refused" in str(line.get("why")) for line in logs):
                await asyncio.sleep(0.02)
    assert "first" not in str(logs)
    assert await transport.depth("BTC-USDT") is None

    write(tmp_path, "second")
    await publish_until_confirmed(publisher, make_batch("BTC-USDT", 2))
    assert await transport.depth("BTC-USDT") == 2
    await transport.close()
    await asyncio.to_thread(rabbitmq_server.control, "delete_user", USER)


async def test_redis(redis_url: str, tmp_path: Path) -> None:
    async with Redis.from_url(redis_url) as admin:
        control: Callable[..., Awaitable[object]] = admin.execute_command
        await control("ACL", "SETUSER", USER, "on", ">first", "~*", "+@all")
        write(tmp_path, "first")
        mirror = BookMirror(Endpoint(redis_url, tmp_path), "BTC-USDT", timeout=30)
        assert await mirror.load() is None

        await control("ACL", "SETUSER", USER, "resetpass", ">second")
        await control("CLIENT", "KILL", "USER", USER)
        with pytest.raises(CacheError, match="credentials refused") as caught:
            await mirror.load()
        assert "first" not in str(caught.value)

        (tmp_path / "password").unlink()
        with pytest.raises(CacheError, match="password does not exist"):
            await mirror.load()

        write(tmp_path, "second")
        assert await mirror.load() is None
        await mirror.close()
        await control("ACL", "DELUSER", USER)

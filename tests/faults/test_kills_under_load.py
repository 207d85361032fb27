"""Under load each part is killed, or its link cut, once; everything acknowledged stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gomatch.cli.servers import PostgresServer, RabbitServer, RedisServer
from tests.faults.verification import verify
from tests.fixtures.following import applied_at_least, followed
from tests.fixtures.links import SETTINGS, ProxyFactory
from tests.fixtures.venue import Venue


async def test_matcher_api_and_broker_killed_once_each_under_load(
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    rabbitmq_server: RabbitServer,
    tmp_path: Path,
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path, replicas=2) as venue,
        followed(venue, 3) as clients,
    ):
        sending = asyncio.gather(*(client.send(600, batch=10, pause=0.02) for client in clients))
        await applied_at_least(database_url, 200)
        await venue.matchers[0].kill()
        venue.matchers[0].start()
        await applied_at_least(database_url, 500)
        await venue.apis[0].kill()
        venue.apis[0].start()
        await applied_at_least(database_url, 800)
        await rabbitmq_server.kill()
        await applied_at_least(database_url, 1100)
        await rabbitmq_server.start()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)
        assert all(client.resumes for client in clients)


async def test_postgresql_restarted_under_load(
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
        followed(venue) as clients,
    ):
        sending = asyncio.gather(*(client.send(300, batch=10, pause=0.02) for client in clients))
        await applied_at_least(database_url, 100)
        await postgres_server.kill()
        await postgres_server.start()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


async def test_redis_killed_and_emptied_under_load(
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
        followed(venue) as clients,
    ):
        sending = asyncio.gather(*(client.send(300, batch=10, pause=0.02) for client in clients))
        await applied_at_least(database_url, 100)
        await redis_server.kill()
        await applied_at_least(database_url, 250)
        await redis_server.start()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("link", ["postgres", "redis", "rabbitmq", "callback"])
async def test_a_link_of_an_api_replica_cut_under_load(
    link: str,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tcp_proxy: ProxyFactory,
    tmp_path: Path,
) -> None:
    """At any moment; the links of a matcher, at each point of a commit, have their tests in
    test_link_points.py."""
    urls = {"postgres": database_url, "redis": redis_url, "rabbitmq": rabbitmq_url}
    venue = Venue(database_url, redis_url, rabbitmq_url, tmp_path)
    urls["callback"] = f"grpc://127.0.0.1:{venue.callback_ports[0]}"
    proxy = await tcp_proxy(urls[link])
    through = proxy.url(urls[link]).removeprefix("grpc://")
    if link == "callback":
        # The replica is the server of this link.
        venue.matcher_settings = {SETTINGS[link]: through}
    else:
        venue.settings = {SETTINGS[link]: through}
        venue.matcher_settings = {SETTINGS[link]: urls[link]}
    async with venue, followed(venue) as clients:
        sending = asyncio.gather(*(client.send(200, batch=10, pause=0.02) for client in clients))
        await applied_at_least(database_url, 60)
        proxy.cut()
        await asyncio.sleep(1.0)  # how long the link is away
        proxy.restore()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)

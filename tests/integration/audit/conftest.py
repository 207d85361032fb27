"""A market with everything behind it, made once by a real matcher; each test gets a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg
import pytest
import redis
import redis.asyncio
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gomatch.audit import audit
from gomatch.cache import BookMirror
from gomatch.cli.servers import PostgresServer, RedisServer
from gomatch.engine import CancelAll, CancelOrder, Command, NewOrder
from gomatch.messages.codec import pack_commands
from gomatch.messages.market import MarketDefinition
from gomatch.messages.request_digest import request_digest
from gomatch.settings import Settings
from gomatch.store import ClaimKind, ClientClaim, Intake, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService
from tests.fixtures.servers import run_in_own_loop
from tests.integration.audit.damage import SYMBOL
from tests.unit.matcher.flows import random_commands

COUNT = 400
_PARTS = (175, 350)
"""After each of these commands an image is waited for, before the rest goes into another one."""
_DATABASE = "gomatch_audited"
_TABLES = (
    "intake", "heads", "commands", "client_ids", "journal", "snapshots", "orders", "trades",
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """What an audit looks at."""

    database: str
    redis: str


@dataclass(frozen=True)
class _Sound:
    database: str
    mirror: dict[bytes, bytes]
    """Redis' own dump of each key."""


@pytest.fixture(scope="session")
def _sound(
    postgres_session: PostgresServer,
    redis_session: RedisServer,
    database_template: str,
    numbers: Iterator[int],
) -> _Sound:
    postgres_session.start_now()
    redis_session.start_now()
    number = next(numbers) % RedisServer.databases
    postgres_session.run_sql(f"CREATE DATABASE {_DATABASE} TEMPLATE {database_template}")
    site = Site(
        postgres_session.url_of(_DATABASE), f"redis://127.0.0.1:{redis_session.port}/{number}"
    )
    with redis.Redis.from_url(site.redis) as client:
        client.flushdb()
        run_in_own_loop(_trade(site))
        mirror = {key: client.dump(key) for key in client.scan_iter()}
    assert len(mirror) == 5
    run_in_own_loop(_keep(site.database))
    return _Sound(site.database, mirror)


async def _keep(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE SCHEMA sound")
        for table in _TABLES:
            await connection.execute(f"CREATE TABLE sound.{table} AS TABLE {table}")
    finally:
        await connection.close()


@pytest.fixture
async def site(_sound: _Sound, postgres_server: PostgresServer, redis_url: str) -> Site:
    """A few hundred commands, stopped in order, and sound. Put back what the test before has
    damaged: copying the whole database takes ten times as long."""
    connection = await asyncpg.connect(_sound.database)
    try:
        await connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        for table in _TABLES:
            await connection.execute(f"INSERT INTO {table} TABLE sound.{table}")
    finally:
        await connection.close()
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        for key, value in _sound.mirror.items():
            await client.restore(key, 0, value)
    return Site(_sound.database, redis_url)


async def _trade(site: Site) -> None:
    settings = Settings(
        postgres_url=SecretStr(site.database),
        redis_url=SecretStr(site.redis),
        callback_targets="127.0.0.1:9",
        match_batch=40,
        snapshot_every=150,
    )
    pool = await connect_pool(site.database, size=2, timeout=10, application="tests")
    market = await Markets(pool).create(
        MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
    )
    commands = random_commands(5, COUNT)

    async def accept(until: int) -> None:
        head = await Markets(pool).head(SYMBOL)
        assert head is not None
        for start in range(head.accepted - 1, until, 25):
            part = commands[start : start + 25]
            await Intake(pool).accept(
                market.market_id,
                bodies=pack_commands(part),
                count=len(part),
                claims=_claims(part, start),
                backlog_limit=10**6,
            )

    service = MatcherService(
        settings,
        market=SYMBOL,
        transport=InProcessTransport(),
        metrics=MatcherMetrics(CollectorRegistry(), SYMBOL),
    )
    stop = asyncio.Event()
    mirror = BookMirror(site.redis, SYMBOL)
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(120):
        for images, until in enumerate(_PARTS):
            await accept(until)
            while await pool.fetchval("SELECT count(*) FROM snapshots") <= images:
                await asyncio.sleep(0.02)
        await accept(COUNT)
        while True:
            head = await Markets(pool).head(SYMBOL)
            held = await mirror.load()
            if head and head.applied == COUNT + 1 and held and held.sequence == head.sequence:
                break
            await asyncio.sleep(0.02)
    stop.set()
    await running
    await mirror.close()
    await pool.close()
    report = await audit(site.database, site.redis)
    assert report.clean, report.findings
    assert report.complete, report.unchecked
    figures = report.markets[SYMBOL]
    assert figures.mirror_sequence == figures.sequence
    assert figures.trades > 20
    assert figures.images >= 3


def _claims(commands: Sequence[Command], before: int) -> list[ClientClaim]:
    """A client id for each command that may have one."""
    claims = []
    for place, command in enumerate(commands):
        match command:
            case NewOrder(client_order_id=name) if name:
                kind = ClaimKind.ORDER
            case CancelOrder():
                kind, name = ClaimKind.REQUEST, f"r{before + place}"
            case CancelAll():
                kind, name = ClaimKind.DISCONNECT, f"d{before + place}"
            case _:
                continue
        digest = request_digest(command, SYMBOL)
        claims.append(ClientClaim(command.user, kind, name, place, digest))
    return claims

"""Each kind of damage is planted in a market that was clean, and found."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
import redis.asyncio
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gomatch.audit import audit
from gomatch.cache import BookMirror
from gomatch.engine import Traded
from gomatch.messages.codec import (
    GENESIS_CHAIN,
    next_chain,
    pack_commands,
    pack_events,
    unpack_events,
)
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import Intake, Journal, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService
from tests.unit.matcher.flows import random_commands

SYMBOL = "BTC-USDT"
COUNT = 400


@pytest.fixture
async def site(database_url: str, redis_url: str) -> tuple[str, str]:
    """A market with a few hundred commands behind it, stopped in order, and clean."""
    settings = Settings(
        postgres_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        callback_targets="127.0.0.1:9",
        match_batch=40,
        snapshot_every=150,
    )
    pool = await connect_pool(database_url, size=2, timeout=10, application="tests")
    market = await Markets(pool).create(
        MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
    )
    commands = random_commands(5, COUNT)
    for start in range(0, COUNT, 25):
        part = commands[start : start + 25]
        await Intake(pool).accept(
            market.market_id, bodies=pack_commands(part), count=len(part), backlog_limit=10**6
        )
    service = MatcherService(
        settings,
        market=SYMBOL,
        transport=InProcessTransport(),
        metrics=MatcherMetrics(CollectorRegistry(), SYMBOL),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    mirror = BookMirror(redis_url, SYMBOL)
    async with asyncio.timeout(20):
        while True:
            head = await Markets(pool).head(SYMBOL)
            held = await mirror.meta()
            if head and head.applied == COUNT + 1 and held and held.sequence == head.sequence:
                break
            await asyncio.sleep(0.02)
    stop.set()
    await running
    await mirror.close()
    await pool.close()
    report = await audit(database_url, redis_url)
    assert report.clean, report.findings
    assert report.markets[SYMBOL].mirror_sequence == report.markets[SYMBOL].sequence
    assert report.markets[SYMBOL].trades > 20
    assert report.markets[SYMBOL].images >= 2
    return database_url, redis_url


async def kinds_after(site: tuple[str, str], *statements: str) -> set[str]:
    connection = await asyncpg.connect(site[0])
    try:
        for statement in statements:
            assert not (await connection.execute(statement)).endswith(" 0"), statement
    finally:
        await connection.close()
    report = await audit(*site)
    return {finding.kind for finding in report.findings}


MIDDLE = "(SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY last_sequence) FROM journal)"


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        (
            "chain",
            (
                "UPDATE journal SET events = set_byte(events, length(events) / 2, 7)"
                f" WHERE last_sequence = {MIDDLE}"
            ),
        ),
        ("chain", f"UPDATE journal SET time = time + 1 WHERE last_sequence = {MIDDLE}"),
        (
            "chain",
            f"UPDATE journal SET chain = set_byte(chain, 0, 1) WHERE last_sequence = {MIDDLE}",
        ),
        ("journal_gap", f"DELETE FROM journal WHERE last_sequence = {MIDDLE}"),
        ("command_missing", "DELETE FROM commands WHERE first > 100 AND first < 130"),
        (
            "events_differ",
            (
                "UPDATE commands SET bodies = (SELECT bodies FROM commands WHERE first = 27)"
                " WHERE first = 52"
            ),
        ),
        ("commands_missing", "UPDATE intake SET accepted = accepted + 1"),
        ("head", "UPDATE heads SET sequence = sequence - 1"),
        ("head", "UPDATE heads SET applied = applied + 5"),
        ("head", "UPDATE heads SET state = 4"),
        ("order_differs", "UPDATE orders SET filled = filled + 1 WHERE number = 30"),
        ("order_differs", "UPDATE orders SET status = 1 WHERE status = 3"),
        (
            "order_missing",
            "DELETE FROM orders WHERE number = (SELECT min(number) FROM orders)",
        ),
        (
            "order_rows",
            (
                "INSERT INTO orders SELECT 999999, user_id, price, stop_price, display, expiry,"
                " quantity, filled, remaining, value, accepted_at, updated_at, updated_sequence,"
                " market_id, side, type, time_in_force, self_trade, status, post_only,"
                " client_order_id, reason FROM orders LIMIT 1"
            ),
        ),
        ("trade_missing", "DELETE FROM trades WHERE sequence = (SELECT min(sequence) FROM trades)"),
        (
            "trade_differs",
            (
                "UPDATE trades SET price = price + 1 WHERE sequence = (SELECT max(sequence)"
                " FROM trades)"
            ),
        ),
        (
            "trade_invented",
            (
                "INSERT INTO trades SELECT sequence + 1, maker_order, maker_user, taker_order,"
                " taker_user, price, quantity, maker_fee, taker_fee, time, market_id, taker_side"
                " FROM trades WHERE sequence + 1 NOT IN (SELECT sequence FROM trades)"
                " AND sequence < (SELECT max(sequence) FROM trades) LIMIT 1"
            ),
        ),
        (
            "image_differs",
            (
                "UPDATE snapshots SET image = set_byte(image, length(image) - 3, 65)"
                " WHERE sequence = (SELECT max(sequence) FROM snapshots)"
            ),
        ),
        ("image_chain", "UPDATE snapshots SET chain = set_byte(chain, 3, 1)"),
        (
            "client_id",
            (
                "INSERT INTO client_ids (user_id, kind, client_id, market_id, number, accepted_at,"
                " digest) SELECT 1, 1, 'nobody', market_id, 9, 0, '\\x00' FROM markets"
            ),
        ),
    ],
)
async def test_damage_in_postgresql_is_found(
    kind: str, statement: str, site: tuple[str, str]
) -> None:
    assert kind in await kinds_after(site, statement)


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("mirror_order", ("hset", "orders", "value")),
        ("mirror_torn", ("hdel", "orders", "")),
        ("mirror_torn", ("zpop", "bids", "")),
        ("mirror_depth", ("hset", "depth", "7")),
        ("mirror_chain", ("chain", "meta", "")),
        ("mirror_sequence", ("sequence", "meta", "")),
    ],
)
async def test_damage_in_redis_is_found(
    kind: str, damage: tuple[str, str, str], site: tuple[str, str]
) -> None:
    how, key, value = damage
    client = redis.asyncio.from_url(site[1])
    name = f"gomatch:{{{SYMBOL}}}:{key}"
    try:
        if how == "hset":
            first = next(iter(await client.hkeys(name)))
            await client.hset(name, first, value)
        elif how == "hdel":
            await client.hdel(name, next(iter(await client.hkeys(name))))
        elif how == "zpop":
            assert await client.zpopmin(name)
        elif how == "chain":
            await client.hset(name, "chain", bytes(32).hex())
        else:
            await client.hincrby(name, "sequence", -1)
    finally:
        await client.aclose()
    report = await audit(*site)
    assert kind in {finding.kind for finding in report.findings}, report.findings


async def test_a_trade_out_of_turn_is_found_even_under_a_sound_chain(
    site: tuple[str, str],
) -> None:
    """The journal is rewritten with a valid chain, as a faulty engine would have written it."""
    connection = await asyncpg.connect(site[0])
    pool = await connect_pool(site[0], size=1, timeout=10, application="tests")
    chain = GENESIS_CHAIN
    changed = False
    try:
        for row in await Journal(pool).rows(1, 0, limit_rows=10_000):
            events = unpack_events(row.events)
            for index, event in enumerate(events):
                if isinstance(event, Traded) and not changed and event.maker_order > 3:
                    events[index] = Traded(
                        event.maker_order - 1,
                        *[getattr(event, name) for name in event.__struct_fields__[1:]],
                    )
                    changed = True
            packed = pack_events(events)
            chain = next_chain(
                chain,
                first_number=row.first_number,
                last_number=row.last_number,
                first_sequence=row.first_sequence,
                last_sequence=row.last_sequence,
                epoch=row.epoch,
                rules_version=row.rules_version,
                time=row.time,
                events=packed,
            )
            await connection.execute(
                "UPDATE journal SET events = $1, chain = $2 WHERE last_sequence = $3",
                packed,
                chain,
                row.last_sequence,
            )
    finally:
        await connection.close()
        await pool.close()
    report = await audit(site[0], None)
    kinds = {finding.kind for finding in report.findings}
    assert "chain" not in kinds
    assert "events_differ" in kinds
    assert kinds & {"priority", "quantity", "unknown_order"}


async def test_what_cannot_be_checked_is_said(site: tuple[str, str]) -> None:
    report = await audit(site[0], "redis://127.0.0.1:9/0")
    assert report.clean
    assert any("Redis" in what for what in report.unchecked)

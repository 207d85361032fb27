"""Whatever the transport loses, repeats or reorders: a market comes out the same."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gomatch.audit import audit
from gomatch.engine import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    NewOrder,
    OrderType,
    Side,
    TimeInForce,
)
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import Intake, Markets, connect_pool
from gomatch.transport import InProcessTransport, RabbitMQTransport, Transport
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService
from tests.fixtures.faulty_transport import Faults, FaultyTransport
from tests.fixtures.queues import make_queue

_BATCHES = 150
_OUTCOME = """
    SELECT number, user_id, side, price, quantity, filled, remaining, value, status, reason
      FROM orders WHERE market_id = $1 ORDER BY number
"""
_TRADES = """
    SELECT sequence, maker_order, taker_order, price, quantity
      FROM trades WHERE market_id = $1 ORDER BY sequence
"""


def batches(seed: int) -> list[list[Command]]:
    chance = random.Random(seed)
    made: list[list[Command]] = []
    number = 1  # the market's first command is its configuration
    for _ in range(_BATCHES):
        batch: list[Command] = []
        for _ in range(chance.randint(1, 20)):
            number += 1
            batch.append(_command(chance, number))
        made.append(batch)
    return made


def _command(chance: random.Random, number: int) -> Command:
    user, kind = chance.randint(1, 5), chance.random()
    if kind < 0.15:
        return CancelOrder(user, max(2, number - chance.randint(1, 40)))
    if kind < 0.22:
        return AmendOrder(user, max(2, number - chance.randint(1, 40)), quantity=3)
    if kind < 0.23:
        return CancelAll(user)
    return NewOrder(
        user,
        chance.choice((Side.BUY, Side.SELL)),
        OrderType.LIMIT,
        chance.randint(1, 9),
        100 + chance.randint(-6, 6),
        chance.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC)),
    )


async def run_market(
    pool: asyncpg.Pool, settings: Settings, base: str, transport: Transport
) -> tuple[list[object], list[object]]:
    """Send all batches through ``transport``; orders and trades as they end up."""
    market = await Markets(pool).create(
        MarketDefinition(base=base, quote="USDT", tick_size="0.01", lot_size="0.001")
    )
    stop = asyncio.Event()
    matcher = MatcherService(
        settings,
        market=market.symbol,
        transport=transport,
        metrics=MatcherMetrics(CollectorRegistry(), market.symbol),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(matcher.run(stop))
        try:
            async with asyncio.timeout(100):
                await _send(pool, market.market_id, market.symbol, transport)
        finally:
            stop.set()
    orders = await pool.fetch(_OUTCOME, market.market_id)
    trades = await pool.fetch(_TRADES, market.market_id)
    return [tuple(row) for row in orders], [tuple(row) for row in trades]


async def _send(pool: asyncpg.Pool, market_id: int, symbol: str, transport: Transport) -> None:
    publisher = await transport.publisher()
    last = 0
    for commands in batches(seed=3):
        bodies = pack_commands(commands)
        accepted = await Intake(pool).accept(
            market_id, bodies=bodies, count=len(commands), backlog_limit=10**6
        )
        last = accepted.last
        await publisher.publish(
            CommandBatch(
                market=symbol,
                first=accepted.first,
                last=last,
                accepted_at=accepted.accepted_at,
                bodies=bodies,
            ),
            timeout=30,
        )
    while True:
        head = await Markets(pool).head(symbol)
        assert head is not None
        if head.applied == last:
            return
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("broker", ["inprocess", "rabbitmq"])
async def test_losing_repeating_and_reordering_changes_no_order_and_no_trade(
    broker: str, database_url: str, redis_url: str, request: pytest.FixtureRequest
) -> None:
    settings = Settings(
        postgres_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        callback_targets="127.0.0.1:9",
        match_batch=50,
    )
    inner: Transport = InProcessTransport()
    if broker == "rabbitmq":
        url = request.getfixturevalue("rabbitmq_url")
        await make_queue(url, "ODD-USDT")
        inner = RabbitMQTransport(url)
    faulty = FaultyTransport(inner, seed=11, faults=Faults(lose=0.1, repeat=0.15, reorder=0.15))
    pool = await connect_pool(database_url, size=4, timeout=10, application="tests")
    try:
        straight = await run_market(pool, settings, "EVEN", InProcessTransport())
        disturbed = await run_market(pool, settings, "ODD", faulty)
    finally:
        await pool.close()
        await faulty.close()
    assert min(faulty.lost, faulty.repeated, faulty.reordered) > 5
    assert len(straight[1]) > 100
    assert disturbed == straight
    report = await audit(database_url, redis_url, None)
    assert report.findings == []

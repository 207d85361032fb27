from __future__ import annotations

import asyncio
import random

import pytest

from gomatch.engine import NewOrder, OrderType, Side
from gomatch.errors import StoreUnavailable
from gomatch_api.feeds import Feeds
from gomatch_api.feeds.input import FeedInput
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, lookup, messages
from tests.unit.matcher.flows import random_commands
from tests.unit.stream.doubles import ChainChecker, Reader, ReplayCounters, subscribe_orders


def concerning(market: ScriptedMarket, user: int) -> list[int]:
    """Sequences of a user's events, twice where both sides of a trade are theirs."""
    sequences = []
    for sequence, event in enumerate(market.events, 1):
        order = getattr(event, "order", None)
        owners = (
            getattr(event, "user", getattr(order, "user", None)),
            getattr(event, "maker_user", None),
            getattr(event, "taker_user", None),
        )
        sequences += [sequence] * owners.count(user)
    return sequences


async def until_through(reader: Reader, sequence: int) -> None:
    async with asyncio.timeout(10):
        while not any(message.get("through", 0) >= sequence for message in reader.messages[-3:]):
            await asyncio.sleep(0.001)


async def feed_image(market: ScriptedMarket, feed: FeedInput) -> None:
    for image in market.image():
        await feed.receive(image)


@pytest.mark.parametrize("seed", range(25))
async def test_a_client_that_is_cut_anywhere_misses_and_doubles_nothing(seed: int) -> None:
    """Cuts of the client, of the replica's feed (with and without history), on two replicas."""
    draw = random.Random(seed)
    market = ScriptedMarket()
    replicas = [Feeds(lookup), Feeds(lookup)]
    feeds = [replica.open(SYMBOL, 1) for replica in replicas]
    commands = random_commands(seed, 400)
    checker = ChainChecker(0)
    reader = Reader()
    subscription = subscribe_orders(reader, replicas[0].view(SYMBOL), market, user=1, start=0)
    position = 0
    while position < len(commands):
        size = draw.randint(1, 12)
        batch = market.step(commands[position : position + size])
        position += size
        for index, replica in enumerate(replicas):
            feed = feeds[index]
            if draw.random() < 0.05:
                feeds[index] = replica.open(SYMBOL, 1)
                await feed_image(market, feeds[index])
            elif batch.first_sequence <= replica.view(SYMBOL).sequence + 1:
                for part in messages(batch):
                    await feed.receive(part)
            else:
                await feed_image(market, feed)
        for _ in range(draw.randint(0, 4)):
            await asyncio.sleep(0)
        if draw.random() < 0.15:
            subscription.heartbeat()
        if draw.random() < 0.1:
            subscription.close()
            await reader.idle()
            await reader.close()
            for message in reader.messages:
                checker.read(message)
            reader = Reader()
            checker.sequence = checker.through
            view = draw.choice(replicas).view(SYMBOL)
            subscription = subscribe_orders(reader, view, market, user=1, start=checker.through)
    for replica, feed in zip(replicas, feeds, strict=True):
        if replica.view(SYMBOL).sequence < market.engine.sequence:
            await feed_image(market, feed)
    async with asyncio.timeout(10):
        while checker.through < market.engine.sequence:
            subscription.heartbeat()
            await reader.idle()
            await asyncio.sleep(0.001)
            for message in reader.messages:
                checker.read(message)
            reader.texts.clear()
    assert checker.events == concerning(market, 1)
    await reader.close()


async def test_what_a_new_client_gets_begins_where_it_was_told() -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader()
    feed = replica.open(SYMBOL, 1)
    market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
    await feed_image(market, feed)
    subscribe_orders(reader, replica.view(SYMBOL), market, user=1, start=2)
    for part in messages(market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 101)])):
        await feed.receive(part)
    await reader.idle()
    subscribed, orders = reader.messages
    assert (subscribed["sequence"], subscribed["through"]) == (2, 2)
    assert [event["sequence"] for event in orders["events"]] == [3, 4]
    assert (orders["prev"], orders["sequence"], orders["through"]) == (2, 4, 4)
    await reader.close()


async def test_what_heartbeats_have_said_is_not_looked_for_after_a_restart() -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader()
    counters, checker = ReplayCounters(), ChainChecker(0)
    feed = replica.open(SYMBOL, 1)
    await feed_image(market, feed)
    subscription = subscribe_orders(
        reader, replica.view(SYMBOL), market, user=1, start=0, horizon=20, counters=counters
    )
    for _ in range(10):
        for part in messages(market.step([NewOrder(2, Side.BUY, OrderType.LIMIT, 1, 100)] * 2)):
            await feed.receive(part)
    subscription.heartbeat()
    market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
    await feed_image(market, feed)
    subscription.heartbeat()
    await until_through(reader, 42)
    for message in reader.messages:
        checker.read(message)
    assert checker.events == [41, 42]
    assert counters.resyncs == 0
    await reader.close()


@pytest.mark.parametrize("reason", ["far", "pruned"])
async def test_past_the_horizon_the_client_gets_its_open_orders_and_goes_on(reason: str) -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader()
    counters = ReplayCounters()
    feed = replica.open(SYMBOL, 1)
    for price in range(100, 150):
        market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, price)])
    await feed_image(market, feed)
    if reason == "pruned":
        market.forgotten = 20
    subscribe_orders(
        reader,
        replica.view(SYMBOL),
        market,
        user=1,
        start=10,
        horizon=50 if reason == "far" else 1_000,
        counters=counters,
    )
    await until_through(reader, 100)
    for part in messages(market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 99)])):
        await feed.receive(part)
    await until_through(reader, 102)
    resync = reader.messages[1]
    checker = ChainChecker(10)
    for message in reader.messages:
        checker.read(message)
    assert resync["type"] == "resync_required"
    assert resync["reason"] == "past_horizon"
    assert (resync["sequence"], resync["through"], resync["orders"]) == (100, 100, [])
    assert checker.events == [101, 102]
    assert counters.resyncs == 1
    await reader.close()


async def test_a_replay_waits_for_a_slow_reader_instead_of_dropping_it() -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader(limit=20)
    for _ in range(200):
        market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
    feed = replica.open(SYMBOL, 1)
    await feed_image(market, feed)
    reader.gate.clear()
    subscribe_orders(reader, replica.view(SYMBOL), market, user=1, start=0)
    for _ in range(500):
        await asyncio.sleep(0)
    assert len(reader.outbox) <= 12
    reader.gate.set()
    await until_through(reader, 400)
    checker = ChainChecker(0)
    for message in reader.messages:
        checker.read(message)
    assert checker.events == list(range(1, 401))
    assert not reader.overflowed
    await reader.close()


async def test_while_the_database_is_away_a_resume_waits_and_then_goes_on() -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader()
    market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
    feed = replica.open(SYMBOL, 1)
    await feed_image(market, feed)
    head, failures = market.head, [1, 2]

    async def sometimes(market_id: int) -> object:
        if failures:
            failures.pop()
            raise StoreUnavailable("PostgreSQL is away")
        return await head(market_id)

    market.head = sometimes  # type: ignore[method-assign,assignment]
    subscribe_orders(reader, replica.view(SYMBOL), market, user=1, start=0)
    await until_through(reader, 2)
    assert [event["sequence"] for event in reader.messages[-1]["events"]] == [1, 2]
    await reader.close()


async def test_a_large_result_comes_in_messages_of_bounded_size() -> None:
    market, replica, reader = ScriptedMarket(), Feeds(lookup), Reader()
    feed = replica.open(SYMBOL, 1)
    await feed_image(market, feed)
    subscribe_orders(reader, replica.view(SYMBOL), market, user=1, start=0)
    orders = [NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100 + n % 50) for n in range(3_000)]
    for part in messages(market.step(orders)):
        await feed.receive(part)
    await until_through(reader, 6_000)
    checker = ChainChecker(0)
    for message in reader.messages:
        checker.read(message)
    assert checker.events == list(range(1, 6_001))
    assert max(map(len, reader.texts)) < 250_000
    await reader.close()

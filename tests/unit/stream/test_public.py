from __future__ import annotations

import random
from itertools import pairwise

import pytest

from gomatch.engine import NewOrder, OrderType, Side
from gomatch_api.feeds import Feeds
from gomatch_api.stream.public import (
    DepthSubscription,
    TickerSubscription,
    TradesSubscription,
)
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, lookup, messages
from tests.unit.matcher.flows import random_commands
from tests.unit.stream.doubles import Book, Reader


@pytest.mark.parametrize("seed", range(6))
async def test_depth_is_right_at_any_pace_of_reading(seed: int) -> None:
    draw = random.Random(seed)
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader(limit=100)
    conflations: list[int] = []
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    view = feeds.view(SYMBOL)
    DepthSubscription(view, reader.outbox, on_conflation=lambda: conflations.append(1)).open("d")
    commands = random_commands(seed, 1_500)
    for start in range(0, len(commands), 3):
        if draw.random() < 0.02:
            (reader.gate.clear if reader.gate.is_set() else reader.gate.set)()
        for part in messages(market.step(commands[start : start + 3])):
            await feed.receive(part)
        if draw.random() < 0.3:
            await feed.receive(market.image(restart=False)[0]) if draw.random() < 0.05 else None
        if reader.gate.is_set():
            await reader.idle()
    reader.gate.set()
    await reader.idle()
    book = Book()
    for text in reader.messages:
        book.read(text)
    book.assert_equals(market)
    assert not reader.overflowed
    await reader.close()


async def test_a_slow_reader_gets_merged_depth_and_the_buffer_does_not_grow() -> None:
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader(limit=100)
    conflations: list[int] = []
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    DepthSubscription(
        feeds.view(SYMBOL), reader.outbox, on_conflation=lambda: conflations.append(1)
    ).open(None)
    await reader.idle()
    reader.gate.clear()
    for number in range(1_000):
        order = NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100 + number % 5)
        await feed.receive(messages(market.step([order]))[0])
    assert len(reader.outbox) < 50
    assert len(conflations) > 900
    reader.gate.set()
    await reader.idle()
    book = Book()
    for message in reader.messages:
        book.read(message)
    book.assert_equals(market)
    assert not reader.overflowed
    await reader.close()


async def test_a_subscription_made_before_the_matcher_calls_gets_its_snapshot_later() -> None:
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader()
    DepthSubscription(feeds.view(SYMBOL), reader.outbox, on_conflation=lambda: None).open(1)
    TickerSubscription(feeds.view(SYMBOL), reader.outbox).open(2)
    await reader.idle()
    assert [message["type"] for message in reader.messages] == ["subscribed", "subscribed"]
    market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    await reader.idle()
    snapshot, ticker = reader.messages[2:]
    assert snapshot["bids"] == [["1", "0.001"]]
    assert (ticker["bid"], ticker["ask"], ticker["state"]) == ("1", None, "running")
    await reader.close()


async def test_a_book_of_many_levels_comes_in_parts_that_make_one_snapshot() -> None:
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader()
    market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 1 + n) for n in range(25_000)])
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    DepthSubscription(feeds.view(SYMBOL), reader.outbox, on_conflation=lambda: None).open(1)
    await reader.idle()
    book = Book()
    for message in reader.messages:
        book.read(message)
    assert [message.get("more", False) for message in reader.messages[1:]] == [True, True, False]
    book.assert_equals(market)
    await reader.close()


async def test_trades_form_a_chain_over_restarts() -> None:
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader()
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    subscription = TradesSubscription(feeds.view(SYMBOL), reader.outbox)
    subscription.open("t")
    commands = random_commands(4, 200)
    for start in range(0, 200, 10):
        batch = market.step(commands[start : start + 10])
        if start == 100:
            for image in market.image():
                await feed.receive(image)
            continue
        for part in messages(batch):
            await feed.receive(part)
        subscription.heartbeat()
    await reader.idle()
    first, *rest = reader.messages
    sequence = first["sequence"]
    for message in rest:
        assert message["prev"] == sequence
        sequence = message["sequence"]
        assert sequence <= message["through"]
    assert [message["type"] for message in rest].count("resync_required") == 1
    assert any(message["type"] == "trades" for message in rest)
    await reader.close()


async def test_tickers_say_the_newest_state_and_form_a_chain() -> None:
    market, feeds, reader = ScriptedMarket(), Feeds(lookup), Reader()
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    subscription = TickerSubscription(feeds.view(SYMBOL), reader.outbox)
    subscription.open(None)
    await reader.idle()
    for number in range(50):
        order = NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100 + number)
        await feed.receive(messages(market.step([order]))[0])
    subscription._due()
    await reader.idle()
    tickers = [message for message in reader.messages if message["type"] == "ticker"]
    assert len(tickers) < 10
    assert tickers[-1]["bid"] == "1.49"
    assert tickers[-1]["sequence"] == 100
    for before, after in pairwise(tickers):
        assert after["prev"] == before["sequence"]
    subscription.close()
    await reader.close()

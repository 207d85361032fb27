from __future__ import annotations

import asyncio

import pytest

from gomatch.engine import CancelOrder, NewOrder, OrderType, Side, Traded
from gomatch.messages.callback import heartbeat_message, parse_request
from gomatch_api.feeds import Feeds
from gomatch_api.feeds.input import FeedInput
from gomatch_api.feeds.waits import ResultWaits
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, lookup, messages
from tests.unit.matcher.flows import random_commands


def order(user: int, side: Side, price: int, quantity: int = 1) -> NewOrder:
    return NewOrder(user, side, OrderType.LIMIT, quantity, price)


async def deliver(
    market: ScriptedMarket, feed: FeedInput, *commands: NewOrder | CancelOrder
) -> None:
    for message in messages(market.step(commands)):
        await feed.receive(message)


async def test_results_come_for_each_command_in_the_order_asked() -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup, journal=market)
    feed = feeds.open(SYMBOL, 1)
    waiting = asyncio.create_task(feeds.wait_applied(SYMBOL, [3, 1, 2], 5))
    await asyncio.sleep(0)
    await deliver(
        market, feed, order(1, Side.SELL, 100), order(2, Side.BUY, 100), CancelOrder(1, 1)
    )
    rejected, sold, bought = await waiting
    assert [type(event).__name__ for _, event in sold] == ["Accepted", "Rested"]
    assert [type(event).__name__ for _, event in bought] == ["Accepted", "Traded"]
    assert [type(event).__name__ for _, event in rejected] == ["Rejected"]
    assert [sequence for sequence, _ in sold + bought + rejected] == [1, 2, 3, 4, 5]


async def test_a_result_that_came_before_the_wait_is_found() -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    await deliver(market, feed, order(1, Side.SELL, 100))
    await deliver(market, feed, order(2, Side.BUY, 100))
    (events,) = await feeds.wait_applied(SYMBOL, [2], 0.1)
    assert isinstance(events[1][1], Traded)


async def test_a_result_that_this_replica_never_saw_is_read_from_the_journal() -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup, journal=market)
    early = asyncio.create_task(feeds.wait_applied(SYMBOL, [1, 2], 5))
    await asyncio.sleep(0)
    market.step([order(1, Side.SELL, 100), order(2, Side.BUY, 100)])
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    late = await feeds.wait_applied(SYMBOL, [1, 2], 5)
    assert await early == late
    assert [len(events) for events in late] == [2, 2]


async def test_what_is_not_applied_in_time_is_an_empty_list() -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup, journal=market)
    feed = feeds.open(SYMBOL, 1)
    waiting = asyncio.create_task(feeds.wait_applied(SYMBOL, [1, 2], 0.05))
    await asyncio.sleep(0)
    await deliver(market, feed, order(1, Side.SELL, 100))
    done, pending = await waiting
    assert done
    assert pending == []
    assert len(feeds.view(SYMBOL).waits) == 0


async def test_waiting_is_bounded() -> None:
    waits = ResultWaits(limit=2)
    first = asyncio.create_task(waits.wait([1, 2], reader=None, timeout=5))
    await asyncio.sleep(0)
    assert await waits.wait([3], reader=None, timeout=5) == [[]]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(waits) == 0


async def test_every_event_of_a_random_flow_belongs_to_one_command() -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup, journal=market)
    feed = feeds.open(SYMBOL, 1)
    commands = random_commands(3, 300)
    for start in range(0, 300, 30):
        for message in messages(market.step(commands[start : start + 30])):
            await feed.receive(message)
    recent = await feeds.wait_applied(SYMBOL, range(1, 301), 1)
    feeds.view(SYMBOL).waits.restart(300)
    read = await feeds.wait_applied(SYMBOL, range(1, 301), 1)
    assert recent == read
    assert all(recent)
    sequences = [sequence for events in recent for sequence, _ in events]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("healer", ["image", "heartbeat"])
async def test_a_batch_whose_last_part_was_lost_gets_its_results_all_the_same(healer: str) -> None:
    market = ScriptedMarket()
    feeds = Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    parts = messages(market.step([order(1, Side.BUY, 100 + n) for n in range(10_000)]))
    for part in parts:
        if part.batch.last_sequence >= part.batch.first_sequence:
            await feed.receive(part)
    view = feeds.view(SYMBOL)
    assert (view.sequence, view.applied) == (20_000, 0)
    feed = feeds.open(SYMBOL, 1)
    if healer == "image":
        for image in market.image(restart=False):
            await feed.receive(image)
    else:
        beat = heartbeat_message(epoch=1, sequence=20_000, applied=10_000)
        await feed.receive(parse_request(beat))
    assert view.applied == 10_000
    (events,) = await feeds.wait_applied(SYMBOL, [10_000], 0.1)
    assert [sequence for sequence, _ in events] == [19_999, 20_000]

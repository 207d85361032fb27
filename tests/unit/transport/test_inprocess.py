"""The in-process transport behaves like the broker."""

from __future__ import annotations

import asyncio

import pytest

from gomatch.errors import PublishFailed
from gomatch.messages.envelope import CommandBatch
from gomatch.transport import CommandConsumer, InProcessTransport
from tests.fixtures.batches import make_batch
from tests.fixtures.faulty_transport import Faults, FaultyTransport

MARKET = "BTC-USDT"


async def fill(transport: InProcessTransport, count: int) -> list[CommandBatch]:
    publisher = await transport.publisher()
    sent = [make_batch(MARKET, first) for first in range(1, count + 1)]
    for batch in sent:
        await publisher.publish(batch, timeout=1)
    return sent


async def numbers(consumer: CommandConsumer, limit: int = 100) -> list[int]:
    return [d.batch.first for d in await consumer.take(limit=limit, timeout=0.01)]


async def test_batches_arrive_in_order_up_to_the_limit() -> None:
    transport = InProcessTransport()
    await fill(transport, 5)
    consumer = await transport.consumer(MARKET, prefetch=10)
    assert await numbers(consumer, 3) == [1, 2, 3]
    assert await numbers(consumer) == [4, 5]
    assert await numbers(consumer) == []


async def test_waiting_ends_with_the_first_batch() -> None:
    transport = InProcessTransport()
    consumer = await transport.consumer(MARKET, prefetch=10)
    waiting = asyncio.create_task(consumer.take(limit=10, timeout=30))
    await asyncio.sleep(0)
    (sent,) = await fill(transport, 1)
    assert [d.batch for d in await waiting] == [sent]


async def test_the_prefetch_bounds_what_is_not_acknowledged() -> None:
    transport = InProcessTransport()
    await fill(transport, 3)
    consumer = await transport.consumer(MARKET, prefetch=2)
    taken = await consumer.take(limit=10, timeout=0)
    assert await numbers(consumer) == []
    waiting = asyncio.create_task(consumer.take(limit=10, timeout=30))
    await asyncio.sleep(0)
    await consumer.ack(taken[1])
    assert [d.batch.first for d in await waiting] == [3]


async def test_what_was_not_acknowledged_goes_to_the_next_consumer_first() -> None:
    transport = InProcessTransport()
    await fill(transport, 4)
    consumer = await transport.consumer(MARKET, prefetch=3)
    taken = await consumer.take(limit=10, timeout=0)
    await consumer.ack(taken[0])
    await consumer.close()
    await consumer.close()
    again = await transport.consumer(MARKET, prefetch=10)
    assert await numbers(again) == [2, 3, 4]


async def test_only_the_first_consumer_is_active_until_it_ends() -> None:
    transport = InProcessTransport()
    active = await transport.consumer(MARKET, prefetch=10)
    waiting = await transport.consumer(MARKET, prefetch=10)
    await fill(transport, 1)
    assert await numbers(waiting) == []
    task = asyncio.create_task(waiting.take(limit=10, timeout=30))
    await asyncio.sleep(0)
    assert await numbers(active) == [1]
    await active.close()
    assert [d.batch.first for d in await task] == [1]


async def test_a_full_queue_refuses() -> None:
    transport = InProcessTransport(max_length=2)
    await fill(transport, 2)
    publisher = await transport.publisher()
    with pytest.raises(PublishFailed, match="holds 2"):
        await publisher.publish(make_batch(MARKET, 3), timeout=1)
    assert await transport.depth(MARKET) == 2


async def test_what_cannot_be_decoded_is_put_aside_with_the_reason() -> None:
    transport = InProcessTransport()
    publisher = await transport.publisher()
    broken = CommandBatch(MARKET, 1, 1, 0, b"\xff")
    await publisher.publish(broken, timeout=1)
    await publisher.publish(make_batch(MARKET, 2), timeout=1)
    consumer = await transport.consumer(MARKET, prefetch=10)
    (delivery,) = await consumer.take(limit=10, timeout=0)
    assert delivery.batch.first == 2
    await consumer.reject(delivery, reason="never accepted")
    assert [(batch.first, reason) for batch, reason in transport.dead] == [
        (1, "unknown version ff of the compact form"),
        (2, "never accepted"),
    ]
    await consumer.close()
    assert await transport.depth(MARKET) == 0


async def test_the_faulty_transport_loses_repeats_and_reorders_as_its_seed_says() -> None:
    async def run(seed: int) -> list[int]:
        faulty = FaultyTransport(
            InProcessTransport(), seed=seed, faults=Faults(lose=0.1, repeat=0.1, reorder=0.2)
        )
        publisher = await faulty.publisher()
        for first in range(1, 201):
            await publisher.publish(make_batch(MARKET, first), timeout=1)
        consumer = await faulty.consumer(MARKET, prefetch=1_000)
        got = [d.batch.first for d in await consumer.take(limit=1_000, timeout=0)]
        assert faulty.lost
        assert faulty.repeated
        assert faulty.reordered
        return got

    first = await run(7)
    assert first == await run(7)
    assert first != await run(8)
    assert set(first) < set(range(1, 201))
    assert len(first) > len(set(first))
    assert first != sorted(first)

"""A broker that falls silent in the middle of something, behind a proxy that forwards nothing."""

from __future__ import annotations

import asyncio

import pytest

from gomatch.transport import RabbitMQTransport
from tests.fixtures.batches import make_batch
from tests.fixtures.links import ProxyFactory
from tests.fixtures.proxy import Direction
from tests.fixtures.queues import make_queue

MARKET = "BTC-USDT"
CHANNEL_OPEN = b"\x00\x14\x00\x0a"
QUEUE_DECLARE = b"\x00\x32\x00\x0a"
BASIC_CONSUME = b"\x00\x3c\x00\x14"


@pytest.mark.parametrize("moment", [CHANNEL_OPEN, QUEUE_DECLARE, BASIC_CONSUME])
async def test_a_broker_that_falls_silent_as_a_consumer_is_set_up_is_connected_to_again(
    rabbitmq_url: str, tcp_proxy: ProxyFactory, moment: bytes
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    stalled = asyncio.Event()

    def stall(direction: Direction, piece: bytes) -> None:
        if direction == "to_server" and moment in piece and not stalled.is_set():
            stalled.set()
            proxy.stall()

    proxy.hook = stall
    transport = RabbitMQTransport(proxy.url(rabbitmq_url))
    consumer = await transport.consumer(MARKET, prefetch=10)
    try:
        async with asyncio.timeout(60):
            await stalled.wait()
            seen = proxy.accepted
            while proxy.accepted == seen:
                await asyncio.sleep(0.05)
        proxy.restore()
        direct = RabbitMQTransport(rabbitmq_url)
        try:
            await make_queue(rabbitmq_url, MARKET)
            publisher = await direct.publisher()
            await publisher.publish(make_batch(MARKET, 1), timeout=30)
            async with asyncio.timeout(60):
                while not (taken := await consumer.take(limit=1, timeout=1)):
                    pass
            assert taken[0].batch.first == 1
        finally:
            await direct.close()
    finally:
        await transport.close()

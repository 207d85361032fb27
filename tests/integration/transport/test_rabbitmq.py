"""RabbitMQTransport on a real broker."""

from __future__ import annotations

import asyncio

import pytest
from aio_pika.abc import AbstractRobustConnection

from gomatch.cli.servers import RabbitServer
from gomatch.errors import ConfigurationError, PublishFailed
from gomatch.transport import (
    RabbitMQTransport,
)
from tests.fixtures.batches import make_batch
from tests.fixtures.broker import MARKET, Counts, publish_until_confirmed, take_numbers
from tests.fixtures.links import ProxyFactory
from tests.fixtures.queues import delete_queue, make_queue
from tests.fixtures.servers import wait_for_queues_on_disk

QUEUE = f"gomatch.orders.{MARKET}"


async def test_batches_arrive_whole_and_in_order(transport: RabbitMQTransport) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=100)
    sent = [make_batch(MARKET, first, 3, trace=f"trace-{first}") for first in range(1, 300, 3)]
    for batch in sent:
        await publisher.publish(batch, timeout=30)
    taken = await take_numbers(consumer, 100)
    assert [delivery.batch for delivery in taken] == sent


async def test_many_publishes_are_in_flight_at_once(
    transport: RabbitMQTransport, counts: Counts
) -> None:
    publisher = await transport.publisher()
    async with asyncio.TaskGroup() as group:
        for first in range(1, 501):
            group.create_task(publisher.publish(make_batch(MARKET, first), timeout=30))
    assert counts.seen["published"] == 500
    assert await transport.depth(MARKET) == 500


async def test_acknowledging_one_acknowledges_all_before_it_and_none_after(
    transport: RabbitMQTransport,
) -> None:
    publisher = await transport.publisher()
    for first in range(1, 6):
        await publisher.publish(make_batch(MARKET, first), timeout=30)
    consumer = await transport.consumer(MARKET, prefetch=10)
    taken = await take_numbers(consumer, 5)
    await consumer.ack(taken[2])
    await consumer.close()
    again = await transport.consumer(MARKET, prefetch=10)
    assert [d.batch.first for d in await take_numbers(again, 2)] == [4, 5]


async def test_no_more_than_the_prefetch_is_delivered_unacknowledged(
    transport: RabbitMQTransport,
) -> None:
    publisher = await transport.publisher()
    for number in range(1, 6):
        await publisher.publish(make_batch(MARKET, number), timeout=30)
    consumer = await transport.consumer(MARKET, prefetch=2)
    first, second = await take_numbers(consumer, 2)
    assert await consumer.take(limit=10, timeout=0.3) == []
    await consumer.ack(second)
    assert [d.batch.first for d in await take_numbers(consumer, 2)] == [3, 4]
    assert first.batch.first == 1


async def test_a_purge_loses_messages_and_nothing_else(
    transport: RabbitMQTransport, stranger: AbstractRobustConnection
) -> None:
    publisher = await transport.publisher()
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    channel = await stranger.channel()
    await (await channel.get_queue(QUEUE)).purge()
    consumer = await transport.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 2), timeout=30)
    assert [d.batch.first for d in await take_numbers(consumer, 1)] == [2]


async def test_a_deleted_queue_without_a_consumer_is_made_again_by_the_publisher(
    rabbitmq_url: str, transport: RabbitMQTransport, counts: Counts
) -> None:
    publisher = await transport.publisher()
    await delete_queue(rabbitmq_url, MARKET)
    assert await transport.depth(MARKET) is None
    with pytest.raises(PublishFailed, match="no queue"):
        await publisher.publish(make_batch(MARKET, 1), timeout=30)
    async with asyncio.TaskGroup() as group:
        for first in range(2, 22):
            group.create_task(publish_until_confirmed(publisher, make_batch(MARKET, first)))
    assert await transport.depth(MARKET) == 20
    assert counts.seen["redeclared"] == 1


async def test_a_queue_deleted_under_its_consumer_is_made_again_and_consumed(
    rabbitmq_url: str,
    transport: RabbitMQTransport,
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    taken = await take_numbers(consumer, 1)
    await delete_queue(rabbitmq_url, MARKET)
    await consumer.ack(taken[0])
    await publish_until_confirmed(publisher, make_batch(MARKET, 2))
    assert [d.batch.first for d in await take_numbers(consumer, 1)] == [2]


async def test_a_deleted_exchange_is_made_again(
    transport: RabbitMQTransport, stranger: AbstractRobustConnection
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=10)
    channel = await stranger.channel()
    await channel.exchange_delete("gomatch.orders")
    with pytest.raises(PublishFailed):
        await publisher.publish(make_batch(MARKET, 1), timeout=5)
    await publish_until_confirmed(publisher, make_batch(MARKET, 2))
    assert [d.batch.first for d in await take_numbers(consumer, 1)] == [2]


async def test_a_market_that_nobody_declared_gets_a_queue_by_publishing(
    transport: RabbitMQTransport,
) -> None:
    publisher = await transport.publisher()
    await publish_until_confirmed(publisher, make_batch("NEW-USDT", 1))
    assert await transport.depth("NEW-USDT") == 1


@pytest.mark.parametrize("bounded_by", ["argument", "policy"])
async def test_a_full_queue_refuses_and_keeps_the_oldest(
    bounded_by: str, rabbitmq_server: RabbitServer, rabbitmq_url: str, counts: Counts
) -> None:
    length = 3 if bounded_by == "argument" else 0
    if bounded_by == "policy":
        vhost, rule = (
            rabbitmq_url.rpartition("/")[2],
            '{"max-length":3,"overflow":"reject-publish"}',
        )
        await asyncio.to_thread(
            rabbitmq_server.control, "set_policy", "-p", vhost, "length", "FULL-USDT$", rule
        )
    transport = RabbitMQTransport(rabbitmq_url, queue_length=length, hooks=counts.hooks())
    publisher = await transport.publisher()
    await publish_until_confirmed(publisher, make_batch("FULL-USDT", 1))
    refused = 0
    for first in range(2, 11):
        try:
            await publisher.publish(make_batch("FULL-USDT", first), timeout=30)
        except PublishFailed as error:
            assert "full" in str(error)  # noqa: PT017  how many are refused is the broker's
            refused += 1
    assert refused > 0
    assert counts.seen["nacked"] == refused
    consumer = await transport.consumer("FULL-USDT", prefetch=20)
    first_delivery = (await take_numbers(consumer, 1))[0]
    assert first_delivery.batch.first == 1
    await transport.close()


async def test_a_cut_connection_comes_back_and_unacknowledged_batches_with_it(
    rabbitmq_url: str, transport: RabbitMQTransport, tcp_proxy: ProxyFactory, counts: Counts
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    linked = RabbitMQTransport(proxy.url(rabbitmq_url), hooks=counts.hooks())
    publisher = await transport.publisher()
    consumer = await linked.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    before = await take_numbers(consumer, 1)
    proxy.drop()
    await publisher.publish(make_batch(MARKET, 2), timeout=30)
    after = await take_numbers(consumer, 2)
    assert [d.batch.first for d in after] == [1, 2]
    # The old delivery's connection is gone: this must not acknowledge anything on the new one.
    await consumer.ack(before[0])
    await linked.close()
    again = await transport.consumer(MARKET, prefetch=10)
    assert [d.batch.first for d in await take_numbers(again, 2)] == [1, 2]
    assert counts.seen["reconnected"] >= 1


async def test_publishing_through_a_cut_link_fails_and_works_again_once_restored(
    rabbitmq_url: str, transport: RabbitMQTransport, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    linked = RabbitMQTransport(proxy.url(rabbitmq_url))
    publisher = await linked.publisher()
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    proxy.cut()
    with pytest.raises(PublishFailed):
        await publisher.publish(make_batch(MARKET, 2), timeout=5)
    proxy.restore()
    await publish_until_confirmed(publisher, make_batch(MARKET, 3))
    assert await transport.depth(MARKET) in (2, 3)
    await linked.close()


async def test_publishes_under_way_fail_when_the_link_is_cut(
    rabbitmq_url: str, transport: RabbitMQTransport, tcp_proxy: ProxyFactory, counts: Counts
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    linked = RabbitMQTransport(proxy.url(rabbitmq_url), hooks=counts.hooks())
    publisher = await linked.publisher()
    proxy.stall("to_client")
    under_way = [
        asyncio.create_task(publisher.publish(make_batch(MARKET, first), timeout=30))
        for first in range(1, 11)
    ]
    async with asyncio.timeout(60):
        while (await transport.depth(MARKET) or 0) < 10:
            await asyncio.sleep(0.02)
    proxy.drop()
    results = await asyncio.gather(*under_way, return_exceptions=True)
    assert [type(result) for result in results] == [PublishFailed] * 10
    assert counts.seen["disconnected"] == 10
    proxy.restore()
    await linked.close()


async def test_a_stalled_broker_costs_no_more_than_the_timeout(
    rabbitmq_url: str, transport: RabbitMQTransport, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    linked = RabbitMQTransport(proxy.url(rabbitmq_url))
    publisher = await linked.publisher()
    proxy.stall()
    with pytest.raises(PublishFailed, match="in time"):
        await publisher.publish(make_batch(MARKET, 1), timeout=0.2)
    proxy.restore()
    await publish_until_confirmed(publisher, make_batch(MARKET, 1))
    await linked.close()


async def test_confirmed_batches_survive_the_kill_of_the_broker(
    rabbitmq_server: RabbitServer, transport: RabbitMQTransport, counts: Counts
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=100)
    for first in range(1, 11):
        await publisher.publish(make_batch(MARKET, first), timeout=30)
    await wait_for_queues_on_disk(rabbitmq_server)
    await rabbitmq_server.kill()
    with pytest.raises(PublishFailed):
        await publisher.publish(make_batch(MARKET, 11), timeout=5)
    assert await transport.depth(MARKET) is None
    await rabbitmq_server.start()
    await publish_until_confirmed(publisher, make_batch(MARKET, 12))
    seen: set[int] = set()
    async with asyncio.timeout(60):
        while 12 not in seen:
            for delivery in await consumer.take(limit=100, timeout=1):
                seen.add(delivery.batch.first)
                await consumer.ack(delivery)
    assert seen >= {*range(1, 11), 12}
    assert counts.seen["reconnected"] >= 2


async def test_the_second_consumer_waits_and_takes_over_when_the_first_ends(
    transport: RabbitMQTransport,
) -> None:
    publisher = await transport.publisher()
    active = await transport.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    assert [d.batch.first for d in await take_numbers(active, 1)] == [1]
    waiting = await transport.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 2), timeout=30)
    assert [d.batch.first for d in await take_numbers(active, 1)] == [2]
    assert await waiting.take(limit=10, timeout=0.3) == []
    await active.close()
    assert [d.batch.first for d in await take_numbers(waiting, 2)] == [1, 2]


async def test_a_queue_with_other_properties_is_reported_with_what_to_do(
    rabbitmq_url: str, stranger: AbstractRobustConnection
) -> None:
    channel = await stranger.channel()
    await channel.declare_queue(QUEUE, durable=True)
    with pytest.raises(ConfigurationError, match=r"BTC-USDT.*Delete them"):
        await make_queue(rabbitmq_url, MARKET)


async def test_a_queue_that_is_there_keeps_its_length(
    rabbitmq_url: str, transport: RabbitMQTransport
) -> None:
    assert not await make_queue(rabbitmq_url, MARKET)
    assert not await make_queue(rabbitmq_url, MARKET, length=1)
    publisher = await transport.publisher()
    for first in range(1, 6):
        await publisher.publish(make_batch(MARKET, first), timeout=30)
    assert await transport.depth(MARKET) == 5


async def test_a_broker_that_is_down_at_the_start_is_connected_to_once_it_is_there(
    rabbitmq_url: str, transport: RabbitMQTransport, tcp_proxy: ProxyFactory, counts: Counts
) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    proxy.cut()
    linked = RabbitMQTransport(proxy.url(rabbitmq_url), hooks=counts.hooks())
    consumer = await linked.consumer(MARKET, prefetch=10)
    assert await consumer.take(limit=1, timeout=0.2) == []
    async with asyncio.timeout(60):
        while not counts.seen["connect_failed"]:
            await asyncio.sleep(0.02)
    proxy.restore()
    publisher = await transport.publisher()
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    assert [d.batch.first for d in await take_numbers(consumer, 1)] == [1]
    await linked.close()


async def test_closing_ends_every_connection(rabbitmq_url: str, tcp_proxy: ProxyFactory) -> None:
    proxy = await tcp_proxy(rabbitmq_url)
    transport = RabbitMQTransport(proxy.url(rabbitmq_url))
    await make_queue(rabbitmq_url, MARKET)
    publisher = await transport.publisher()
    await transport.consumer(MARKET, prefetch=10)
    await publisher.publish(make_batch(MARKET, 1), timeout=30)
    await transport.close()
    async with asyncio.timeout(60):
        while proxy.connections:
            await asyncio.sleep(0.02)

"""API and matcher with no more rights at the broker than docs/credentials.md gives them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gomatch.errors import PublishFailed
from gomatch.transport import RabbitMQTransport
from tests.fixtures.batches import make_batch
from tests.fixtures.broker import MARKET, publish_until_confirmed, take_numbers
from tests.fixtures.management import BrokerAdmin
from tests.fixtures.queues import delete_queue, make_queue

NOTHING = "^$"
MATCHER_RIGHTS = r"^gomatch\.(dead|orders(\..*)?)$"
API_RIGHTS = r"^gomatch\.orders$"


@pytest.fixture
async def matchers(
    broker_admin: BrokerAdmin, numbers: Iterator[int]
) -> AsyncIterator[RabbitMQTransport]:
    name = f"matcher{next(numbers)}"
    broker_admin.make_user(
        name,
        "m",
        tags="",
        configure=MATCHER_RIGHTS,
        write=MATCHER_RIGHTS,
        read=MATCHER_RIGHTS,
    )
    transport = RabbitMQTransport(broker_admin.amqp_url.replace("guest:guest", f"{name}:m"))
    yield transport
    await transport.close()
    broker_admin.delete(f"users/{name}")


@pytest.fixture
async def apis(
    broker_admin: BrokerAdmin, numbers: Iterator[int]
) -> AsyncIterator[RabbitMQTransport]:
    name = f"api{next(numbers)}"
    broker_admin.make_user(name, "a", tags="", configure=API_RIGHTS, write=API_RIGHTS, read=NOTHING)
    transport = RabbitMQTransport(broker_admin.amqp_url.replace("guest:guest", f"{name}:a"))
    yield transport
    await transport.close()
    broker_admin.delete(f"users/{name}")


async def test_commands_reach_the_matcher_and_bad_ones_the_dead_letters(
    apis: RabbitMQTransport, matchers: RabbitMQTransport, broker_admin: BrokerAdmin
) -> None:
    consumer = await matchers.consumer(MARKET, prefetch=10)
    publisher = await apis.publisher()

    for number in (1, 2):
        await publish_until_confirmed(publisher, make_batch(MARKET, number))
    first, second = await take_numbers(consumer, 2)
    await consumer.ack(first)
    await consumer.reject(second, reason="cannot be read")

    async with broker_admin.connect() as channel:
        letter = await (await channel.get_queue("gomatch.dead")).get(timeout=30)
    assert letter is not None
    assert letter.headers["reason"] == "cannot be read"


async def test_a_matcher_makes_a_deleted_queue_again_and_the_api_finds_it(
    apis: RabbitMQTransport, matchers: RabbitMQTransport, broker_admin: BrokerAdmin
) -> None:
    consumer = await matchers.consumer(MARKET, prefetch=10)
    publisher = await apis.publisher()
    await publish_until_confirmed(publisher, make_batch(MARKET, 1))
    [delivery] = await take_numbers(consumer, 1)
    await consumer.ack(delivery)

    await delete_queue(broker_admin.amqp_url, MARKET)
    await publish_until_confirmed(publisher, make_batch(MARKET, 2))

    assert [each.batch.first for each in await take_numbers(consumer, 1)] == [2]


async def test_without_a_queue_the_api_fails_to_publish_and_recovers_once_there_is_one(
    apis: RabbitMQTransport, broker_admin: BrokerAdmin
) -> None:
    publisher = await apis.publisher()
    with pytest.raises(PublishFailed):
        await publisher.publish(make_batch(MARKET, 1), timeout=10)

    await make_queue(broker_admin.amqp_url, MARKET)

    await publish_until_confirmed(publisher, make_batch(MARKET, 2))

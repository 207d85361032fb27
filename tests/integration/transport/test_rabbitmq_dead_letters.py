"""What cannot be a market's commands is put aside, with its reason, on a real broker."""

from __future__ import annotations

import asyncio

from aio_pika import Message
from aio_pika.abc import AbstractRobustConnection
from aiormq.abc import ChannelFrame
from pamqp import commands as spec
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from gomatch.transport import (
    RabbitMQTransport,
)
from gomatch.transport.wire import CONTENT_TYPE, headers_of
from tests.fixtures.batches import make_batch
from tests.fixtures.broker import MARKET, Counts, publish_until_confirmed, take_numbers


async def send_raw(
    connection: AbstractRobustConnection, body: bytes, *, content_type: str, headers: object
) -> None:
    channel = await connection.channel()
    exchange = await channel.get_exchange("gomatch.orders")
    message = Message(body, content_type=content_type, headers=headers)  # type: ignore[arg-type]
    await exchange.publish(message, routing_key=MARKET)
    await channel.close()


async def dead_letters(connection: AbstractRobustConnection, count: int) -> list[Message]:
    channel = await connection.channel()
    queue = await channel.get_queue("gomatch.dead")
    letters: list[Message] = []
    async with asyncio.timeout(60):
        while len(letters) < count:
            letter = await queue.get(no_ack=True, fail=False)
            if letter is None:
                await asyncio.sleep(0.05)
            else:
                letters.append(letter)  # type: ignore[arg-type]
    await channel.close()
    return letters


async def count_dead_letters(connection: AbstractRobustConnection) -> int:
    async with connection.channel() as channel:
        queue = await channel.declare_queue("gomatch.dead", passive=True)
        return queue.declaration_result.message_count or 0


async def send_undecodable_frame(connection: AbstractRobustConnection) -> None:
    """A message whose properties are no UTF-8: the client library gives the connection up."""
    channel = await connection.channel(publisher_confirms=False)
    underlying = await channel.get_underlay_channel()
    properties = spec.Basic.Properties(content_type="PLACEHOLDER")
    frame = ChannelFrame.marshall(
        channel_number=underlying.number,
        frames=[
            spec.Basic.Publish(exchange="gomatch.orders", routing_key=MARKET),
            ContentHeader(properties=properties, body_size=1),
            ContentBody(b"x"),
        ],
    )
    payload = frame.payload.replace(b"PLACEHOLDER", b"\xff" * 11)
    await underlying.connection.write_queue.put(ChannelFrame(payload, should_close=False))
    await channel.close()


GARBAGE: list[tuple[str, bytes, str, object]] = [
    ("content type", b"hello", "text/plain", {}),
    ("header market", b"", CONTENT_TYPE, {}),
    ("market 'ETH-USDT'", b"", CONTENT_TYPE, {"market": "ETH-USDT"}),
    ("header first is None", b"", CONTENT_TYPE, {"market": MARKET}),
    ("header first is 'one'", b"", CONTENT_TYPE, {"market": MARKET, "first": "one", "last": 1}),
    ("header last is True", b"", CONTENT_TYPE, {"market": MARKET, "first": 1, "last": True}),
    ("header first is out of range", b"", CONTENT_TYPE, {"market": MARKET, "first": -1, "last": 1}),
    (
        "header trace",
        make_batch(MARKET, 1).bodies,
        CONTENT_TYPE,
        {**headers_of(make_batch(MARKET, 1)), "trace": 5},
    ),
    ("unknown version", b"\xff\xfe", CONTENT_TYPE, headers_of(make_batch(MARKET, 1))),
    ("unknown version", b"", CONTENT_TYPE, headers_of(make_batch(MARKET, 1))),
    ("malformed", b"\x01\x91\x93", CONTENT_TYPE, headers_of(make_batch(MARKET, 1))),
    ("malformed", b"\x01" + b"\x91" * 100_000, CONTENT_TYPE, headers_of(make_batch(MARKET, 1))),
    (
        "3 commands under numbers 1 to 2",
        make_batch(MARKET, 1, 3).bodies,
        CONTENT_TYPE,
        headers_of(make_batch(MARKET, 1, 2)),
    ),
    ("bytes are more than", bytes(9_000_000), CONTENT_TYPE, headers_of(make_batch(MARKET, 1))),
]


async def test_garbage_is_dead_lettered_with_its_reason_and_the_next_batch_is_delivered(
    transport: RabbitMQTransport, stranger: AbstractRobustConnection, counts: Counts
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=4)
    for number, (_, body, content_type, headers) in enumerate(GARBAGE, start=1):
        await send_raw(stranger, body, content_type=content_type, headers=headers)
        await publisher.publish(make_batch(MARKET, number), timeout=30)
        (delivery,) = await take_numbers(consumer, 1)
        assert delivery.batch == make_batch(MARKET, number)
        await consumer.ack(delivery)
    letters = await dead_letters(stranger, len(GARBAGE))
    for letter, (reason, body, _, _) in zip(letters, GARBAGE, strict=True):
        assert reason in str(letter.headers["reason"])
        assert letter.headers["market"] == MARKET
        assert letter.body == body
    assert len(counts.reasons) == len(GARBAGE)
    assert await transport.depth(MARKET) == 0


async def test_a_rejected_batch_is_dead_lettered_alone(
    transport: RabbitMQTransport, stranger: AbstractRobustConnection
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=10)
    for first in range(1, 4):
        await publisher.publish(make_batch(MARKET, first), timeout=30)
    taken = await take_numbers(consumer, 3)
    await consumer.reject(taken[1], reason="never accepted")
    (letter,) = await dead_letters(stranger, 1)
    assert letter.headers["reason"] == "never accepted"
    assert letter.headers["first"] == 2
    await consumer.close()
    again = await transport.consumer(MARKET, prefetch=10)
    assert [d.batch.first for d in await take_numbers(again, 2)] == [1, 3]


async def test_a_message_that_kills_every_connection_ends_in_the_dead_letter_queue(
    transport: RabbitMQTransport, stranger: AbstractRobustConnection
) -> None:
    publisher = await transport.publisher()
    consumer = await transport.consumer(MARKET, prefetch=10)
    await send_undecodable_frame(stranger)
    async with asyncio.timeout(60):
        while await count_dead_letters(stranger) < 1:
            await consumer.take(limit=10, timeout=0.1)
    await publish_until_confirmed(publisher, make_batch(MARKET, 1))
    (delivery,) = await take_numbers(consumer, 1)
    assert delivery.batch == make_batch(MARKET, 1)

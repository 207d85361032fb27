"""Exchanges and queues, declared here and nowhere else."""

from __future__ import annotations

from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

EXCHANGE = "gomatch.orders"
DEAD_EXCHANGE = "gomatch.dead"
DEAD_QUEUE = "gomatch.dead"


def queue_name(market: str) -> str:
    return f"{EXCHANGE}.{market}"


def queue_arguments(max_length: int | None) -> dict[str, Any]:
    """Of a market's queue. A message that RabbitMQ gives up on (its delivery limit) goes to the
    dead-letter queue; its commands are read from PostgreSQL, so nothing depends on it."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
    }
    if max_length is not None:
        arguments["x-max-length"] = max_length
        # The default drops the oldest silently.
        arguments["x-overflow"] = "reject-publish"
    return arguments


async def declare_exchange(channel: AbstractChannel, *, timeout: float) -> AbstractExchange:
    return await channel.declare_exchange(
        EXCHANGE, ExchangeType.DIRECT, durable=True, timeout=timeout
    )


async def declare_market(
    channel: AbstractChannel, market: str, *, max_length: int | None, timeout: float
) -> AbstractQueue:
    """Exchange, dead-letter queue and the market's queue with its binding."""
    exchange = await declare_exchange(channel, timeout=timeout)
    await declare_dead_letters(channel, timeout=timeout)
    queue = await channel.declare_queue(
        queue_name(market), durable=True, arguments=queue_arguments(max_length), timeout=timeout
    )
    await queue.bind(exchange, routing_key=market, timeout=timeout)
    return queue


async def declare_dead_letters(channel: AbstractChannel, *, timeout: float) -> AbstractExchange:
    exchange = await channel.declare_exchange(
        DEAD_EXCHANGE, ExchangeType.FANOUT, durable=True, timeout=timeout
    )
    queue = await channel.declare_queue(
        DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"}, timeout=timeout
    )
    await queue.bind(exchange, timeout=timeout)
    return exchange

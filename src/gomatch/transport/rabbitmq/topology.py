"""Exchanges and queues: their names and properties, and the only place that declares them."""

from __future__ import annotations

from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from gomatch.errors import ConfigurationError

EXCHANGE = "gomatch.orders"
DEAD = "gomatch.dead"
"""The dead-letter exchange and its queue."""

_TIMEOUT = 10.0
_DEAD_LIMIT = 100_000
_DELIVERY_LIMIT = 20


def queue_name(market: str) -> str:
    return f"{EXCHANGE}.{market}"


def queue_arguments(length: int) -> dict[str, Any]:
    """The delivery limit is what newer brokers have by default. It ends the loop of a message
    that kills each connection it is delivered on. Live batches that meet it, because they were
    delivered beside such a message or their matcher kept crashing, are dead-lettered too, and
    their numbers are read from PostgreSQL.

    ``length`` batches at most may wait, 0 is no limit; then publishing fails."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-dead-letter-exchange": DEAD,
        "x-delivery-limit": _DELIVERY_LIMIT,
    }
    if length:
        arguments["x-max-length"] = length
        arguments["x-overflow"] = "reject-publish"
    return arguments


def dead_letter_arguments() -> dict[str, Any]:
    """Of the queue ``DEAD``."""
    return {"x-queue-type": "quorum", "x-max-length": _DEAD_LIMIT}


async def ensure(connection: AbstractConnection, market: str, *, length: int = 0) -> bool:
    """Make what is missing, without looking at the properties of what is there.

    True when something was missing. Raises ConfigurationError when some of it exists with other
    properties than the rest is made with.
    """
    channel = connection.channel(publisher_confirms=False)
    try:
        await channel.initialize(timeout=_TIMEOUT)
        await channel.declare_exchange(EXCHANGE, passive=True, timeout=_TIMEOUT)
        await channel.declare_exchange(DEAD, passive=True, timeout=_TIMEOUT)
        dead = await channel.declare_queue(DEAD, passive=True, timeout=_TIMEOUT)
        queue = await channel.declare_queue(queue_name(market), passive=True, timeout=_TIMEOUT)
        await queue.bind(EXCHANGE, routing_key=market, timeout=_TIMEOUT)
        await dead.bind(DEAD, timeout=_TIMEOUT)
    except ChannelNotFoundEntity:
        await _make(connection, market, length)
        return True
    finally:
        await channel.close()
    return False


async def ensure_exchange(connection: AbstractConnection) -> None:
    """What a publisher needs: publishing to an exchange that is missing costs the channel.

    Raises ConfigurationError when it exists with other properties.
    """
    channel = connection.channel(publisher_confirms=False)
    try:
        await channel.initialize(timeout=_TIMEOUT)
        await channel.declare_exchange(
            EXCHANGE, ExchangeType.DIRECT, durable=True, timeout=_TIMEOUT
        )
    except ChannelPreconditionFailed as error:
        raise ConfigurationError(
            f"the broker has an exchange {EXCHANGE} with other properties: {error}. Delete it"
        ) from error
    finally:
        await channel.close()


async def count(connection: AbstractConnection, market: str) -> int | None:
    """Messages ready for delivery; None when there is no such queue."""
    channel = connection.channel(publisher_confirms=False)
    try:
        await channel.initialize(timeout=_TIMEOUT)
        queue = await channel.declare_queue(queue_name(market), passive=True, timeout=_TIMEOUT)
        return queue.declaration_result.message_count
    except ChannelNotFoundEntity:
        return None
    finally:
        await channel.close()


async def _make(connection: AbstractConnection, market: str, length: int) -> None:
    channel = connection.channel(publisher_confirms=False)
    try:
        await channel.initialize(timeout=_TIMEOUT)
        await _declare(channel, market, length)
    except ChannelPreconditionFailed as error:
        raise ConfigurationError(
            f"the broker has queues or exchanges of market {market} with other properties: "
            f"{error}. Delete them (their commands are safe in PostgreSQL) and start again"
        ) from error
    finally:
        await channel.close()


async def _declare(channel: AbstractChannel, market: str, length: int) -> None:
    orders = await channel.declare_exchange(
        EXCHANGE, ExchangeType.DIRECT, durable=True, timeout=_TIMEOUT
    )
    letters = await channel.declare_exchange(
        DEAD, ExchangeType.FANOUT, durable=True, timeout=_TIMEOUT
    )
    dead = await channel.declare_queue(
        DEAD,
        durable=True,
        arguments=dead_letter_arguments(),
        timeout=_TIMEOUT,
    )
    await dead.bind(letters, timeout=_TIMEOUT)
    queue = await channel.declare_queue(
        queue_name(market),
        durable=True,
        arguments=queue_arguments(length),
        timeout=_TIMEOUT,
    )
    await queue.bind(orders, routing_key=market, timeout=_TIMEOUT)

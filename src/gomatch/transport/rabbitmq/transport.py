"""RabbitMQ as a Transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection

from gomatch.errors import TransportError
from gomatch.transport.hooks import TransportHooks
from gomatch.transport.interfaces import CommandConsumer, CommandPublisher
from gomatch.transport.rabbitmq import topology
from gomatch.transport.rabbitmq.consumer import RabbitMQConsumer
from gomatch.transport.rabbitmq.link import BROKER_ERRORS
from gomatch.transport.rabbitmq.publisher import RabbitMQPublisher

_FIRST_CONNECTION = 5.0
_TIMEOUT = 10.0


class RabbitMQTransport:
    """``url`` is amqp:// or amqps:// with user, password and virtual host.

    Publishers and consumers have a connection each and keep it. Those that are not closed by
    their users are closed with the transport.
    """

    def __init__(self, url: str, *, hooks: TransportHooks | None = None) -> None:
        self._url = url
        self._hooks = hooks or TransportHooks()
        self._max_lengths: dict[str, int | None] = {}
        self._publishers: list[RabbitMQPublisher] = []
        self._consumers: list[RabbitMQConsumer] = []

    async def publisher(self) -> CommandPublisher:
        """Waits a little for the first connection, and works without: see RabbitMQPublisher."""
        publisher = RabbitMQPublisher(self._url, hooks=self._hooks, max_lengths=self._max_lengths)
        self._publishers.append(publisher)
        await publisher.wait_ready(_FIRST_CONNECTION)
        return publisher

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        """Returns at once; it connects and subscribes by itself."""
        consumer = RabbitMQConsumer(
            self._url,
            market=market,
            prefetch=prefetch,
            hooks=self._hooks,
            max_lengths=self._max_lengths,
        )
        self._consumers = [each for each in self._consumers if not each.closed] + [consumer]
        return consumer

    async def declare(self, market: str, *, max_length: int | None = None) -> None:
        self._max_lengths[market] = max_length
        async with self._connection() as connection:
            await topology.declare(connection, market, max_length=max_length)

    async def depth(self, market: str) -> int | None:
        """On the connection of the market's consumer, where there is one."""
        for consumer in self._consumers:
            if consumer.market == market and not consumer.closed:
                return await consumer.depth()
        try:
            async with self._connection() as connection:
                return await topology.count(connection, market)
        except TransportError:
            return None

    async def delete(self, market: str) -> None:
        async with self._connection() as connection:
            await topology.delete(connection, market)

    async def close(self) -> None:
        closing = [each.close() for each in self._publishers]
        closing += [each.close() for each in self._consumers]
        self._publishers, self._consumers = [], []
        await asyncio.gather(*closing)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        """One of its own, for what is rare. Raises TransportError."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                connection = await aio_pika.connect(self._url, timeout=_TIMEOUT)
                async with connection:
                    yield connection
        except BROKER_ERRORS as error:
            raise TransportError(f"the broker cannot be reached: {error}") from error

"""RabbitMQ as a Transport."""

from __future__ import annotations

import asyncio

import aio_pika

from gomatch.credentials import Endpoint
from gomatch.errors import CredentialsMissing
from gomatch.observability import logs
from gomatch.transport.hooks import TransportHooks
from gomatch.transport.interfaces import CommandConsumer, CommandPublisher
from gomatch.transport.rabbitmq import topology
from gomatch.transport.rabbitmq.consumer import RabbitMQConsumer
from gomatch.transport.rabbitmq.link import BROKER_ERRORS
from gomatch.transport.rabbitmq.publisher import RabbitMQPublisher

_FIRST_CONNECTION = 5.0
_TIMEOUT = 10.0

_log = logs.get(__name__)


class RabbitMQTransport:
    """``server`` is amqp:// or amqps:// with user, password and virtual host.

    Queues that are missing are made, of at most ``queue_length`` batches (0 is no limit); those
    that are there stay as they are.

    Publishers and consumers have a connection each and keep it. Those that are not closed by
    their users are closed with the transport.
    """

    def __init__(
        self,
        server: str | Endpoint,
        *,
        queue_length: int = 0,
        hooks: TransportHooks | None = None,
    ) -> None:
        self._endpoint = Endpoint.of(server)
        self._hooks = hooks or TransportHooks()
        self._queue_length = queue_length
        self._publishers: list[RabbitMQPublisher] = []
        self._consumers: list[RabbitMQConsumer] = []

    async def publisher(self) -> CommandPublisher:
        """Waits a little for the first connection, and works without: see RabbitMQPublisher."""
        publisher = RabbitMQPublisher(
            self._endpoint, hooks=self._hooks, queue_length=self._queue_length
        )
        self._publishers.append(publisher)
        await publisher.wait_ready(_FIRST_CONNECTION)
        return publisher

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        """Returns at once; it connects and subscribes by itself."""
        consumer = RabbitMQConsumer(
            self._endpoint,
            market=market,
            prefetch=prefetch,
            hooks=self._hooks,
            queue_length=self._queue_length,
        )
        self._consumers = [each for each in self._consumers if not each.closed] + [consumer]
        return consumer

    async def depth(self, market: str) -> int | None:
        """On the connection of the market's consumer, where there is one."""
        for consumer in self._consumers:
            if consumer.market == market and not consumer.closed:
                return await consumer.depth()
        try:
            async with asyncio.timeout(_TIMEOUT):
                url = self._endpoint.current_url()
                async with await aio_pika.connect(url, timeout=_TIMEOUT) as connection:
                    return await topology.count(connection, market)
        except (*BROKER_ERRORS, CredentialsMissing) as error:
            _log.debug("depth_unknown", market=market, why=repr(error))
            return None

    async def close(self) -> None:
        closing = [each.close() for each in self._publishers]
        closing += [each.close() for each in self._consumers]
        self._publishers, self._consumers = [], []
        await asyncio.gather(*closing)

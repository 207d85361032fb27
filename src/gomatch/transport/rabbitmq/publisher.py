"""Publishes batches with confirms, many of them in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError, PublishError

from gomatch.credentials import Endpoint
from gomatch.errors import ConfigurationError, PublishFailed
from gomatch.messages.envelope import CommandBatch
from gomatch.observability import logs
from gomatch.transport.hooks import TransportHooks
from gomatch.transport.rabbitmq import topology
from gomatch.transport.rabbitmq.link import BROKER_ERRORS, BrokerLink, driver_waits
from gomatch.transport.wire import CONTENT_TYPE, headers_of

_IN_FLIGHT = 1_000
_GRACE = 1.0
"""Seconds that a market's consumer gets to make its queue again."""

_log = logs.get(__name__)


class RabbitMQPublisher:
    """Fails at once while there is no connection: the matcher then reads from PostgreSQL, and
    nothing piles up here. ``queue_length`` is that of a queue that has to be made."""

    def __init__(self, endpoint: Endpoint, *, hooks: TransportHooks, queue_length: int) -> None:
        self._hooks = hooks
        self._queue_length = queue_length
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        self._declaring = asyncio.Lock()
        self._missing_since: dict[str, float] = {}
        self._link = BrokerLink(endpoint, name="gomatch publisher", setup=_prepare, hooks=hooks)

    async def wait_ready(self, timeout: float) -> bool:
        return await self._link.wait_ready(timeout)

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        """Raises PublishFailed."""
        market = batch.market
        started = time.monotonic()
        async with self._translated(market), asyncio.timeout(timeout), self._in_flight:
            if not await self._attempt(batch):
                redeclared = await self._redeclare(market)
                if not redeclared or not await self._attempt(batch):
                    self._hooks.publish_failed(market, "returned")
                    raise PublishFailed(f"there is no queue for the commands of {market}")
        self._missing_since.pop(market, None)
        self._hooks.published(market, time.monotonic() - started)

    async def close(self) -> None:
        await self._link.close()

    async def _attempt(self, batch: CommandBatch) -> bool:
        """False when the broker returned it: there is no queue, or no exchange, for it."""
        channel = self._link.channel
        if channel is None:
            self._hooks.publish_failed(batch.market, "disconnected")
            raise PublishFailed("there is no connection to the broker")
        message = Message(
            batch.bodies,
            headers=headers_of(batch),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        exchange = await channel.get_exchange(topology.EXCHANGE, ensure=False)
        try:
            await exchange.publish(message, routing_key=batch.market, mandatory=True)
        except PublishError:
            return False
        return True

    async def _redeclare(self, market: str) -> bool:
        """Whether the queue may be there now.

        A queue that vanished is left to its consumer for a moment: RabbitMQ may go on counting
        that consumer on a queue that is made again too soon, and hand it nothing.
        """
        since = self._missing_since.setdefault(market, time.monotonic())
        if time.monotonic() < since + _GRACE:
            return False
        async with self._declaring:  # of many that were returned together, the first declares
            connection = self._link.connection
            if connection is None:
                return False
            if market in self._missing_since and await topology.ensure(
                connection, market, length=self._queue_length
            ):
                self._hooks.redeclared(market)
                _log.warning("queue_redeclared", market=market)
            self._missing_since.pop(market, None)
        return True

    @asynccontextmanager
    async def _translated(self, market: str) -> AsyncIterator[None]:
        """Whatever goes wrong with the broker becomes PublishFailed, counted by its kind."""
        try:
            with driver_waits():
                yield
        except TimeoutError as error:
            self._hooks.publish_failed(market, "timeout")
            raise PublishFailed("the broker did not confirm in time") from error
        except DeliveryError as error:
            self._hooks.publish_failed(market, "nacked")
            raise PublishFailed("the broker refused the message: its queue is full") from error
        except ConfigurationError as error:
            self._hooks.publish_failed(market, "returned")
            raise PublishFailed(str(error)) from error
        except BROKER_ERRORS as error:
            self._hooks.publish_failed(market, "disconnected")
            raise PublishFailed(f"the connection to the broker was lost: {error}") from error


async def _prepare(connection: AbstractConnection, channel: AbstractChannel) -> None:
    await topology.ensure_exchange(connection)

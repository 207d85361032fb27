"""RabbitMQ: a quorum queue with a single active consumer for each market.

Publishing waits for the broker's confirmation, many at once; a message that no queue takes comes
back and is an error. Consuming acknowledges many at once. Both reconnect by themselves.
"""

from __future__ import annotations

import asyncio

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError, PublishError

from gomatch.errors import CodecError, PublishFailed, TransportError
from gomatch.messages.envelope import CommandBatch
from gomatch.observability import logs
from gomatch.transport.interfaces import (
    CommandConsumer,
    CommandPublisher,
    Delivery,
    TransportCounters,
)
from gomatch.transport.session import BROKER_ERRORS, Session
from gomatch.transport.topology import (
    declare_dead_letters,
    declare_exchange,
    declare_market,
    queue_name,
)
from gomatch.transport.wire import batch_message, read_message

_log = logs.get(__name__)

_CALL_TIMEOUT = 5.0


class RabbitMQTransport:
    """Publisher, consumers and administration have a connection each, as RabbitMQ advises: one
    that is throttled for publishing must not hold up acknowledgements."""

    def __init__(self, url: str) -> None:
        self.counters = TransportCounters()
        self._url = url
        self._admin: Session | None = None

    async def publisher(self) -> CommandPublisher:
        """Returns at once; it connects in the background."""
        return RabbitMQPublisher(self._url, self.counters)

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        """Returns at once; it connects, and declares the queue if it is absent, in the
        background."""
        return RabbitMQConsumer(self._url, self.counters, market=market, prefetch=prefetch)

    async def declare(self, market: str, *, max_length: int | None = None) -> None:
        channel = await self._administration()
        try:
            await declare_market(channel, market, max_length=max_length, timeout=_CALL_TIMEOUT)
        except BROKER_ERRORS as error:
            raise TransportError(
                f"queue {queue_name(market)} could not be declared: {error}"
            ) from error

    async def depth(self, market: str) -> int | None:
        channel = await self._administration()
        try:
            queue = await channel.declare_queue(
                queue_name(market), passive=True, timeout=_CALL_TIMEOUT
            )
        except BROKER_ERRORS as error:
            if "NOT_FOUND" in str(error):
                return None
            raise TransportError(f"RabbitMQ: {error}") from error
        return queue.declaration_result.message_count

    async def delete(self, market: str) -> None:
        channel = await self._administration()
        try:
            await channel.queue_delete(queue_name(market), timeout=_CALL_TIMEOUT)
        except BROKER_ERRORS as error:
            raise TransportError(f"RabbitMQ: {error}") from error

    async def close(self) -> None:
        """Close the administration; publishers and consumers are closed by who asked for them."""
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def _administration(self) -> AbstractChannel:
        if self._admin is None:
            self._admin = Session(
                self._url, name="gomatch admin", counters=self.counters, on_open=_nothing
            )
            self._admin.start()
        return await self._admin.opened(_CALL_TIMEOUT)


class RabbitMQPublisher:
    def __init__(self, url: str, counters: TransportCounters) -> None:
        self._counters = counters
        self._exchange: AbstractExchange | None = None
        self._session = Session(
            url, name="gomatch publisher", counters=counters, on_open=self._open
        )
        self._session.start()

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                try:
                    await self._publish(batch)
                except PublishError:
                    # Somebody deleted the queue: make it again, once.
                    self._counters.returned += 1
                    await self._declare(batch.market)
                    await self._publish(batch)
        except (*BROKER_ERRORS, DeliveryError, TransportError) as error:
            self._counters.failed += 1
            raise PublishFailed(
                f"commands {batch.first} to {batch.last} of {batch.market} were not confirmed by "
                f"RabbitMQ: {error!r}"
            ) from error
        self._counters.published += 1

    async def close(self) -> None:
        await self._session.close()

    async def _publish(self, batch: CommandBatch) -> None:
        exchange = self._exchange
        if exchange is None or self._session.channel is None:
            raise TransportError("RabbitMQ is away")
        await exchange.publish(batch_message(batch), batch.market, mandatory=True)

    async def _declare(self, market: str) -> None:
        channel = self._session.channel
        if channel is None:
            raise TransportError("RabbitMQ is away")
        await declare_market(channel, market, max_length=None, timeout=_CALL_TIMEOUT)

    async def _open(self, channel: AbstractChannel) -> None:
        self._exchange = await declare_exchange(channel, timeout=_CALL_TIMEOUT)


class RabbitMQConsumer:
    """Messages wait here as they came, at most ``prefetch`` of them, and are read in ``take``: so
    that what is put aside is acknowledged before anything later is."""

    def __init__(
        self, url: str, counters: TransportCounters, *, market: str, prefetch: int
    ) -> None:
        self._counters = counters
        self._market = market
        self._prefetch = prefetch
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue(prefetch)
        self._dead: AbstractExchange | None = None
        self._underlay: object = None
        self._session = Session(
            url, name=f"gomatch consumer {market}", counters=counters, on_open=self._open
        )
        self._session.start()

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        taken: list[Delivery] = []
        try:
            async with asyncio.timeout(timeout):
                message = await self._arrived.get()
        except TimeoutError:
            return taken
        while True:
            try:
                taken.append(Delivery(read_message(message, self._market), message))
            except CodecError as error:
                await self._put_aside(message, str(error))
            if len(taken) >= limit or self._arrived.empty():
                break
            message = self._arrived.get_nowait()
        self._counters.delivered += len(taken)
        return taken

    async def ack(self, delivery: Delivery) -> None:
        await self._acknowledge(_message(delivery), multiple=True)

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        await self._put_aside(_message(delivery), reason)

    async def close(self) -> None:
        await self._session.close()

    async def _acknowledge(self, message: AbstractIncomingMessage, *, multiple: bool) -> None:
        if message.channel is not self._underlay:
            # It came over a channel that is gone, and will come again.
            self._counters.lost_acknowledgements += 1
            return
        try:
            async with asyncio.timeout(_CALL_TIMEOUT):
                await message.ack(multiple=multiple)
        except BROKER_ERRORS as error:
            self._counters.lost_acknowledgements += 1
            _log.debug("ack_lost", market=self._market, why=str(error))

    async def _put_aside(self, message: AbstractIncomingMessage, reason: str) -> None:
        self._counters.note_dead_letter(reason)
        _log.error("message_dead_lettered", market=self._market, why=reason)
        copy = Message(
            message.body,
            content_type=message.content_type,
            headers={"gomatch-reason": reason[:500], "gomatch-market": self._market},
        )
        try:
            if self._dead is None:
                raise TransportError("RabbitMQ is away")
            await self._dead.publish(copy, "", timeout=_CALL_TIMEOUT)
        except (*BROKER_ERRORS, DeliveryError, TransportError) as error:
            # Not acknowledged either: it comes again over the next connection.
            _log.warning("dead_letter_failed", market=self._market, why=str(error))
            return
        await self._acknowledge(message, multiple=False)

    async def _open(self, channel: AbstractChannel) -> None:
        while not self._arrived.empty():
            self._arrived.get_nowait()
        await channel.set_qos(prefetch_count=self._prefetch, timeout=_CALL_TIMEOUT)
        queue = await declare_market(channel, self._market, max_length=None, timeout=_CALL_TIMEOUT)
        self._dead = await declare_dead_letters(channel, timeout=_CALL_TIMEOUT)
        self._underlay = await channel.get_underlay_channel()
        await queue.consume(self._arrived.put, timeout=_CALL_TIMEOUT)


def _message(delivery: Delivery) -> AbstractIncomingMessage:
    assert isinstance(delivery.tag, AbstractIncomingMessage)
    return delivery.tag


async def _nothing(_: AbstractChannel) -> None:
    """An administration channel needs nothing more than to be open."""

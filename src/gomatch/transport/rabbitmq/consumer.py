"""Takes one market's batches from its queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from gomatch.cancellation import cancel_and_wait
from gomatch.credentials import Endpoint
from gomatch.errors import CodecError
from gomatch.messages.envelope import CommandBatch
from gomatch.observability import logs
from gomatch.observability.tracing import log_fields
from gomatch.transport.hooks import TransportHooks
from gomatch.transport.interfaces import Delivery
from gomatch.transport.rabbitmq import topology
from gomatch.transport.rabbitmq.link import BROKER_ERRORS, BrokerLink, driver_waits
from gomatch.transport.wire import decode

_TIMEOUT = 5.0
_WATCH_INTERVAL = 5.0
_REASON_LIMIT = 500

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Tag:
    """``connection`` counts the connections: a tag means nothing on a later one."""

    connection: int
    message: AbstractIncomingMessage


class RabbitMQConsumer:
    """See CommandConsumer. Never raises because of the broker. ``queue_length`` is that of a queue
    that has to be made."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        market: str,
        prefetch: int,
        hooks: TransportHooks,
        queue_length: int,
    ) -> None:
        self._market = market
        self.closed = False
        self._prefetch = prefetch
        self._hooks = hooks
        self._queue_length = queue_length
        self._connections = 0
        self._channel: AbstractChannel | None = None
        self._unacknowledged: deque[int] = deque()  # delivery tags
        self._heard = False
        self._arrived: deque[AbstractIncomingMessage] = deque()  # bounded by the prefetch
        self._wake = asyncio.Event()
        self._link = BrokerLink(
            endpoint, name=f"gomatch consumer {market}", setup=self._subscribe, hooks=hooks
        )
        self._watch_task = asyncio.create_task(self._watch(), name=f"gomatch watch {market}")

    async def wait_ready(self, timeout: float) -> bool:
        return await self._link.wait_ready(timeout)

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        taken = await self._take(limit)
        if taken:
            return taken
        try:
            async with asyncio.timeout(timeout):
                while not self._arrived:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return []
        return await self._take(limit)

    async def ack(self, delivery: Delivery) -> None:
        message = self._current(delivery)
        if message is not None:
            await self._acknowledge(message, multiple=True)

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        message = self._current(delivery)
        if message is not None:
            await self._bury(message, reason)

    @property
    def market(self) -> str:
        return self._market

    async def depth(self) -> int | None:
        """Batches that wait in the queue; None while the broker cannot say."""
        connection = self._link.connection
        if connection is None:
            return None
        try:
            async with asyncio.timeout(_TIMEOUT):
                with driver_waits():
                    return await topology.count(connection, self._market)
        except BROKER_ERRORS as error:
            _log.debug("depth_unknown", market=self._market, why=repr(error))
            return None

    async def close(self) -> None:
        self.closed = True
        await cancel_and_wait([self._watch_task])
        await self._link.close()
        self._arrived.clear()

    async def _subscribe(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        # What the last connection delivered comes again on this one.
        self._connections += 1
        self._channel = channel
        self._unacknowledged.clear()
        self._arrived.clear()
        if await topology.ensure(connection, self._market, length=self._queue_length):
            self._hooks.redeclared(self._market)
            _log.warning("queue_redeclared", market=self._market)
        await channel.set_qos(prefetch_count=self._prefetch, timeout=_TIMEOUT)
        underlying = await channel.get_underlay_channel()
        underlying.on_consumer_cancel_callbacks.add(self._on_cancelled)
        queue = await channel.get_queue(topology.queue_name(self._market), ensure=False)
        await queue.consume(self._on_message, timeout=_TIMEOUT)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._heard = True
        self._unacknowledged.append(message.delivery_tag or 0)
        self._arrived.append(message)
        self._wake.set()

    async def _watch(self) -> None:
        """Subscribe again when messages wait and none comes: where a queue is deleted and made
        again at once, the broker may forget its consumer without a word."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            connection = self._link.connection
            silent = not self._heard and len(self._unacknowledged) < self._prefetch
            self._heard = False
            if connection is None or not silent:
                continue
            try:
                async with asyncio.timeout(_TIMEOUT):
                    with driver_waits():
                        waiting = await topology.count(connection, self._market)
            except BROKER_ERRORS as error:
                _log.info("watch_failed", market=self._market, why=repr(error))
                continue
            if waiting != 0 and not self._heard:
                _log.warning("subscription_lost", market=self._market, waiting=waiting)
                self._link.give_up_connection()

    def _on_cancelled(self, *_: object) -> None:
        """The queue was deleted, or the broker ended the subscription."""
        self._link.give_up_connection()

    async def _take(self, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        while self._arrived and len(taken) < limit:
            message = self._arrived.popleft()
            tag = _Tag(self._connections, message)
            try:
                batch = self._decode(message)
            except CodecError as error:
                await self._bury(message, str(error))
            else:
                taken.append(Delivery(batch, tag))
        return taken

    def _decode(self, message: AbstractIncomingMessage) -> CommandBatch:
        return decode(
            self._market,
            body=message.body,
            headers=message.headers,
            content_type=message.content_type,
        )

    def _current(self, delivery: Delivery) -> AbstractIncomingMessage | None:
        tag = delivery.tag
        assert isinstance(tag, _Tag)
        return tag.message if tag.connection == self._connections else None

    async def _acknowledge(self, message: AbstractIncomingMessage, *, multiple: bool) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                with driver_waits():
                    await message.ack(multiple=multiple)
            self._settle(message.delivery_tag or 0, multiple=multiple)
        except BROKER_ERRORS as error:
            # It comes again on the next connection, where its numbers show it as a duplicate.
            _log.info("ack_failed", market=self._market, why=repr(error))
            self._link.give_up_connection()

    def _settle(self, tag: int, *, multiple: bool) -> None:
        tags = self._unacknowledged
        if not multiple:
            if tag in tags:
                tags.remove(tag)
            return
        while tags and tags[0] <= tag:
            tags.popleft()

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        """Publish it to the dead-letter exchange with the reason, confirmed, then acknowledge it
        alone. If that fails, it stays on the queue and comes again."""
        channel = self._channel
        assert channel is not None
        letter = Message(
            message.body,
            headers={
                **_simple(message.headers),
                "reason": reason[:_REASON_LIMIT],
                "market": self._market,
            },
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                with driver_waits():
                    exchange = await channel.get_exchange(topology.DEAD, ensure=False)
                    await exchange.publish(letter, routing_key=self._market, mandatory=True)
        except BROKER_ERRORS as error:
            _log.warning("dead_letter_failed", market=self._market, why=repr(error))
            self._link.give_up_connection()
            return
        await self._acknowledge(message, multiple=False)
        self._hooks.dead_lettered(self._market, reason)
        _log.error(
            "message_dead_lettered", market=self._market, why=reason, **_numbers(message.headers)
        )


def _numbers(headers: Mapping[str, object]) -> dict[str, object]:
    """Which commands a message says it carries, and their traces, as far as it can be believed."""
    trace = headers.get("trace")
    return {
        **{name: headers[name] for name in ("first", "last") if type(headers.get(name)) is int},
        **log_fields(trace if isinstance(trace, str) else ""),
    }


def _simple(headers: Mapping[str, object]) -> dict[str, str | int]:
    """What of a stranger's headers can be sent on without trouble."""
    return {
        name: value if isinstance(value, int) and abs(value) < 1 << 62 else repr(value)[:200]
        for name, value in list(headers.items())[:20]
        if 0 < len(name) < 100
    }

"""Commands carried within one process, with the broker's behaviour: bounded, acknowledged, one
active consumer, redelivery of what was not acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from gomatch.errors import CodecError, PublishFailed
from gomatch.messages.envelope import CommandBatch
from gomatch.transport.hooks import TransportHooks
from gomatch.transport.interfaces import CommandConsumer, CommandPublisher, Delivery


class InProcessTransport:
    """``max_length`` batches at most wait for each market."""

    def __init__(self, *, max_length: int = 10_000, hooks: TransportHooks | None = None) -> None:
        self._max_length = max_length
        self._hooks = hooks or TransportHooks()
        self._queues: dict[str, _Queue] = {}
        self.dead: deque[tuple[CommandBatch, str]] = deque(maxlen=1_000)
        """The last dead-lettered batches, each with the reason."""

    async def publisher(self) -> CommandPublisher:
        return _Publisher(self)

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        queue = self._queue(market)
        consumer = _Consumer(self, queue, prefetch)
        queue.consumers.append(consumer)
        queue.changed()
        return consumer

    async def depth(self, market: str) -> int | None:
        queue = self._queues.get(market)
        return None if queue is None else len(queue.waiting)

    async def close(self) -> None:
        self._queues.clear()

    def _queue(self, market: str) -> _Queue:
        queue = self._queues.get(market)
        if queue is None:
            queue = self._queues[market] = _Queue(self._max_length)
        return queue

    def put(self, batch: CommandBatch) -> None:
        """Raises PublishFailed."""
        started = time.monotonic()
        queue = self._queue(batch.market)
        if len(queue.waiting) >= queue.max_length:
            self._hooks.publish_failed(batch.market, "full")
            raise PublishFailed(f"the queue of {batch.market} holds {queue.max_length} batches")
        queue.waiting.append(batch)
        queue.changed()
        self._hooks.published(batch.market, time.monotonic() - started)

    def bury(self, batch: CommandBatch, reason: str) -> None:
        self.dead.append((batch, reason))
        self._hooks.dead_lettered(batch.market, reason)


class _Queue:
    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.waiting: deque[CommandBatch] = deque()
        self.consumers: list[_Consumer] = []

    def changed(self) -> None:
        if self.consumers:
            self.consumers[0].wake.set()


class _Publisher:
    def __init__(self, transport: InProcessTransport) -> None:
        self._transport = transport

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        self._transport.put(batch)

    async def close(self) -> None:
        return None


class _Consumer:
    def __init__(self, transport: InProcessTransport, queue: _Queue, prefetch: int) -> None:
        self._transport = transport
        self._prefetch = prefetch
        self._next_tag = 1
        self._unacknowledged: dict[int, CommandBatch] = {}
        self._queue = queue
        self.wake = asyncio.Event()

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        taken = self._take(limit)
        if taken:
            return taken
        try:
            async with asyncio.timeout(timeout):
                while not taken:
                    self.wake.clear()
                    await self.wake.wait()
                    taken = self._take(limit)
        except TimeoutError:
            return []
        return taken

    def _take(self, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        queue = self._queue
        if queue.consumers[:1] != [self]:
            return taken
        while queue.waiting and len(taken) < limit and len(self._unacknowledged) < self._prefetch:
            batch = queue.waiting.popleft()
            try:
                batch.commands()
            except CodecError as error:
                self._transport.bury(batch, str(error))
                continue
            tag = self._next_tag
            self._next_tag += 1
            self._unacknowledged[tag] = batch
            taken.append(Delivery(batch, tag))
        return taken

    async def ack(self, delivery: Delivery) -> None:
        last = _tag(delivery)
        for tag in [tag for tag in self._unacknowledged if tag <= last]:
            del self._unacknowledged[tag]
        self.wake.set()

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        if self._unacknowledged.pop(_tag(delivery), None) is not None:
            self._transport.bury(delivery.batch, reason)
        self.wake.set()

    async def close(self) -> None:
        queue = self._queue
        if self not in queue.consumers:
            return
        queue.consumers.remove(self)
        queue.waiting.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()
        queue.changed()


def _tag(delivery: Delivery) -> int:
    assert isinstance(delivery.tag, int)
    return delivery.tag

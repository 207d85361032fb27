"""A transport within one process, for `gomatch up` and unit tests. It keeps nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from gomatch.errors import PublishFailed
from gomatch.messages.envelope import CommandBatch
from gomatch.transport.interfaces import (
    CommandConsumer,
    CommandPublisher,
    Delivery,
    TransportCounters,
)

_DEFAULT_LENGTH = 10_000


@dataclass(slots=True)
class _Queue:
    max_length: int
    ready: deque[CommandBatch] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class InProcessTransport:
    """Queues are bounded: a publish to a full one fails, as with a broker that refuses."""

    def __init__(self) -> None:
        self.counters = TransportCounters()
        self._queues: dict[str, _Queue] = {}

    async def publisher(self) -> CommandPublisher:
        return InProcessPublisher(self)

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        return InProcessConsumer(self, self.queue(market), prefetch=prefetch)

    async def declare(self, market: str, *, max_length: int | None = None) -> None:
        self.queue(market, max_length)

    async def depth(self, market: str) -> int | None:
        queue = self._queues.get(market)
        return None if queue is None else len(queue.ready)

    async def delete(self, market: str) -> None:
        self._queues.pop(market, None)

    async def close(self) -> None:
        self._queues.clear()

    def queue(self, market: str, max_length: int | None = None) -> _Queue:
        """The market's queue, made when it is absent."""
        return self._queues.setdefault(market, _Queue(max_length or _DEFAULT_LENGTH))


class InProcessPublisher:
    def __init__(self, transport: InProcessTransport) -> None:
        self._transport = transport

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        queue = self._transport.queue(batch.market)
        if len(queue.ready) >= queue.max_length:
            self._transport.counters.failed += 1
            raise PublishFailed(f"the queue of {batch.market} is full")
        queue.ready.append(batch)
        queue.arrived.set()
        self._transport.counters.published += 1

    async def close(self) -> None:
        """Nothing is held."""


class InProcessConsumer:
    def __init__(self, transport: InProcessTransport, queue: _Queue, *, prefetch: int) -> None:
        self._transport = transport
        self._queue = queue
        self._prefetch = prefetch
        self._unacknowledged: deque[Delivery] = deque()
        self._next_tag = 1

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        queue = self._queue
        room = min(limit, self._prefetch - len(self._unacknowledged))
        if not queue.ready or room <= 0:
            queue.arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await queue.arrived.wait()
            except TimeoutError:
                return []
            room = min(limit, self._prefetch - len(self._unacknowledged))
        taken: list[Delivery] = []
        while queue.ready and len(taken) < room:
            delivery = Delivery(queue.ready.popleft(), self._next_tag)
            self._next_tag += 1
            taken.append(delivery)
        self._unacknowledged.extend(taken)
        self._transport.counters.delivered += len(taken)
        return taken

    async def ack(self, delivery: Delivery) -> None:
        tag = delivery.tag
        assert isinstance(tag, int)
        while self._unacknowledged and _tag(self._unacknowledged[0]) <= tag:
            self._unacknowledged.popleft()
        if self._queue.ready:
            self._queue.arrived.set()

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        if delivery in self._unacknowledged:
            self._unacknowledged.remove(delivery)
        self._transport.counters.note_dead_letter(reason)

    async def close(self) -> None:
        self._queue.ready.extendleft(delivery.batch for delivery in reversed(self._unacknowledged))
        self._unacknowledged.clear()


def _tag(delivery: Delivery) -> int:
    assert isinstance(delivery.tag, int)
    return delivery.tag

"""What carries accepted commands to the matcher of their market.

A transport may lose, repeat or reorder: the numbers of the commands carry correctness, and
PostgreSQL has every one of them. So a transport is judged by speed, and by never standing still.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gomatch.messages.envelope import CommandBatch


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch that was delivered; ``tag`` means something to its consumer alone."""

    batch: CommandBatch
    tag: object


@dataclass(slots=True)
class TransportCounters:
    """Counts since the transport was made; programs export them as metrics."""

    published: int = 0
    returned: int = 0
    failed: int = 0
    delivered: int = 0
    reconnects: int = 0
    dead_lettered: int = 0
    lost_acknowledgements: int = 0
    last_reasons: list[str] = field(default_factory=list)
    """Why messages were dead-lettered, the newest ten."""

    def note_dead_letter(self, reason: str) -> None:
        self.dead_lettered += 1
        self.last_reasons = [*self.last_reasons[-9:], reason]


class CommandPublisher(Protocol):
    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        """Return once the broker has it. Raises PublishFailed, also after ``timeout`` seconds:
        then it may still arrive."""
        ...

    async def close(self) -> None: ...


class CommandConsumer(Protocol):
    """One market's commands. The loss of the broker is not an error: it reconnects inside."""

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        """Up to ``limit`` deliveries in their order as soon as there is one; none after
        ``timeout`` seconds."""
        ...

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge everything up to and including ``delivery``."""
        ...

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        """Put it aside for people to look at, with the reason; it is not delivered again."""
        ...

    async def close(self) -> None:
        """What is not acknowledged will be delivered again, to whoever consumes next."""
        ...


class Transport(Protocol):
    counters: TransportCounters

    async def publisher(self) -> CommandPublisher: ...

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer: ...

    async def declare(self, market: str, *, max_length: int | None = None) -> None:
        """Make the market's queue if it is absent. Raises TransportError."""
        ...

    async def depth(self, market: str) -> int | None:
        """Messages that wait; None when there is no queue. Raises TransportError."""
        ...

    async def delete(self, market: str) -> None: ...

    async def close(self) -> None: ...

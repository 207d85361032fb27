"""The seam between those who send or take commands and what carries them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gomatch.messages.envelope import CommandBatch


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch as it came. ``tag`` belongs to the consumer that delivered it."""

    batch: CommandBatch
    tag: object


class CommandPublisher(Protocol):
    """Any number of ``publish`` may be under way at once."""

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        """Returns once the batch is safely queued; ``timeout`` in seconds.

        Raises PublishFailed when that is not known to be so; it may be queued all the same.
        """

    async def close(self) -> None: ...


class CommandConsumer(Protocol):
    """One market's batches, in the order of the queue. Not for concurrent takes."""

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        """Up to ``limit`` batches, as soon as there is one; [] after ``timeout`` seconds.

        Losing the broker is not an error: it reconnects, and what was not acknowledged comes
        again. What cannot be decoded is dead-lettered with the reason and never delivered.
        """

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge it and all before it. Without effect when its connection is gone."""

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        """Dead-letter this one only, with ``reason``."""

    async def close(self) -> None:
        """What was delivered and not acknowledged goes to the next consumer."""


class Transport(Protocol):
    async def publisher(self) -> CommandPublisher: ...

    async def consumer(self, market: str, *, prefetch: int) -> CommandConsumer:
        """At most ``prefetch`` batches are delivered and not acknowledged. Of several consumers
        of a market one is active, the others wait for it to end."""

    async def depth(self, market: str) -> int | None:
        """Batches waiting, without those delivered; None when that cannot be learnt."""

    async def close(self) -> None: ...

"""The next commands of a market, in number order, from the queue or from PostgreSQL.

The queue is the fast path and may lose, repeat or reorder. What comes is compared with the next
number wanted: lower is dropped, and after a gap or a silence the missing range is read from
PostgreSQL. Nothing waits in memory for a predecessor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from gomatch.errors import CodecError
from gomatch.messages.codec import unpack_commands
from gomatch.observability import logs
from gomatch.observability.tracing import log_fields
from gomatch.settings import Settings
from gomatch.store import Journal
from gomatch.transport import CommandConsumer, Delivery
from gomatch_matcher.matched import Segment, Taken
from gomatch_matcher.metrics import MatcherMetrics

_log = logs.get(__name__)


class CommandFeed:
    """Not safe for concurrent takes. ``applied`` is the last number handed out."""

    def __init__(
        self,
        *,
        journal: Journal,
        consumer: CommandConsumer,
        market_id: int,
        symbol: str,
        applied: int,
        settings: Settings,
        metrics: MatcherMetrics,
    ) -> None:
        self._journal = journal
        self._consumer = consumer
        self._market_id = market_id
        self._symbol = symbol
        self._next = applied + 1
        self._limit = settings.match_batch
        self._prefetch = settings.prefetch
        self._metrics = metrics
        self._held: deque[Delivery] = deque()
        self._behind = True

    async def take(self, *, limit: int, timeout: float, from_queue: bool = True) -> Taken:
        """Up to ``limit`` commands; none after ``timeout`` seconds without any. Without
        ``from_queue`` what the queue brings is left alone.

        Raises StoreUnavailable, and CodecError when PostgreSQL lacks what it accepted."""
        if self._behind or not from_queue:
            # A new leader cannot know when the queue will deliver to it.
            taken = await self._from_store(limit, up_to=None)
            if taken is not None:
                return taken
            self._behind = False
        if not from_queue:
            await asyncio.sleep(timeout)
            return Taken(())
        if not self._held:
            self._held.extend(await self._consumer.take(limit=self._prefetch, timeout=timeout))
        if not self._held:
            taken = await self._from_store(limit, up_to=None)
            # While the queue is silent what follows is not waited for either.
            self._behind = taken is not None
            return taken or Taken(())
        return await self._from_held(limit)

    async def _from_held(self, limit: int) -> Taken:
        segments: list[Segment] = []
        count = 0
        done: Delivery | None = None
        while self._held and count < limit:
            delivery = self._held[0]
            batch = delivery.batch
            if batch.last < self._next:
                self._metrics.duplicates.inc(batch.last - batch.first + 1)
            elif batch.first > self._next:
                if segments:
                    break
                missing = await self._from_store(limit, up_to=batch.first - 1)
                if missing is not None:
                    return missing
                # Beyond what PostgreSQL accepted: such a message cannot be ours.
                await self._refuse(delivery, "its numbers were never accepted")
                return Taken(())
            else:
                try:
                    commands = batch.commands()
                except CodecError as error:
                    if segments:
                        break
                    await self._refuse(delivery, str(error))
                    return await self._from_store(limit, up_to=batch.last) or Taken(())
                offset = self._next - batch.first
                commands = commands[offset : offset + limit - count]
                segments.append(
                    Segment(self._next, commands, batch.accepted_at, batch.trace, delivery)
                )
                self._next += len(commands)
                count += len(commands)
                if self._next <= batch.last:
                    break
            done = self._held.popleft()
        return Taken(segments, done)

    async def _from_store(self, limit: int, *, up_to: int | None) -> Taken | None:
        head = await self._journal.head(self._market_id)
        self._metrics.progress.saw_accepted(head.accepted)
        last = head.accepted if up_to is None else min(up_to, head.accepted)
        last = min(last, self._next + limit - 1)
        if last < self._next:
            return None
        segments: list[Segment] = []
        rows = await self._journal.commands(self._market_id, self._next, last, limit_rows=limit)
        for row in rows:
            if row.first > self._next:
                break
            commands = unpack_commands(row.bodies)[self._next - row.first : last - row.first + 1]
            segments.append(Segment(self._next, commands, row.accepted_at))
            self._next += len(commands)
        if not segments:
            raise CodecError(
                f"market {self._symbol}: command {self._next} is accepted but not in PostgreSQL; "
                "run `gomatch audit`"
            )
        taken = Taken(segments)
        self._metrics.from_store.inc(taken.count)
        return taken

    async def refuse_foreign(self, deliveries: Sequence[Delivery], first: int) -> None:
        """Dead-letter the message under ``first``, whose commands are not those accepted."""
        for delivery in deliveries:
            if delivery.batch.first == first:
                await self._reject(delivery, "its commands are not those that were accepted")

    async def _refuse(self, delivery: Delivery, reason: str) -> None:
        self._held.popleft()
        await self._reject(delivery, reason)

    async def _reject(self, delivery: Delivery, reason: str) -> None:
        self._metrics.refused_messages.inc()
        batch = delivery.batch
        _log.error(
            "message_refused",
            market=self._symbol,
            first=batch.first,
            last=batch.last,
            why=reason,
            **log_fields(batch.trace),
        )
        await self._consumer.reject(delivery, reason=reason)

"""Writes the Redis mirror behind the commits, one atomic write for all that has gathered.

Redis is never waited for by anything but acknowledgements, and by these only while it is well:
when a write fails the pending changes are dropped and the mirror is rebuilt whole, again and
again with backoff, from the committed state.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from gomatch.cache import BookMirror, MirrorImage, MirrorUpdate
from gomatch.cancellation import cancel_and_wait
from gomatch.concurrency import Backoff
from gomatch.errors import CacheError
from gomatch.observability import logs
from gomatch.transport import Delivery
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.fault_points import Checkpoint
from gomatch_matcher.matched import MatchedBatch, Place
from gomatch_matcher.metrics import MatcherMetrics

_log = logs.get(__name__)


@dataclass(slots=True)
class _Pending:
    """Changes since the last write; bounded by the book, since later changes replace earlier."""

    orders: dict[int, bytes | None] = field(default_factory=dict)
    before: dict[int, Place | None] = field(default_factory=dict)
    after: dict[int, Place | None] = field(default_factory=dict)
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def add(self, batch: MatchedBatch, before: dict[int, Place | None]) -> None:
        self.orders.update(batch.mirror.orders)
        for number, place in before.items():
            self.before.setdefault(number, place)
        self.after.update(batch.mirror.places)
        self.bids.update(batch.applied.bids)
        self.asks.update(batch.applied.asks)


class CacheWriter:
    """``run`` is its one task. Acknowledges a delivery once the mirror holds it, or at once while
    the mirror is broken."""

    def __init__(
        self,
        *,
        mirror: BookMirror,
        committed: CommittedState,
        in_step: bool,
        ack: Callable[[Delivery], Awaitable[None]],
        metrics: MatcherMetrics,
        checkpoint: Checkpoint,
    ) -> None:
        """``in_step``: Redis is known to hold exactly ``committed``."""
        self._mirror = mirror
        self._committed = committed
        self._ack = ack
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._healthy = in_step
        self._written = (committed.sequence, committed.chain)
        self._pending = _Pending()
        self._delivery: Delivery | None = None
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()
        self._backoff = Backoff(first=0.2, limit=5.0)
        self._delay = 0.0
        if not in_step:
            self._wake.set()

    def submit(self, batch: MatchedBatch, before: dict[int, Place | None]) -> None:
        """Hand over a batch after CommittedState has advanced over it. Never blocks."""
        if self._healthy:
            self._pending.add(batch, before)
        if batch.delivery is not None:
            self._delivery = batch.delivery
        self._wake.set()

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a delivery that changed nothing, in its turn."""
        self._delivery = delivery
        self._wake.set()

    def refresh(self) -> None:
        """Somebody asked for the mirror to be written anew."""
        self._healthy = False
        self._wake.set()

    def close(self) -> None:
        """Let ``run`` return after one more write."""
        self._ending.set()
        self._wake.set()

    async def run(self) -> None:
        while True:
            if not self._ending.is_set():
                if self._healthy:
                    await self._wake.wait()
                    self._wake.clear()
                elif self._delay:
                    await self._acknowledging(self._pause())
            ending = self._ending.is_set()
            if self._healthy:
                await self._write()
            else:
                await self._acknowledging(self._rebuild())
            await self._acknowledge()
            if ending:
                return

    async def _acknowledging(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` on a broken mirror, and acknowledge meanwhile what is committed: the queue
        never waits for Redis."""
        working = asyncio.create_task(work)
        try:
            while True:
                woken = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait((working, woken), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    woken.cancel()
                    await asyncio.gather(woken, return_exceptions=True)
                if working.done():
                    working.result()
                    return
                self._wake.clear()
                await self._acknowledge()
        finally:
            await cancel_and_wait([working])

    async def _pause(self) -> None:
        """Until the mirror is tried again, or the end comes."""
        try:
            async with asyncio.timeout(self._delay):
                await self._ending.wait()
        except TimeoutError:
            return

    async def _write(self) -> None:
        sequence, chain = self._committed.sequence, self._committed.chain
        if sequence == self._written[0]:
            return
        pending, self._pending = self._pending, _Pending()
        update = self._update(pending)
        started = time.perf_counter()
        try:
            await self._mirror.write(update)
        except CacheError as error:
            self._fail("redis_write_failed", error)
            return
        self._written = (sequence, chain)
        self._metrics.step("cache").observe(time.perf_counter() - started)
        self._checkpoint("cached")

    def _update(self, pending: _Pending) -> MirrorUpdate:
        committed = self._committed
        moved = [
            (number, pending.before[number], place)
            for number, place in pending.after.items()
            if pending.before[number] != place
        ]
        return MirrorUpdate(
            epoch=committed.epoch,
            expected_sequence=self._written[0],
            expected_chain=self._written[1],
            sequence=committed.sequence,
            chain=committed.chain,
            applied=committed.applied,
            header=committed.header,
            state=committed.summary.state,
            last_price=committed.summary.last_price,
            orders_set={n: packed for n, packed in pending.orders.items() if packed is not None},
            orders_removed=[n for n, packed in pending.orders.items() if packed is None],
            book_removed=[(*old, number) for number, old, _ in moved if old is not None],
            book_set=[(*new, number) for number, _, new in moved if new is not None],
            bids=pending.bids,
            asks=pending.asks,
        )

    async def _rebuild(self) -> None:
        state = self._committed.mirror_state()
        bids, asks = dict(self._committed.bids), dict(self._committed.asks)
        summary, applied = self._committed.summary, self._committed.applied
        # What is submitted while the rebuild runs comes after this state.
        self._pending = _Pending()
        self._healthy = True
        try:
            await self._mirror.rebuild(
                MirrorImage(
                    epoch=self._committed.epoch,
                    sequence=state.sequence,
                    chain=state.chain,
                    applied=applied,
                    header=state.header,
                    state=summary.state,
                    last_price=summary.last_price,
                    orders=state.orders,
                    book=[(*place, number) for number, place in state.places.items()],
                    bids=bids,
                    asks=asks,
                )
            )
        except CacheError as error:
            self._fail("redis_rebuild_failed", error)
            return
        self._written = (state.sequence, state.chain)
        self._metrics.cache_rebuilds.inc()
        self._backoff.reset()
        self._delay = 0.0
        _log.info("redis_rebuilt", market=self._metrics.market, sequence=state.sequence)
        if self._committed.sequence != state.sequence:
            self._wake.set()

    def _fail(self, event: str, error: CacheError) -> None:
        self._healthy = False
        self._delay = self._backoff.next_delay()
        self._pending = _Pending()
        self._metrics.cache_failures.inc()
        _log.warning(event, market=self._metrics.market, why=str(error))

    async def _acknowledge(self) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is None:
            return
        with self._metrics.step("ack").time():
            await self._ack(delivery)
        self._checkpoint("acked")

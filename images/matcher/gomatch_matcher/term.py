"""One term of a leader: from a recovered engine until it stops or a commit fails.

The pipeline is take and match → commit → publish, mirror and acknowledge. Commits are strictly
serial; the next batch is matched while one commits, and nothing of a batch leaves the process
before its own commit is confirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gomatch.concurrency import run_together
from gomatch.errors import CommitRefused, EngineFault, ForeignCommands
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import Batch, Commits, source_row
from gomatch.transport import Delivery
from gomatch_matcher.cache_writer import CacheWriter
from gomatch_matcher.callback import CallbackFanout
from gomatch_matcher.command_feed import CommandFeed
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.fault_points import Checkpoint
from gomatch_matcher.image_writer import ImageWriter
from gomatch_matcher.matched import MatchedBatch, Taken
from gomatch_matcher.matching import Matching
from gomatch_matcher.metrics import MatcherMetrics

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Caution:
    """After the engine raised: apply one command at a time up to ``until``, as PostgreSQL has
    them, and journal the numbers in ``skip`` as rejected."""

    until: int = 0
    skip: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TermParts:
    """What a term works with; whoever made them closes them."""

    market_id: int
    matching: Matching
    feed: CommandFeed
    commits: Commits
    committed: CommittedState
    cache: CacheWriter
    fanout: CallbackFanout
    images: ImageWriter
    tracing: Tracing
    settings: Settings
    metrics: MatcherMetrics
    checkpoint: Checkpoint
    clock: Callable[[], int]


class Term:
    """``run`` returns after an orderly stop. It raises StoreUnavailable when a commit failed or
    its answer was lost, Fenced when another leads, EngineFault when the engine raised or did what
    cannot be stored, and ForeignCommands when the queue brought what was never accepted."""

    def __init__(self, parts: TermParts, *, caution: Caution) -> None:
        self._parts = parts
        self._caution = caution
        self._ready: asyncio.Queue[MatchedBatch | Delivery | None] = asyncio.Queue(maxsize=1)
        self._committed_all = asyncio.Event()
        self._take_seconds = parts.metrics.step("take")
        self._match_seconds = parts.metrics.step("match")
        self._commit_seconds = parts.metrics.step("commit")

    async def run(self, stop: asyncio.Event) -> None:
        await run_together(
            self._match_loop(stop), self._commit_loop(), self._parts.cache.run(), self._images()
        )

    async def _images(self) -> None:
        await self._parts.images.run(self._committed_all)

    async def _match_loop(self, stop: asyncio.Event) -> None:
        parts = self._parts
        fault: EngineFault | None = None
        while not stop.is_set():
            taken = await self._take(stop)
            if taken is None:
                break
            started = time.perf_counter()
            try:
                batch = parts.matching.match(taken, now=parts.clock(), skip=self._caution.skip)
            except EngineFault as error:
                # What was matched before it is sound and is committed first.
                fault = error
                break
            self._match_seconds.observe(time.perf_counter() - started)
            if batch is not None:
                parts.checkpoint("matched")
                await self._ready.put(batch)
            elif taken.delivery is not None:
                # Nothing but repetitions: still to be acknowledged, after what is under way.
                await self._ready.put(taken.delivery)
        await self._ready.put(None)
        await self._committed_all.wait()
        if fault is not None:
            raise fault

    async def _take(self, stop: asyncio.Event) -> Taken | None:
        """The next commands, or an empty Taken when only time has passed; None to stop."""
        parts = self._parts
        engine = parts.matching.engine
        cautious = engine.applied < self._caution.until
        limit = 1 if cautious else parts.settings.match_batch
        timeout = parts.settings.gap_timeout
        if engine.next_expiry is not None:
            timeout = min(timeout, max(0.0, (engine.next_expiry - parts.clock()) / 1e6))
        started = time.perf_counter()
        taking = asyncio.ensure_future(
            parts.feed.take(limit=limit, timeout=timeout, from_queue=not cautious)
        )
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not taking.done():
                taking.cancel()
            await asyncio.gather(taking, stopping, return_exceptions=True)
        if taking.cancelled():
            return None
        taken = taking.result()
        if taken.segments:
            self._take_seconds.observe(time.perf_counter() - started)
        return taken

    async def _commit_loop(self) -> None:
        parts = self._parts
        while (batch := await self._ready.get()) is not None:
            if isinstance(batch, Delivery):
                parts.cache.acknowledge(batch)
                continue
            parts.checkpoint("before_commit")
            started = time.perf_counter()
            with parts.tracing.batch(
                "commit",
                batch.applied.trace,
                market=parts.metrics.market,
                first=batch.first_number,
                last=batch.applied.applied,
            ) as trace:
                await self._commit(batch)
            self._commit_seconds.observe(time.perf_counter() - started)
            parts.checkpoint("committed")
            self._leave(batch, trace)
        self._committed_all.set()
        parts.cache.close()

    async def _commit(self, batch: MatchedBatch) -> None:
        parts = self._parts
        try:
            await parts.commits.commit(_commit_batch(parts.market_id, batch))
        except ForeignCommands as error:
            await parts.feed.refuse_foreign(batch.sources, error.first)
            raise
        except CommitRefused as error:
            raise EngineFault(
                f"what the engine did cannot be stored: {error}",
                number=batch.first_number,
                last=max(batch.first_number, batch.applied.applied),
            ) from error

    def _leave(self, batch: MatchedBatch, trace: str) -> None:
        """The commit is confirmed: results may leave the process, under its ``trace``."""
        parts = self._parts
        before = parts.committed.advance(batch)
        parts.fanout.publish(replace(batch.applied, trace=trace) if trace else batch.applied)
        parts.checkpoint("streamed")
        parts.cache.submit(batch, before)
        parts.images.count(batch.count)
        metrics = parts.metrics
        metrics.batch_commands.observe(batch.count)
        metrics.commands.inc(batch.count)
        metrics.events.inc(len(batch.applied.events))
        metrics.trades.inc(len(batch.trades))
        metrics.progress.advance(batch.applied.applied)
        metrics.sequence.set(batch.applied.last_sequence)
        metrics.open_orders.set(len(parts.committed.orders))
        metrics.state.set(batch.applied.summary.state)
        metrics.command_age.observe(max(0, parts.clock() - batch.oldest_accepted_at) / 1e6)


def _commit_batch(market_id: int, batch: MatchedBatch) -> Batch:
    applied = batch.applied
    return Batch(
        market_id=market_id,
        epoch=applied.epoch,
        previous_sequence=batch.previous_sequence,
        first_number=batch.first_number,
        last_number=applied.applied,
        first_sequence=applied.first_sequence,
        last_sequence=applied.last_sequence,
        time=applied.time,
        rules_version=batch.rules_version,
        events=applied.packed,
        previous_chain=batch.previous_chain,
        chain=batch.chain,
        state=applied.summary.state,
        last_price=applied.summary.last_price,
        state_reason=batch.state_reason,
        skipped=batch.skipped,
        new_orders=batch.new_orders,
        order_updates=batch.order_updates,
        trades=batch.trades,
        sources=[source_row(delivery.batch) for delivery in batch.sources],
    )

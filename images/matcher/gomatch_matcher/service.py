"""The matcher's service: waits for the lease, leads term after term, and steps down in order."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from gomatch.cache import BookMirror
from gomatch.concurrency import (
    Backoff,
    run_until_first,
    wait_or_stop,
)
from gomatch.errors import (
    EngineFault,
    Fenced,
    ForeignCommands,
    GomatchError,
    SchemaMismatch,
    StoreUnavailable,
    UnknownMarket,
)
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import (
    Commits,
    Intake,
    Journal,
    Leadership,
    MarketRecord,
    Markets,
    Snapshots,
    check_schema,
    close_pool,
    connect_pool,
)
from gomatch.transport import Transport
from gomatch_matcher.backlog import CommittedBacklog
from gomatch_matcher.cache_writer import CacheWriter
from gomatch_matcher.callback import CallbackFanout, FanoutHooks
from gomatch_matcher.command_feed import CommandFeed
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.fault_points import Checkpoint, no_checkpoint
from gomatch_matcher.fault_policy import FaultPolicy
from gomatch_matcher.image_writer import ImageWriter
from gomatch_matcher.lease_keeper import LeaseKeeper
from gomatch_matcher.matching import Matching
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.progress import ProgressWatch
from gomatch_matcher.recovery import Recovered, recover
from gomatch_matcher.status import STANDBY_SECONDS, MatcherStatus
from gomatch_matcher.term import Caution, Term, TermParts

_log = logs.get(__name__)
_SETTLED_SECONDS = 10.0


def wall_clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


class MatcherService:
    """Serves one market. ``transport`` belongs to the caller; all else is opened by ``run``."""

    def __init__(
        self,
        settings: Settings,
        *,
        market: str,
        transport: Transport,
        metrics: MatcherMetrics,
        tracing: Tracing | None = None,
        checkpoint: Checkpoint = no_checkpoint,
        holder: str | None = None,
    ) -> None:
        """``holder`` names this process in the lease; by default pod or else host, process and
        object."""
        self.settings = settings
        self.symbol = market
        self.status = MatcherStatus()
        self._transport = transport
        self._metrics = metrics
        self._tracing = tracing or Tracing.off()
        self._checkpoint = checkpoint
        place = settings.pod_name or socket.gethostname()
        self._holder = holder or f"{place}/{os.getpid()}/{id(self):x}"

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``: wait for the lease, lead, hand over. Servers that are away are waited
        for. A commit that failed, or whose answer was lost, is answered by taking the lease
        anew: that ends the old session and fences it off, so that what the database then holds
        is all there will be of it. Raises UnknownMarket and SchemaMismatch, except in a pod: there
        it stays, not ready with the reason, and looks again now and then."""
        backoff, slow = Backoff(first=0.1, limit=3.0), Backoff(first=1.0, limit=30.0)
        while not stop.is_set():
            started = time.monotonic()
            pauses = backoff
            try:
                await self._serve(stop)
            except StoreUnavailable as error:
                self._step_down(error)
                self._metrics.reloads.inc()
                _log.warning(error.code, market=self.symbol, why=str(error))
            except Fenced as error:
                self._step_down(error)
                self._metrics.fenced.inc()
                _log.warning("fenced", market=self.symbol, why=str(error))
            except (SchemaMismatch, UnknownMarket) as error:
                news = self._step_down(error)
                if not self.settings.pod_name:
                    raise
                if news:
                    _log.error(error.code, market=self.symbol, why=str(error))
                pauses = slow
            if time.monotonic() - started > _SETTLED_SECONDS:
                backoff.reset()
                slow.reset()
            if not stop.is_set():
                await wait_or_stop(stop, pauses.next_delay())

    async def _serve(self, stop: asyncio.Event) -> None:
        settings = self.settings
        async with AsyncExitStack() as stack:
            pool = await connect_pool(
                settings.postgres,
                size=3,
                timeout=settings.database_timeout,
                application=f"gomatch-matcher {self.symbol}",
            )
            stack.push_async_callback(close_pool, pool)
            await check_schema(pool)
            market = await Markets(pool, timeout=settings.database_timeout).get(self.symbol)
            if market is None:
                raise UnknownMarket(
                    f"market {self.symbol} does not exist; make it by `gomatch markets create`"
                )
            mirror = BookMirror(settings.redis, self.symbol, timeout=2.0)
            stack.push_async_callback(mirror.close)
            leadership = self._leadership("gomatch candidate")
            stack.push_async_callback(leadership.close)
            epoch = await self._wait_for_lease(leadership, market, stop)
            if epoch is None:
                return
            tools = _Tools(pool, settings.database_timeout, mirror, leadership, market, epoch)
            await self._lead(tools, stop)

    async def _wait_for_lease(
        self, leadership: Leadership, market: MarketRecord, stop: asyncio.Event
    ) -> int | None:
        while not stop.is_set():
            leader = await leadership.acquire(
                market.market_id, self._holder, self.settings.lease_seconds
            )
            if leader is not None:
                return leader.epoch
            self.status.waiting = True
            self.status.progressed()
            await wait_or_stop(stop, min(self.settings.lease_renew / 2, STANDBY_SECONDS / 2))
        return None

    async def _lead(self, tools: _Tools, stop: asyncio.Event) -> None:
        epoch = tools.epoch
        self.status.waiting = False
        self.status.epoch = epoch
        self.status.progressed()
        self._metrics.epoch.set(epoch)
        _log.info("lease_acquired", market=self.symbol, epoch=epoch, holder=self._holder)
        keeper = LeaseKeeper(
            self._leadership("gomatch lease"),
            market_id=tools.market.market_id,
            epoch=epoch,
            lease=self.settings.lease_seconds,
            renew=self.settings.lease_renew,
            stall_limit=self.settings.lease_stall_limit,
            renewed=self.status.progressed,
            refresh_cache=tools.refresh_cache,
        )
        watch = ProgressWatch(
            self._metrics.progress,
            journal=tools.journal(),
            transport=self._transport,
            market_id=tools.market.market_id,
            symbol=self.symbol,
            depth=self._metrics.queue_batches.set,
        )
        await run_until_first(self._lead_terms(tools, stop), keeper.run(), watch.run())
        await tools.leadership.release(tools.market.market_id, epoch)
        self._step_down()
        _log.info("lease_released", market=self.symbol, epoch=epoch)

    async def _lead_terms(self, tools: _Tools, stop: asyncio.Event) -> None:
        policy = FaultPolicy(
            market_id=tools.market.market_id,
            symbol=self.symbol,
            journal=tools.journal(),
            intake=Intake(tools.pool, timeout=tools.timeout),
            metrics=self._metrics,
        )
        caution = Caution()
        backoff = Backoff(first=0.05, limit=5.0)
        while True:
            started = time.monotonic()
            try:
                await self._term(tools, stop, caution)
                return
            except EngineFault as fault:
                caution = await policy.after(fault, caution, now=wall_clock())
            except ForeignCommands as error:
                _log.error("foreign_commands", market=self.symbol, why=str(error))
            if time.monotonic() - started > _SETTLED_SECONDS:
                backoff.reset()
            await wait_or_stop(stop, backoff.next_delay())
            self._metrics.reloads.inc()
            self.status.leading = False
            self._metrics.end_term()

    async def _term(self, tools: _Tools, stop: asyncio.Event, caution: Caution) -> None:
        market, settings = tools.market, self.settings
        journal, snapshots = tools.journal(), Snapshots(tools.pool, timeout=tools.timeout)
        async with AsyncExitStack() as stack:
            commits = Commits(settings.postgres, timeout=settings.database_timeout)
            stack.push_async_callback(commits.close)
            session = await commits.connect()
            await tools.leadership.register_backend(market.market_id, tools.epoch, session)
            head = await journal.head(market.market_id)
            if head.epoch != tools.epoch:
                raise Fenced(f"market {self.symbol} is led in epoch {head.epoch}")
            # What the last term's engine left is frozen with it.
            gc.unfreeze()
            gc.collect()
            recovered = await recover(
                head=head, journal=journal, snapshots=snapshots, mirror=tools.mirror
            )
            self._report(recovered)
            gc.freeze()
            committed = CommittedState(recovered.engine, epoch=tools.epoch, chain=head.chain)
            # One for each term: what the last one had taken and not acknowledged comes again.
            consumer = await self._transport.consumer(self.symbol, prefetch=settings.prefetch)
            stack.push_async_callback(consumer.close)
            cache = CacheWriter(
                mirror=tools.mirror,
                committed=committed,
                in_step=recovered.source == "redis",
                ack=consumer.ack,
                metrics=self._metrics,
                checkpoint=self._checkpoint,
            )
            tools.cache = cache
            stack.callback(tools.forget_cache)
            fanout = CallbackFanout(
                market=self.symbol,
                targets=settings.callback_targets,
                buffer=settings.callback_buffer,
                tokens=settings.callback_tokens,
                source=CommittedBacklog(journal, committed, market_id=market.market_id),
                hooks=FanoutHooks(
                    connected=self._metrics.callback_connected.set,
                    dropped=self._metrics.callback_dropped,
                    refused=self._metrics.callback_refused,
                    resumed=self._metrics.callback_resumed.inc,
                    sent=self._metrics.callback_sent.inc,
                    delivered=self._metrics.step("callback").observe,
                ),
            )
            term = Term(
                TermParts(
                    market_id=market.market_id,
                    matching=Matching(
                        recovered.engine,
                        market_id=market.market_id,
                        epoch=tools.epoch,
                        chain=head.chain,
                    ),
                    feed=CommandFeed(
                        journal=journal,
                        consumer=consumer,
                        market_id=market.market_id,
                        symbol=self.symbol,
                        applied=head.applied,
                        settings=settings,
                        metrics=self._metrics,
                    ),
                    commits=commits,
                    committed=committed,
                    cache=cache,
                    fanout=fanout,
                    images=ImageWriter(
                        snapshots=snapshots,
                        committed=committed,
                        market_id=market.market_id,
                        every=settings.snapshot_every,
                        interval=settings.snapshot_interval,
                        metrics=self._metrics,
                    ),
                    tracing=self._tracing,
                    settings=settings,
                    metrics=self._metrics,
                    checkpoint=self._checkpoint,
                    clock=wall_clock,
                ),
                caution=caution,
            )
            self.status.leading = True
            self._metrics.begin_term(
                accepted=head.accepted,
                applied=head.applied,
                sequence=head.sequence,
                open_orders=recovered.engine.open_orders,
                state=recovered.engine.state,
            )
            await run_until_first(term.run(stop), fanout.run())

    def _report(self, recovered: Recovered) -> None:
        self.status.recovered_from = recovered.source
        self._metrics.recovered(recovered.source, recovered.seconds)
        self._metrics.images_refused.inc(recovered.images_refused)
        _log.info(
            "recovered",
            market=self.symbol,
            source=recovered.source,
            since=recovered.since,
            replayed=recovered.replayed,
            seconds=round(recovered.seconds, 4),
            applied=recovered.head.applied,
            sequence=recovered.head.sequence,
            open_orders=recovered.engine.open_orders,
        )

    def _leadership(self, application: str) -> Leadership:
        return Leadership(
            self.settings.postgres,
            timeout=self.settings.database_timeout,
            application=application,
        )

    def _step_down(self, error: GomatchError | None = None) -> bool:
        """Because of ``error``, or in order; False when that error was known already."""
        self._metrics.end_term()
        self._metrics.epoch.set(0)
        return self.status.ended(error)


@dataclass(slots=True)
class _Tools:
    """What stays open for as long as this process holds the lease."""

    pool: asyncpg.Pool
    timeout: float
    mirror: BookMirror
    leadership: Leadership
    market: MarketRecord
    epoch: int
    cache: CacheWriter | None = None

    def journal(self) -> Journal:
        return Journal(self.pool, timeout=self.timeout)

    def forget_cache(self) -> None:
        """Its term has ended."""
        self.cache = None

    def refresh_cache(self) -> bool:
        """Have the mirror written anew; False before there is a term that could."""
        if self.cache is None:
            return False
        self.cache.refresh()
        return True

"""Drift outside of the cluster, found for all Markets at once: one SELECT, one list each of queues,
bindings and policies, one pipeline to Redis. Only Markets that differ are queued."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gomatch.errors import Fenced, StoreError, StoreUnavailable
from gomatch.observability import logs
from gomatch.store import ClaimedMarket
from gomatch_operator import conditions as c
from gomatch_operator.cache.keeper import MirrorKeeper
from gomatch_operator.crd import CrdWatch
from gomatch_operator.deletion import DeletionParts, clean_leftovers
from gomatch_operator.errors import BrokerError, MirrorUnavailable
from gomatch_operator.events import Events
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market
from gomatch_operator.memory import Memories, signature
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.outages import Fault, Outages, ServerName
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.store import ClaimsSource, store_fault
from gomatch_operator.watched import Watched
from gomatch_operator.work import KeyedQueue

_log = logs.get(__name__)
_SUSPICIOUS = 2.0
_LEAST = 0.5
_SERVERS: tuple[ServerName, ...] = ("PostgreSQL", "RabbitMQ", "Redis")


class _Outage(NamedTuple):
    begun: int
    """How many outages of the server have begun."""
    reason: str
    """Of the last; empty when it is over."""


_NONE = _Outage(0, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParts:
    settings: OperatorSettings
    watched: Watched
    work: KeyedQueue
    source: ClaimsSource
    queue: QueueKeeper
    mirror: MirrorKeeper
    rollouts: Rollouts
    memories: Memories
    outages: Outages
    events: Events
    leadership: OperatorLeadership
    metrics: OperatorMetrics
    deletion: DeletionParts
    crd: CrdWatch


class Sweep:
    """``run`` sweeps until it is cancelled: every so often, sooner while a server seems to be away
    or a mirror behind."""

    def __init__(self, parts: SweepParts) -> None:
        self._parts = parts
        self._found: dict[ServerName, _Outage] = {}
        self._told: dict[ServerName, _Outage] = {}
        self._shared: Fault | None = None
        self._rows: list[ClaimedMarket] = []

    async def begin(self) -> None:
        """Before the first reconcile: an older CRD has dropped fields that were asked for, and
        without them a market must not be configured."""
        await self._kind()

    async def run(self) -> None:
        """Raises LeadershipLost, Fenced."""
        while True:
            await self.once()
            await asyncio.sleep(self._pause())

    async def once(self) -> None:
        parts = self._parts
        parts.leadership.require()
        await self._kind()
        self._unhandled()
        known = await self._store()
        await self._broker()
        if known:
            await self._mirrors()
        await self._outages()
        for key in parts.rollouts.admissible():
            parts.work.add(key, urgent=False)
        self._count()

    def _pause(self) -> float:
        parts = self._parts
        pause = parts.settings.sweep_seconds
        if any(parts.outages.suspected(server) for server in _SERVERS):
            # Mirrors may be due all the time, as nobody can look at them.
            return min(pause, _SUSPICIOUS)
        due = parts.mirror.next_look(self._rows)
        return pause if due is None else min(pause, max(_LEAST, due))

    async def _kind(self) -> None:
        crd = self._parts.crd
        if await crd.look():
            await self._concerns_all(crd.fault, "CrdCurrent", "The CRD has all fields.")

    def _unhandled(self) -> None:
        """Changed Markets that the queue had no room for."""
        for market in self._markets():
            if market.status.get("observedGeneration") != market.generation:
                self._parts.work.add(market.key, urgent=False)

    async def _store(self) -> bool:
        """Returns whether the rows are known as of now: mirrors are compared with them."""
        parts = self._parts
        self._rows = []
        try:
            claims = await parts.source.claims()
            rows = await claims.observe(parts.settings.installation, symbols=self._waited_for())
            parts.outages.worked("PostgreSQL")
            await clean_leftovers(parts.deletion)
        except Fenced:
            raise
        except StoreUnavailable as error:
            parts.outages.failed("PostgreSQL", store_fault(error)[0])
            return False
        except StoreError as error:
            # It answers: each Market says what is wrong.
            parts.outages.worked("PostgreSQL")
            _log.warning("sweep_failed", server="PostgreSQL", why=str(error))
            return False
        self._rows = self._mirrored(rows)
        by_symbol = {row.symbol: row for row in rows}
        for market in self._markets():
            assert market.spec is not None
            row = by_symbol.get(market.spec.symbol)
            if self._store_differs(market, row):
                parts.work.add(market.key, urgent=False)
        return True

    def _waited_for(self) -> list[str]:
        """Symbols that a Market names and another has: no watch says when that one lets go."""
        memories = self._parts.memories
        return [
            market.spec.symbol
            for market in self._markets()
            if market.spec is not None and not memories.of(market).claimed
        ]

    def _mirrored(self, rows: Iterable[ClaimedMarket]) -> list[ClaimedMarket]:
        """Those with a mirror that this operator keeps."""
        served = {(each.spec.symbol, each.uid) for each in self._markets() if each.spec is not None}
        ours = self._parts.settings.installation
        return [
            row
            for row in rows
            if row.owner is not None
            and row.owner.installation == ours
            and (row.symbol, row.owner.uid) in served
            and row.held
            and not row.removing
        ]

    def _store_differs(self, market: Market, row: ClaimedMarket | None) -> bool:
        memory = self._parts.memories.of(market)
        if row is None:
            # One that was claimed has lost its row; any other may have it now.
            return True
        if memory.seen != signature(row):
            return True
        return memory.claimed and market.status.get("lastSequence") != row.sequence

    async def _broker(self) -> None:
        parts = self._parts
        try:
            for kind, text in await parts.queue.refresh():
                parts.metrics.drift.labels(kind).inc()
                await parts.events.operator("Restored", text, warning=False)
        except BrokerError as error:
            _log.info("sweep_failed", server="RabbitMQ", why=str(error))
            return
        shared = parts.queue.shared_fault
        if shared != self._shared:
            self._shared = shared
            await self._concerns_all(shared, "ExchangesBack", "The exchanges are ours again.")
        for market in self._markets():
            assert market.spec is not None
            if not parts.memories.of(market).claimed:
                continue
            symbol = market.spec.symbol
            depth, consumers = parts.queue.figures(symbol)
            told = market.status.get("queue") or {}
            if parts.queue.differs(symbol, market.spec.queue.max_length) or (
                depth is not None
                and (depth, consumers or 0) != (told.get("depth"), told.get("consumers"))
            ):
                parts.work.add(market.key, urgent=False)

    async def _mirrors(self) -> None:
        parts = self._parts
        # A Market may have gone since, with its mirror.
        self._rows = self._mirrored(self._rows)
        try:
            changed = await parts.mirror.look(self._rows)
        except MirrorUnavailable as error:
            _log.info("sweep_failed", server="Redis", why=str(error))
            return
        for market in self._markets():
            assert market.spec is not None
            if market.spec.symbol in changed or _says_redis_is_away(market):
                parts.work.add(market.key, urgent=False)

    async def _outages(self) -> None:
        """What began or ended turns conditions of all Markets, and is one Event on the operator; so
        is another reason, once two sweeps have found it."""
        parts = self._parts
        for server in _SERVERS:
            outage = parts.outages.outage(server)
            found = _Outage(parts.outages.begun(server), "" if outage is None else outage.reason)
            before = self._found.get(server, _NONE)
            told = self._told.get(server, _NONE)
            self._found[server] = found
            another_reason = outage is not None and told.reason and found.begun == told.begun
            if found == told or (another_reason and found != before):
                continue
            # Also when it is over already: who looked meanwhile says that it is under way.
            self._told[server] = found
            await self._concerns_all(outage, "ServerBack", f"{server} answers again.")

    async def _concerns_all(self, fault: Fault | None, over: str, message: str) -> None:
        """One Event on the operator, that it began or is ``over``, and a look at every Market."""
        events = self._parts.events
        if fault is not None:
            await events.operator(*fault, warning=True)
        else:
            await events.operator(over, message, warning=False)
        for key in self._parts.watched.markets:
            self._parts.work.add(key, urgent=False)

    def _markets(self) -> Iterable[Market]:
        return [
            market
            for market in self._parts.watched.markets.values()
            if market.spec is not None and not market.deleting
        ]

    def _count(self) -> None:
        counts = dict.fromkeys(("True", "False", "Unknown"), 0)
        for market in self._parts.watched.markets.values():
            counts[c.told(market.status).get(c.READY, {}).get("status", "Unknown")] += 1
        for status, count in counts.items():
            self._parts.metrics.markets.labels(status).set(count)


def _says_redis_is_away(market: Market) -> bool:
    """Redis failed once more as the Market was looked at after an outage."""
    cache = c.told(market.status).get(c.CACHE_READY, {})
    return cache.get("reason") in ("CacheUnavailable", "CredentialsRefused")

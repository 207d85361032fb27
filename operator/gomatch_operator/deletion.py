"""The way out of a Market: intake is closed, what was accepted is applied, the matcher writes its
image and ends, queue and keys are removed, and the data is kept or dropped as the Market says.

Each step looks where things stand and does the next; none is remembered but in what it did. Without
PostgreSQL nothing goes on, as nobody could tell what is still to be applied. RabbitMQ and Redis are
not waited for beyond the time that the Market allows: a row remembers what they still hold.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from gomatch.engine import TradingState
from gomatch.errors import NotDrained, SchemaMismatch, StoreUnavailable
from gomatch.observability import logs
from gomatch.store import ClaimedMarket, ClaimOwner, Claims
from gomatch_operator import names
from gomatch_operator.cache.keeper import MirrorKeeper
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.keeper import ClusterKeeper, deployment_key
from gomatch_operator.errors import (
    BrokerError,
    Forbidden,
    MirrorUnavailable,
    ObjectChanged,
    ObjectMissing,
)
from gomatch_operator.events import Events, market_reference
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market
from gomatch_operator.memory import MarketMemory
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.store import ClaimsSource, store_fault
from gomatch_operator.store.keeper import owner_of
from gomatch_operator.watched import Watched

_log = logs.get(__name__)
_SOON = 0.5
_LATER = 2.0
_NO_ANSWER = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionStep:
    """``done``: the finalizer is gone. ``progress`` is what Draining says; look again in
    ``again_in`` seconds."""

    done: bool = False
    row: ClaimedMarket | None = None
    store_fault: Fault | None = None
    progress: Fault | None = None
    again_in: float = _SOON


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionParts:
    settings: OperatorSettings
    watched: Watched
    source: ClaimsSource
    api: ClusterApi
    cluster: ClusterKeeper
    queue: QueueKeeper
    mirror: MirrorKeeper
    events: Events
    outages: Outages
    leadership: OperatorLeadership
    checkpoint: Checkpoint = no_checkpoint
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""


class Deletion:
    def __init__(self, parts: DeletionParts) -> None:
        self._parts = parts

    async def step(self, market: Market, memory: MarketMemory) -> DeletionStep:
        """Raises ClusterUnavailable, LeadershipLost, Fenced."""
        parts = self._parts
        owner = owner_of(market, parts.settings.installation)
        try:
            claims = await parts.source.claims()
            row = await self._find(claims, market, owner)
            parts.outages.worked("PostgreSQL")
            if row is None:
                return await self._finish(market)
            return await self._step(claims, market, memory, owner, row)
        except StoreUnavailable as error:
            fault, _ = store_fault(error)
            parts.outages.failed("PostgreSQL", fault)
            return await self._without_store(market, fault, parts.outages.outage("PostgreSQL"))
        except SchemaMismatch as error:
            parts.outages.worked("PostgreSQL")
            fault, _ = store_fault(error)
            return await self._without_store(market, fault, fault)

    async def _find(
        self, claims: Claims, market: Market, owner: ClaimOwner
    ) -> ClaimedMarket | None:
        """What this Market holds; None when that is nothing."""
        if market.spec is not None:
            row = await claims.observe_one(market.spec.symbol)
            return row if row is not None and row.held and row.owner == owner else None
        rows = await claims.observe(owner.installation)
        return next((row for row in rows if row.held and row.owner == owner), None)

    async def _step(
        self,
        claims: Claims,
        market: Market,
        memory: MarketMemory,
        owner: ClaimOwner,
        row: ClaimedMarket,
    ) -> DeletionStep:
        parts = self._parts
        term = parts.leadership.term
        if row.removing:
            # A matcher that ended late may have made its queue anew. Once the row is gone the next
            # Market may have one of that name.
            await self._clean_up(claims, row.symbol, late=True)
            await claims.drop(owner, row.symbol, term=term)
            return await self._finish(market)
        late = self._late(market)
        closed = row.state is TradingState.CLOSED
        applied = row.applied == row.accepted
        # Somebody may have opened it by hand since it was asked to close.
        if row.requested_state is not TradingState.CLOSED or (applied and not closed and not late):
            parts.leadership.require()
            await claims.request_state(
                owner,
                row.symbol,
                TradingState.CLOSED,
                term=term,
                backlog_limit=parts.settings.backlog_limit,
            )
            parts.checkpoint("closing_entered")
            return _waits(row, "Closing", "Intake is being closed and open orders cancelled.")
        drained = closed and applied
        if not drained and not late and await self._matcher_may_run(market):
            waiting = row.accepted - row.applied
            return _waits(
                row, "WaitingForMatcher", f"{waiting} accepted commands wait to be applied."
            )
        if await self._pods_end(market) and not late:
            return _waits(row, "WritingImage", "The matcher writes its image and ends.")
        if not memory.outside_done:
            left = await self._clean_up(claims, row.symbol, late=late)
            if left:
                return _waits(row, "CleaningUp", left, again_in=_LATER)
            memory.outside_done = True
        await self._part(claims, market, owner, row, drained=drained)
        parts.checkpoint("parted")
        return await self._finish(market)

    def _late(self, market: Market) -> bool:
        allowed = 300 if market.spec is None else market.spec.drain_timeout_seconds
        return self._parts.clock() > market.deleted_at / 1_000_000 + allowed

    async def _matcher_may_run(self, market: Market) -> bool:
        """Whether waiting for it makes sense; a Deployment that somebody deleted comes back. When
        the namespace goes, the operator's rights in it may have gone before."""
        if market.spec is None:
            return True
        kept = await self._parts.cluster.keep(market, handled=True)
        return kept.fault is None or kept.fault.reason not in ("NamespaceTerminating", "Forbidden")

    async def _pods_end(self, market: Market) -> bool:
        """Delete the Deployment; True while pods are there."""
        parts = self._parts
        deployment = parts.watched.owned.get(deployment_key(market.key))
        if deployment is not None and not deployment.deleting:
            if deployment.owner_uid != market.uid:
                return False
            parts.leadership.require()
            try:
                await parts.api.delete(*deployment.key, uid=deployment.uid)
            except ObjectMissing:
                pass
            except ObjectChanged:
                return True
            except Forbidden:
                # Nor could anybody say when the pods have ended.
                return False
            parts.watched.drop_owned(deployment.key, deployment.uid, wanted=False)
            parts.checkpoint("deployment_deleted")
        return bool(parts.watched.pods_of(market.key))

    async def _clean_up(self, claims: Claims, symbol: str, *, late: bool) -> str:
        """Remove queue and keys; returns what is still there, empty when nothing is or a row
        remembers it."""
        parts = self._parts
        installation, term = parts.settings.installation, parts.leadership.term
        # Fences an operator that was frozen, before it deletes anything that has no fence.
        await claims.begin_term(installation, term)
        left: dict[str, str] = {}
        try:
            await parts.queue.remove(symbol)
            parts.checkpoint("queue_removed")
        except BrokerError as error:
            left["queue"] = str(error)
        try:
            await parts.mirror.remove(symbol)
            parts.checkpoint("keys_removed")
        except MirrorUnavailable as error:
            left["cache"] = str(error)
        if not left:
            return ""
        if not late:
            return "; ".join(left.values())
        await claims.note_leftovers(
            installation, symbol, queue="queue" in left, cache="cache" in left, term=term
        )
        _log.warning("leftovers_noted", symbol=symbol, why="; ".join(left.values()))
        return ""

    async def _part(
        self,
        claims: Claims,
        market: Market,
        owner: ClaimOwner,
        row: ClaimedMarket,
        *,
        drained: bool,
    ) -> None:
        parts = self._parts
        parts.leadership.require()
        term = parts.leadership.term
        wants_drop = market.spec is not None and market.spec.deletion_policy == "Delete"
        if wants_drop and drained:
            try:
                await claims.drop(owner, row.symbol, term=term)
                return
            except NotDrained as error:
                _log.warning("data_kept", symbol=row.symbol, why=str(error))
        await claims.release(owner, row.symbol, term=term)
        if wants_drop:
            await parts.events.post(
                market_reference(market),
                reason="DataKept",
                message=f"deletionPolicy is Delete, and {row.accepted - row.applied} accepted "
                f"commands of {row.symbol} were not applied in time: all data is kept.",
                warning=True,
            )

    async def _without_store(
        self, market: Market, fault: Fault, told: Fault | None
    ) -> DeletionStep:
        """``told`` is what StoreReady says."""
        if market.annotations.get(names.ANNOTATION_ABANDON) == "true":
            await self._parts.events.post(
                market_reference(market),
                reason="Abandoned",
                message="Removed without PostgreSQL, as gomatch.io/abandon asks: the claim and "
                "all data stay there, queue and keys where they are.",
                warning=True,
            )
            return await self._finish(market)
        return DeletionStep(
            store_fault=told,
            progress=Fault("StoreUnavailable", fault.message),
            again_in=_NO_ANSWER,
        )

    async def _finish(self, market: Market) -> DeletionStep:
        """Let the Market go. Its objects in the cluster follow it, as it owns them."""
        self._parts.leadership.require()
        remaining = [each for each in market.finalizers if each != names.FINALIZER]
        try:
            await self._parts.api.merge_patch(
                names.KIND,
                market.key.namespace,
                market.key.name,
                {
                    "metadata": {
                        "finalizers": remaining,
                        "uid": market.uid,
                        "resourceVersion": market.resource_version,
                    }
                },
            )
        except ObjectMissing:
            return DeletionStep(done=True)
        except ObjectChanged:
            return DeletionStep(progress=Fault("CleaningUp", "It is changed at the same time."))
        self._parts.checkpoint("finalizer_removed")
        return DeletionStep(done=True)


async def clean_leftovers(parts: DeletionParts) -> None:
    """Remove what deleted Markets have left in servers that were away. Raises StoreError,
    LeadershipLost; a server that is still away is tried at the next sweep."""
    claims = await parts.source.claims()
    installation, term = parts.settings.installation, parts.leadership.term
    for leftover in await claims.leftovers(installation):
        symbol, queue, cache = leftover.symbol, leftover.queue, leftover.cache
        await claims.begin_term(installation, term)
        if queue:
            served = partial(_is_served, claims, installation, symbol)
            queue = await _removed(partial(parts.queue.remove, unless=served), symbol)
        if cache:
            # Also of a market that is served again: a mirror of the one before may be of a higher
            # epoch, and its leader cannot write over that.
            cache = await _removed(parts.mirror.remove, symbol)
        await claims.forget_leftovers(installation, symbol, queue=queue, cache=cache, term=term)


async def _is_served(claims: Claims, installation: str, symbol: str) -> bool:
    """Whether a market uses again what one of that symbol left: it is claimed before its queue is
    made."""
    leftovers = await claims.leftovers(installation)
    return any(each.symbol == symbol and each.served for each in leftovers)


async def _removed(remove: Callable[[str], Awaitable[None]], symbol: str) -> bool:
    try:
        await remove(symbol)
    except (BrokerError, MirrorUnavailable) as error:
        _log.info("leftover_stays", symbol=symbol, why=str(error))
        return False
    return True


def _waits(
    row: ClaimedMarket, reason: str, message: str, *, again_in: float = _SOON
) -> DeletionStep:
    return DeletionStep(row=row, progress=Fault(reason, message), again_in=again_in)

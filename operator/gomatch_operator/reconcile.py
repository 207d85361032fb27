"""One Market, from what is wanted to what is: every step may be repeated, and one that finds all as
it should be writes nothing.

The order is that of safety: first the claim, which decides whether this Market may have anything at
all; then the queue, so that commands have somewhere to go; then the pods. A server that is away
degrades the Market and holds the other layers up in nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gomatch.errors import ConfigurationError
from gomatch.store import ClaimOwner
from gomatch_operator import conditions as c
from gomatch_operator import names
from gomatch_operator.cache.keeper import MirrorKeeper, MirrorResult
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.keeper import ClusterKeeper, cluster_fault
from gomatch_operator.deletion import Deletion
from gomatch_operator.errors import ClusterError, ClusterUnavailable, ObjectChanged, ObjectMissing
from gomatch_operator.evaluate import Facts, conditions_of
from gomatch_operator.events import Events
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import (
    Market,
    MarketKey,
    definition,
    read_market,
    seconds,
    trading_state,
)
from gomatch_operator.memory import MarketMemory, Memories
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.pods import mark_roles, mount_problem
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.status import StatusWriter, build_status, transitions
from gomatch_operator.store import Wanted
from gomatch_operator.store.keeper import StoreKeeper, StoreResult, owner_of
from gomatch_operator.watched import Watched
from gomatch_operator.work import Outcome

_LOOK_FOR_LEADER = 1.0
_LOOK_SLOWLY = 5.0
_LOOK_QUICKLY_FOR = 60.0
_MOUNT_PATIENCE = 10.0
_NO_ANSWER = frozenset(
    {c.READY, c.STORE_READY, c.MATCHER_AVAILABLE, c.CACHE_READY, c.HALTED, c.CONFLICT}
)
"""What cannot be told while PostgreSQL gave no answer and that is no outage yet."""
_OF_AN_OUTAGE = frozenset({c.READY, c.MATCHER_AVAILABLE, c.CACHE_READY})
"""What turns in every Market as an outage ends, and is no news of any one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerParts:
    """What a reconcile works with; whoever made them closes them."""

    settings: OperatorSettings
    watched: Watched
    leadership: OperatorLeadership
    api: ClusterApi
    store: StoreKeeper
    queue: QueueKeeper
    mirror: MirrorKeeper
    cluster: ClusterKeeper
    deletion: Deletion
    rollouts: Rollouts
    status: StatusWriter
    events: Events
    memories: Memories
    outages: Outages
    metrics: OperatorMetrics
    crd_fault: Callable[[], Fault | None]
    checkpoint: Checkpoint = no_checkpoint
    clock: Callable[[], float] = time.monotonic


class MarketReconciler:
    def __init__(self, parts: ReconcilerParts) -> None:
        self._parts = parts

    def begin(self) -> None:
        """Once all that there is is known, before the first reconcile."""
        self._parts.cluster.resume_rollouts()

    async def reconcile(self, key: MarketKey) -> Outcome:
        """Raises LeadershipLost, Fenced, and ClusterError when the API server cannot be told the
        status."""
        parts = self._parts
        parts.leadership.require()
        market = parts.watched.markets.get(key)
        if market is None:
            self._forget(key)
            return Outcome()
        memory = parts.memories.of(market)
        if market.deleting:
            return await self._delete(market, memory)
        facts = Facts(market=market, paused=market.paused, claimed=memory.claimed)
        facts.spec_fault = self._spec_fault(market)
        if market.paused or facts.spec_fault is not None:
            retry = await self._look(market, memory, facts)
        else:
            if not market.has_finalizer:
                market = await self._add_finalizer(market)
                self._parts.checkpoint("finalizer_added")
                facts.market = market
            retry = await self._keep(market, memory, facts)
        refusal = await self._pods(facts)
        await self._tell(facts)
        if isinstance(refusal, ClusterUnavailable):
            raise refusal
        incomplete = retry or refusal is not None
        return Outcome(again_in=self._again_in(facts, memory), incomplete=incomplete)

    def _spec_fault(self, market: Market) -> Fault | None:
        if (fault := self._parts.crd_fault()) is not None:
            return fault
        if market.spec is None:
            return Fault("Unreadable", f"The spec cannot be read: {market.problem}.")
        if market.spec.transport == "Kafka":
            return Fault("TransportUnavailable", "transport Kafka is not served by this release.")
        try:
            definition(market.spec).config()
            seconds(market.spec.snapshot.interval)
        except ConfigurationError as error:
            return Fault("OutOfRange", str(error))
        return None

    async def _add_finalizer(self, market: Market) -> Market:
        """Before anything is made that it would have to clean up."""
        body = await self._parts.api.merge_patch(
            names.KIND,
            market.key.namespace,
            market.key.name,
            {
                "metadata": {
                    "finalizers": [*market.finalizers, names.FINALIZER],
                    "resourceVersion": market.resource_version,
                }
            },
        )
        market = read_market(body)
        self._parts.watched.keep_written(market)
        return market

    async def _look(self, market: Market, memory: MarketMemory, facts: Facts) -> bool:
        """Without changing anything: a paused Market, or one whose spec cannot be carried out.
        Returns whether another look is worth it."""
        parts = self._parts
        facts.deployment = parts.cluster.look(market.key)
        if market.spec is None:
            return False
        symbol = market.spec.symbol
        stored = await parts.store.look(self._wanted(market))
        _note_stored(facts, memory, stored)
        if facts.claimed:
            queued = parts.queue.told(symbol)
            facts.queue_fault = queued.fault
            facts.depth, facts.consumers = queued.depth, queued.consumers
            if queued.fault is None and queued.depth is None:
                facts.unknown.add(c.QUEUE_READY)
            await self._mirror(facts, parts.mirror.told)
        return stored.retry

    async def _keep(self, market: Market, memory: MarketMemory, facts: Facts) -> bool:
        """Returns whether something is worth another try."""
        parts = self._parts
        spec = market.spec
        assert spec is not None
        stored = await parts.store.keep(market, self._wanted(market))
        _note_stored(facts, memory, stored)
        if not facts.claimed:
            facts.deployment = parts.cluster.look(market.key)
            return stored.retry
        length = spec.queue.max_length
        queued = await parts.queue.keep(spec.symbol, length, known=memory.queued == length)
        facts.queue_fault, facts.queue_note = queued.fault, queued.note
        facts.depth, facts.consumers = queued.depth, queued.consumers
        if queued.in_step:
            memory.queued = length
        if queued.doubt is not None:
            facts.queue_fault = queued.doubt
            facts.unknown.add(c.QUEUE_READY)
        if queued.conflict is not None:
            facts.conflict = queued.conflict
        handled = memory.carried_out == market.generation
        kept = await parts.cluster.keep(market, handled=handled)
        if kept.complete:
            memory.carried_out = market.generation
        facts.deployment, facts.cluster_fault = kept.deployment, kept.fault
        facts.rollout = kept.rollout
        facts.conflict = kept.conflict or facts.conflict
        outside = list(queued.restored)
        mirrored = await self._mirror(facts, parts.mirror.keep)
        if mirrored.request is not None and facts.row is not None:
            await parts.store.refresh_mirror(self._owner(market), spec.symbol)
            if mirrored.request.drift:
                outside.append(("mirror", f"mirror {spec.symbol}: {mirrored.request.why}"))
        for kind, _ in (*outside, *kept.restored):
            parts.metrics.drift.labels(kind).inc()
        # What a server has lost in an outage, all Markets lack at once.
        told = kept.restored if parts.outages.settling else (*outside, *kept.restored)
        if told:
            await parts.events.repaired(market, [text for _, text in told])
        return stored.retry or queued.retry or kept.retry

    async def _mirror(self, facts: Facts, result: Callable[[str], MirrorResult]) -> MirrorResult:
        assert facts.market.spec is not None
        follows = c.told(facts.market.status).get(c.CACHE_READY, {}).get("status") == "True"
        if facts.row is not None and facts.row.epoch and not follows:
            await self._parts.mirror.look_again(facts.row)
        mirrored = result(facts.market.spec.symbol)
        facts.cache_fault = mirrored.fault
        # One that followed does so until the contrary is seen: this operator may be a new one.
        facts.mirrored = mirrored.seen or follows
        if mirrored.unknown:
            facts.unknown.add(c.CACHE_READY)
        return mirrored

    def _wanted(self, market: Market) -> Wanted:
        assert market.spec is not None
        return Wanted(
            owner=self._owner(market),
            definition=definition(market.spec),
            state=trading_state(market.spec.state),
            resume=market.annotations.get(names.ANNOTATION_RESUME),
            adopt=market.annotations.get(names.ANNOTATION_ADOPT) == market.spec.symbol,
        )

    def _owner(self, market: Market) -> ClaimOwner:
        return owner_of(market, self._parts.settings.installation)

    async def _pods(self, facts: Facts) -> ClusterError | None:
        """Returns what has to be tried again: the Market is told of all the same."""
        parts = self._parts
        facts.pods = parts.watched.pods_of(facts.market.key)
        if facts.paused or facts.market.deleting:
            return None
        try:
            if facts.leader:
                await mark_roles(parts.api, facts.pods, leader=facts.leader)
            elif facts.pods:
                patience = int((time.time() - _MOUNT_PATIENCE) * 1_000_000)
                facts.mount_problem = await mount_problem(parts.api, facts.pods, before=patience)
        except ClusterUnavailable as error:
            return error
        except ClusterError as error:
            facts.cluster_fault = facts.cluster_fault or cluster_fault(error)
            return error
        return None

    async def _tell(self, facts: Facts) -> None:
        """Conditions and status, then an Event for what turned."""
        parts = self._parts
        market = facts.market
        found = conditions_of(facts)
        changed = transitions(market.status, found)
        status = build_status(facts, found, now=datetime.now(UTC))
        try:
            written = await parts.status.write(market, status)
        except ObjectMissing:
            return
        if written is not market:
            parts.checkpoint("status_written")
            parts.watched.keep_status(written)
        parts.memories.seen(market, facts.row)
        if parts.outages.settling:
            changed = [each for each in changed if each.condition.type not in _OF_AN_OUTAGE]
        await parts.events.tell(market, changed)

    def _again_in(self, facts: Facts, memory: MarketMemory) -> float | None:
        """While nobody leads though somebody could, the pod that leads is about to lose the lease,
        or the mirror is not there yet, no watch says when that changes."""
        if facts.leading and facts.unmirrored:
            return _LOOK_FOR_LEADER
        now = self._parts.clock()
        well = [pod.name for pod in facts.pods if pod.ready and not pod.deleting]
        waits = any(pod.phase == "Pending" and pod.node for pod in facts.pods)
        stays = facts.leading and (facts.leader in well or not facts.pods)
        nobody_could = not facts.leading and not well and not waits
        if stays or nobody_could or not facts.claimed:
            memory.unsettled_since = None
            return None
        if memory.unsettled_since is None:
            memory.unsettled_since = now
        quickly = bool(well) and now - memory.unsettled_since < _LOOK_QUICKLY_FOR
        return _LOOK_FOR_LEADER if quickly else _LOOK_SLOWLY

    async def _delete(self, market: Market, memory: MarketMemory) -> Outcome:
        parts = self._parts
        parts.rollouts.forget(market.key)
        if not market.has_finalizer:
            return Outcome()
        step = await parts.deletion.step(market, memory)
        if step.done:
            return Outcome()
        facts = Facts(market=market, paused=market.paused, claimed=memory.claimed)
        facts.spec_fault = None
        facts.row, facts.store_fault, facts.draining = step.row, step.store_fault, step.progress
        facts.deployment = parts.cluster.deployment(market.key)
        await self._pods(facts)
        try:
            await self._tell(facts)
        except (ObjectChanged, ObjectMissing):
            return Outcome(again_in=_LOOK_FOR_LEADER)
        return Outcome(again_in=step.again_in)

    def _forget(self, key: MarketKey) -> None:
        self._parts.memories.forget(key)
        self._parts.status.forget(key)
        self._parts.rollouts.forget(key)


def _is_claimed(market: Market, facts: Facts) -> bool:
    row = facts.row
    return row is not None and row.held and row.owner is not None and row.owner.uid == market.uid


def _note_stored(facts: Facts, memory: MarketMemory, stored: StoreResult) -> None:
    facts.row, facts.store_fault, facts.conflict = stored.row, stored.fault, stored.conflict
    if stored.doubt is not None:
        _doubt_store(facts, stored.doubt)
    elif stored.fault is None or stored.row is not None:
        memory.claimed = facts.claimed = _is_claimed(facts.market, facts)
    if facts.store_fault is not None and facts.row is None:
        # Without PostgreSQL nobody can say who leads, and StoreReady says why.
        facts.unknown.add(c.MATCHER_AVAILABLE)


def _doubt_store(facts: Facts, doubt: Fault) -> None:
    """Conditions stay as they are for now; one that says nothing yet begins with the doubt."""
    facts.unknown |= _NO_ANSWER
    if not facts.market.status.get("conditions"):
        facts.store_fault = doubt

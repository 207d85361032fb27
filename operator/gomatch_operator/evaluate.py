"""From what a reconcile found to the conditions of the Market: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gomatch.engine import Reason, TradingState
from gomatch.store import ClaimedMarket
from gomatch_operator import conditions as c
from gomatch_operator.conditions import Condition
from gomatch_operator.market import Market, trading_state
from gomatch_operator.outages import Fault
from gomatch_operator.watched import DeploymentStatus, PodSummary


@dataclass(slots=True, kw_only=True)
class Facts:
    """What one reconcile found. A fault that is None: nothing is wrong there."""

    market: Market
    spec_fault: Fault | None = None
    paused: bool = False
    claimed: bool = False
    """The claim is this very Market's, as last known."""
    row: ClaimedMarket | None = None
    store_fault: Fault | None = None
    conflict: Fault | None = None
    cluster_fault: Fault | None = None
    queue_fault: Fault | None = None
    queue_note: str = ""
    cache_fault: Fault | None = None
    mirrored: bool = True
    """The mirror is known to follow."""
    draining: Fault | None = None
    """While the Market is being deleted: how far it is."""
    deployment: DeploymentStatus | None = None
    pods: Sequence[PodSummary] = ()
    rollout: Fault | None = None
    depth: int | None = None
    consumers: int | None = None
    mount_problem: str = ""
    """Why a volume of a waiting pod cannot be mounted, in the kubelet's words."""
    unknown: set[str] = field(default_factory=set)
    """Condition types that cannot be told now: they keep what they said, if they said anything."""

    @property
    def unmirrored(self) -> bool:
        """Nobody can say yet whether the mirror follows."""
        return not self.mirrored and self.cache_fault is None and c.CACHE_READY not in self.unknown

    @property
    def leading(self) -> bool:
        row = self.row
        held = row is not None and bool(row.lease_holder) and row.lease_seconds > 0
        # The row of a symbol that somebody else has tells of their leader.
        return held and self.claimed

    @property
    def leader(self) -> str:
        """The pod that leads; empty when none does."""
        if not self.leading or self.row is None:
            return ""
        return self.row.lease_holder.partition("/")[0]


def conditions_of(facts: Facts) -> list[Condition]:
    """All of conditions.TYPES in their order, but for those that are to stay as they are."""
    spec = _spec(facts)
    store = _store(facts)
    matcher = _matcher(facts)
    conflict = _conflict(facts)
    found = [
        _ready(facts, spec, store, matcher, conflict),
        spec,
        store,
        matcher,
        _queue(facts),
        _cache(facts),
        _progressing(facts, spec, store, conflict),
        _halted(facts),
        _draining(facts),
        conflict,
        _paused(facts),
    ]
    told = c.told(facts.market.status)
    kept = facts.unknown & told.keys()
    return [condition for condition in found if condition.type not in kept]


def _ready(
    facts: Facts, spec: Condition, store: Condition, matcher: Condition, conflict: Condition
) -> Condition:
    def no(reason: str, message: str) -> Condition:
        return Condition(c.READY, "False", reason, message)

    if facts.market.deleting:
        return no("Deleting", "The Market is being deleted.")
    if conflict.status == "True":
        return no("Conflict", conflict.message)
    if spec.status == "False":
        return no("SpecInvalid", spec.message)
    if store.status != "True":
        if store.reason == "IdentityMismatch":
            return no("IdentityMismatch", store.message)
        return no("StoreNotReady", store.message)
    if matcher.status != "True":
        return no("MatcherNotAvailable", matcher.message)
    return Condition(c.READY, "True", "Trading", f"{facts.leader} leads; orders are taken.")


def _spec(facts: Facts) -> Condition:
    fault = facts.spec_fault
    if fault is not None:
        return Condition(c.SPEC_VALID, "False", *fault)
    return Condition(c.SPEC_VALID, "True", "Valid", "All fields can work.")


def _store(facts: Facts) -> Condition:
    if facts.store_fault is not None:
        return Condition(c.STORE_READY, "False", *facts.store_fault)
    if facts.conflict is not None:
        return Condition(c.STORE_READY, "False", "NotClaimed", facts.conflict.message)
    if not facts.claimed:
        if facts.spec_fault is not None:
            return Condition(c.STORE_READY, "False", "SpecInvalid", "Nothing is claimed.")
        return Condition(c.STORE_READY, "False", "NotClaimed", "The symbol is not claimed.")
    entered = "The claim is held; definition and state are entered."
    if _state_waits(facts):
        entered = "The claim is held; spec.state is entered when the halt ends, see Halted."
    return Condition(c.STORE_READY, "True", "InStep", entered)


def _state_waits(facts: Facts) -> bool:
    row, spec = facts.row, facts.market.spec
    if row is None or spec is None or row.state is not TradingState.HALTED:
        return False
    return row.requested_state is not trading_state(spec.state)


def _matcher(facts: Facts) -> Condition:
    def no(reason: str, message: str) -> Condition:
        return Condition(c.MATCHER_AVAILABLE, "False", reason, message)

    if facts.leading:
        return Condition(c.MATCHER_AVAILABLE, "True", "Leading", f"{facts.leader} leads.")
    if facts.cluster_fault is not None:
        return no(*facts.cluster_fault)
    deployment = facts.deployment
    if deployment is None:
        return no("NotStarted", "There is no Deployment yet.")
    if "exceeded quota" in deployment.failure:
        return no("QuotaExceeded", deployment.failure)
    if facts.mount_problem:
        return no("SecretNotFound", facts.mount_problem)
    for pod in facts.pods:
        reason = _WAITING.get(pod.waiting_reason)
        if reason is not None:
            return no(reason, f"{pod.name}: {pod.waiting_reason}: {pod.waiting_message}")
        if pod.unschedulable:
            return no("Unschedulable", f"{pod.name}: {pod.unschedulable}")
    if deployment.failure:
        return no("ClusterRefused", deployment.failure)
    if any(pod.ready for pod in facts.pods):
        return no("NoLeader", "Pods are ready and none holds the market's lease.")
    return no("Starting", f"{deployment.ready} of {deployment.desired} pods are ready.")


_WAITING = {
    "ErrImagePull": "ImagePullFailed",
    "ImagePullBackOff": "ImagePullFailed",
    "InvalidImageName": "ImagePullFailed",
    "ErrImageNeverPull": "ImagePullFailed",
    "ImageInspectError": "ImagePullFailed",
    "CreateContainerConfigError": "SecretNotFound",
    "CrashLoopBackOff": "CrashLooping",
    "RunContainerError": "CrashLooping",
}


def _queue(facts: Facts) -> Condition:
    if facts.queue_fault is not None:
        return Condition(c.QUEUE_READY, "False", *facts.queue_fault)
    if not facts.claimed:
        return Condition(c.QUEUE_READY, "False", "NotStarted", "The claim is not held.")
    message = facts.queue_note or "Queue, binding and policy stand."
    return Condition(c.QUEUE_READY, "True", "InStep", message)


def _cache(facts: Facts) -> Condition:
    if facts.cache_fault is not None:
        return Condition(c.CACHE_READY, "False", *facts.cache_fault)
    if not facts.claimed or (facts.row is not None and facts.row.epoch == 0):
        return Condition(c.CACHE_READY, "False", "NotStarted", "No matcher has led yet.")
    if not facts.mirrored:
        message = "The mirror has not been seen to follow yet."
        return Condition(c.CACHE_READY, "False", "NotStarted", message)
    return Condition(c.CACHE_READY, "True", "InStep", "The mirror follows.")


def _progressing(facts: Facts, spec: Condition, store: Condition, conflict: Condition) -> Condition:
    def yes(reason: str, message: str) -> Condition:
        return Condition(c.PROGRESSING, "True", reason, message)

    def no(reason: str, message: str) -> Condition:
        return Condition(c.PROGRESSING, "False", reason, message)

    if facts.market.deleting:
        return yes("Reconciling", "The Market is being deleted.")
    if conflict.status == "True" or spec.status == "False" or store.status != "True":
        return no("Blocked", "Another condition says why it cannot go on.")
    if facts.cluster_fault is not None:
        return no("Blocked", facts.cluster_fault.message)
    deployment = facts.deployment
    if deployment is None:
        return yes("Reconciling", "The cluster's objects are being made.")
    if deployment.total > deployment.updated:
        return yes(
            "RollingOut",
            f"{deployment.updated} of {deployment.desired} pods are of the newest template.",
        )
    if facts.rollout is not None:
        return yes(*facts.rollout)
    if deployment.ready < deployment.desired or deployment.updated < deployment.desired:
        return yes("Reconciling", f"{deployment.ready} of {deployment.desired} pods are ready.")
    if deployment.stale:
        return yes("Reconciling", "The Deployment was changed just now.")
    return no("Settled", "All is as desired.")


def _halted(facts: Facts) -> Condition:
    row = facts.row
    if row is None and facts.claimed:
        return Condition(c.HALTED, "Unknown", "Unknown", "PostgreSQL gives no answer.")
    if row is None or not facts.claimed:
        return Condition(c.HALTED, "False", "NotHalted", "There is nothing to halt.")
    if row.state is not TradingState.HALTED:
        return Condition(c.HALTED, "False", "NotHalted", f"The state is {row.state.name.lower()}.")
    reason, message = _why_halted(row, facts)
    return Condition(c.HALTED, "True", reason, message)


def _why_halted(row: ClaimedMarket, facts: Facts) -> tuple[str, str]:
    if row.state_reason is Reason.PRICE_BAND:
        return "PriceBand", "A trade would have left the price band."
    if row.state_reason in (Reason.ENGINE_ERROR, Reason.INTERNAL_ERROR):
        return "EngineError", "The engine failed on a command."
    spec = facts.market.spec
    wanted = spec is not None and trading_state(spec.state) is TradingState.HALTED
    # Also once another state is asked for, until the matcher has come to it.
    if row.state_reason is Reason.REQUESTED or (wanted and row.state_reason is not Reason.MANUAL):
        return "Requested", "spec.state asked for it."
    return "Manual", "It was halted by hand, not by this Market."


def _draining(facts: Facts) -> Condition:
    if facts.draining is not None:
        return Condition(c.DRAINING, "True", *facts.draining)
    return Condition(c.DRAINING, "False", "NotDeleting", "The Market is not being deleted.")


def _conflict(facts: Facts) -> Condition:
    if facts.conflict is not None:
        return Condition(c.CONFLICT, "True", *facts.conflict)
    if facts.row is None and facts.store_fault is not None:
        return Condition(c.CONFLICT, "Unknown", "Unknown", facts.store_fault.message)
    return Condition(c.CONFLICT, "False", "NoConflict", "Nobody else claims the symbol.")


def _paused(facts: Facts) -> Condition:
    if facts.paused:
        return Condition(
            c.RECONCILIATION_PAUSED, "True", "Paused", "gomatch.io/paused is true: only looked at."
        )
    return Condition(c.RECONCILIATION_PAUSED, "False", "Active", "Changes are carried out.")

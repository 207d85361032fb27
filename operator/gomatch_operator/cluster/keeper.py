"""The cluster step of a reconcile: the image for now, the objects, and what refuses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gomatch_operator import names
from gomatch_operator.actions import Action, restorations
from gomatch_operator.cluster.planning import foreign
from gomatch_operator.cluster.reconciler import ClusterReconciler
from gomatch_operator.desired import chosen_image, desired
from gomatch_operator.errors import (
    ClusterError,
    ClusterUnavailable,
    Forbidden,
    ForeignObject,
    NamespaceTerminating,
    ObjectChanged,
    QuotaExceeded,
)
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market, MarketKey
from gomatch_operator.outages import Fault
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.watched import DeploymentStatus, ObjectKey, Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResult:
    """``restored``: kind and description of what somebody had taken away or changed."""

    deployment: DeploymentStatus | None = None
    fault: Fault | None = None
    conflict: Fault | None = None
    rollout: Fault | None = None
    restored: tuple[tuple[str, str], ...] = ()
    retry: bool = False

    @property
    def complete(self) -> bool:
        """All was written that was to be, but for what waits for a rollout."""
        return self.fault is None and self.conflict is None and not self.retry


class ClusterKeeper:
    def __init__(
        self,
        reconciler: ClusterReconciler,
        *,
        settings: OperatorSettings,
        watched: Watched,
        rollouts: Rollouts,
        leadership: OperatorLeadership,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._reconciler = reconciler
        self._settings = settings
        self._watched = watched
        self._rollouts = rollouts
        self._leadership = leadership
        self._checkpoint = checkpoint

    def deployment(self, key: MarketKey) -> DeploymentStatus | None:
        """As last seen."""
        owned = self._watched.owned.get(deployment_key(key))
        return None if owned is None else owned.replicas

    def look(self, key: MarketKey) -> DeploymentStatus | None:
        """The same, of a Market whose spec is not carried out now: it takes no turn in a rollout,
        and ends the one that it has."""
        self._rollouts.withdraw(key)
        return self._note_progress(key)

    def _note_progress(self, key: MarketKey) -> DeploymentStatus | None:
        current = self.deployment(key)
        self._rollouts.look(key, current)
        return current

    def resume_rollouts(self) -> None:
        """Once all objects are known and before any Market is reconciled."""
        for market in self._watched.markets:
            known = self.deployment(market)
            if known is not None:
                self._rollouts.resume(market, known)

    async def keep(self, market: Market, *, handled: bool) -> ClusterResult:
        """``handled``: this generation of the Market was carried out before, so what now is to be
        another comes from the operator's settings.

        Raises ClusterUnavailable, LeadershipLost, and ConfigurationError for a spec that
        cannot be read."""
        assert market.spec is not None
        own = market.spec.matcher.image
        image, rollout = self._rollouts.image_for(
            market.key, own=own, current=self._image(market, self._note_progress(market.key))
        )
        wanted = desired(market, self._settings, image=chosen_image(market.spec, image))
        plan = self._reconciler.plan(wanted, self._watched)
        if handled:
            if rollout is None and any(map(_rolls, plan)):
                rollout = self._rollouts.admit(market.key)
            if rollout is not None:
                plan = list(self._without_held(market, plan))
        done: list[Action] = []
        fault: Fault | None = None
        conflict: Fault | None = None
        retry = False
        try:
            for action in plan:
                self._leadership.require()
                await self._reconciler.apply(action)
                done.append(action)
                self._checkpoint("object_written")
        except ForeignObject as error:
            conflict, retry = Fault("ForeignObject", str(error)), True
        except ObjectChanged:
            retry = True
        except ClusterUnavailable:
            raise
        except ClusterError as error:
            fault, retry = cluster_fault(error), True
        if conflict is None and (others := foreign(wanted, self._watched)):
            conflict = Fault("ForeignObject", "; ".join(others))
        return ClusterResult(
            deployment=self.deployment(market.key),
            fault=fault,
            conflict=conflict,
            rollout=rollout,
            restored=restorations(done),
            retry=retry,
        )

    def _without_held(self, market: Market, plan: Sequence[Action]) -> Iterator[Action]:
        for action in plan:
            known = self._watched.owned.get(
                ObjectKey(action.kind, market.key.namespace, action.name)
            )
            if known is None or not _replaces_pods(action):
                yield action
            elif not self._rollouts.held(market.key, action.kind, known.actual_hash):
                yield replace(action, why="somebody changed it", drift=True)

    def _image(self, market: Market, deployment: DeploymentStatus | None) -> str:
        """Of its pods, as the operator wrote it last; empty: it has no Deployment."""
        if deployment is None or deployment.image == self._settings.matcher.image:
            return "" if deployment is None else deployment.image
        # Another one than the status tells was put there by somebody else.
        return market.status.get("image") or deployment.image


def _replaces_pods(action: Action) -> bool:
    """What is to be another, and not only put back, and new pods would show."""
    return (
        action.verb == "apply" and not action.drift and action.kind in ("Deployment", "ConfigMap")
    )


def _rolls(action: Action) -> bool:
    return action.kind == "Deployment" and _replaces_pods(action)


def deployment_key(key: MarketKey) -> ObjectKey:
    return ObjectKey("Deployment", key.namespace, names.matcher_name(key.name))


def cluster_fault(error: ClusterError) -> Fault:
    match error:
        case QuotaExceeded():
            reason = "QuotaExceeded"
        case NamespaceTerminating():
            reason = "NamespaceTerminating"
        case Forbidden():
            reason = "Forbidden"
        case _:
            reason = "ClusterRefused"
    return Fault(reason, str(error))

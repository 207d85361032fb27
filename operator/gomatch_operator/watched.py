"""What the watches know. Owned objects are kept as metadata and a hash of the fields that are ours,
so that a thousand Markets take little memory; the API server is asked only when one differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gomatch_operator.market import Market, MarketKey


class ObjectKey(NamedTuple):
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedObject:
    """A Deployment, ConfigMap, Service, PodDisruptionBudget or NetworkPolicy with our labels."""

    key: ObjectKey
    market: str
    """Value of the label gomatch.io/market."""
    uid: str
    resource_version: str
    owner_uid: str
    """Uid of the owning Market by its owner references; empty when there is none."""
    desired_hash: str
    """Annotation gomatch.io/desired-hash: of what was applied last."""
    actual_hash: str
    """Of the fields that are ours, as they are: see cluster/projection.py."""
    deleting: bool = False
    generation: int = 0
    replicas: DeploymentStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """Deployments only. ``image`` is that of our container in the pod template."""

    image: str = ""
    desired: int = 0
    observed_generation: int = 0
    updated: int = 0
    ready: int = 0
    total: int = 0
    failure: str = ""
    """Message of the condition ReplicaFailure, as of an exceeded quota."""
    failure_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSummary:
    namespace: str
    name: str
    market: str
    uid: str
    resource_version: str
    role: str
    """Label gomatch.io/role."""
    deletion_cost: str
    """Annotation of that name."""
    ready: bool
    deleting: bool
    phase: str
    node: str
    created_at: int
    """Microseconds since the epoch."""
    image: str = ""
    waiting_reason: str = ""
    """Of our container, as ImagePullBackOff, CreateContainerConfigError, CrashLoopBackOff."""
    waiting_message: str = ""
    unschedulable: str = ""
    """Message of PodScheduled=False, reason Unschedulable."""
    restarts: int = 0


@dataclass(slots=True)
class Watched:
    """Filled by the watches of one event loop, read by reconcilers in the same."""

    markets: dict[MarketKey, Market] = field(default_factory=dict)
    owned: dict[ObjectKey, OwnedObject] = field(default_factory=dict)
    pods: dict[MarketKey, dict[str, PodSummary]] = field(default_factory=dict)

    def pods_of(self, key: MarketKey) -> list[PodSummary]:
        return list(self.pods.get(key, {}).values())

    def rivals(self, symbol: str) -> Iterator[Market]:
        """All Markets that name ``symbol``."""
        return (
            market
            for market in self.markets.values()
            if market.spec is not None and market.spec.symbol == symbol
        )

"""What the watches know. Owned objects are kept as metadata and a hash of the fields that are ours,
so that a thousand Markets take little memory; the API server is asked only when one differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from gomatch_operator import names
from gomatch_operator.market import Market, MarketKey

_REMEMBERED = 10_000
"""Objects that are gone; of a few, answers to writes are still under way."""


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
    managed: bool
    """The label app.kubernetes.io/managed-by names this operator."""
    uid: str
    resource_version: str
    owner_uid: str
    """Uid of the owning Market by its owner references, else of the controller; empty when there
    is neither."""
    owner_name: str
    """Name of the owning Market; empty when the owner is something else."""
    desired_hash: str
    """Annotation gomatch.io/desired-hash: of what was applied last."""
    actual_hash: str
    """Of the fields that are ours, as they are: see cluster/projection.py."""
    deleting: bool = False
    replicas: DeploymentStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """Deployments only. ``image`` is that of our container in the pod template."""

    image: str = ""
    desired: int = 0
    stale: bool = False
    """What it says of its pods is of before its last change."""
    updated: int = 0
    ready: int = 0
    total: int = 0
    overdue: bool = False
    """Its own controller says that it makes no progress: the condition Progressing is False."""
    failure: str = ""
    """Message of the condition ReplicaFailure, as of an exceeded quota."""


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


class Settled(NamedTuple):
    """What was written last and what it became."""

    desired_hash: str
    actual_hash: str


@dataclass(slots=True)
class Watched:
    """Filled by the watches of one event loop, read by reconcilers in the same."""

    markets: dict[MarketKey, Market] = field(default_factory=dict)
    owned: dict[ObjectKey, OwnedObject] = field(default_factory=dict)
    pods: dict[MarketKey, dict[str, PodSummary]] = field(default_factory=dict)
    vanished: set[ObjectKey] = field(default_factory=set)
    """Objects of Markets that were there and are not: making them again is a repair."""
    settled: dict[ObjectKey, Settled] = field(default_factory=dict)
    """Objects that are not as they were written, as the API server or a webhook changes them."""
    gone: dict[str, str] = field(default_factory=dict)
    """Resource versions with which the watches lost objects, by uid."""

    def keep_owned(self, owned: OwnedObject, *, listed: bool = False) -> None:
        """What a watch or the answer to a write says; the older of the two is dropped, also when
        the watch said that it is gone. What is ``listed`` anew counts, whatever its age: a restored
        etcd starts from older versions."""
        known = self.owned.get(owned.key)
        if listed:
            self.gone.pop(owned.uid, None)
        lost = self.gone.get(owned.uid)
        if lost is not None and is_older(owned.resource_version, lost):
            self._miss(owned)
            return
        if known is None or listed or not is_older(owned.resource_version, known.resource_version):
            self.owned[owned.key] = owned
            self.vanished.discard(owned.key)

    def drop_owned(self, key: ObjectKey, uid: str, *, wanted: bool = True) -> None:
        """The object with this uid is gone; not ``wanted`` means that nobody will miss it."""
        known = self.owned.get(key)
        if known is None or known.uid != uid:
            return
        del self.owned[key]
        self.settled.pop(key, None)
        if wanted:
            self._miss(known)

    def note_gone(self, owned: OwnedObject) -> None:
        """The watch says so: the answer to a write of before may come after it."""
        self.gone[owned.uid] = owned.resource_version
        if len(self.gone) > _REMEMBERED:
            del self.gone[next(iter(self.gone))]

    def _miss(self, owned: OwnedObject) -> None:
        market = self.markets.get(MarketKey(owned.key.namespace, owned.market))
        if market is not None and owned.owner_uid == market.uid:
            self.vanished.add(owned.key)

    def keep_written(self, written: Market) -> None:
        """The answer to a write that was let through only as nothing had changed before: what the
        watch told of since stays."""
        known = self.markets.get(written.key)
        if known is None or known.uid != written.uid:
            return
        if not is_older(written.resource_version, known.resource_version):
            self.markets[written.key] = written

    def keep_status(self, written: Market) -> None:
        """The answer to a write of its status. All else of it is left to the watch: what somebody
        changed meanwhile would be no news any more when that tells of it."""
        known = self.markets.get(written.key)
        if known is not None and known.uid == written.uid:
            self.markets[written.key] = replace(
                known, status=written.status, status_version=written.resource_version
            )

    def drop_market(self, key: MarketKey) -> None:
        self.markets.pop(key, None)
        self.vanished -= {
            each
            for each in self.vanished
            if each.namespace == key.namespace and each.name == names.matcher_name(key.name)
        }

    def pods_of(self, key: MarketKey) -> list[PodSummary]:
        return list(self.pods.get(key, {}).values())

    def rivals(self, symbol: str) -> Iterator[Market]:
        """All Markets that name ``symbol``."""
        return (
            market
            for market in self.markets.values()
            if market.spec is not None and market.spec.symbol == symbol
        )


def is_older(version: str, than: str) -> bool:
    """Of resource versions, which Kubernetes documents as numbers that grow, as of 1.35; anything
    else is taken for newer."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)

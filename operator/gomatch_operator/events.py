"""Events of Kubernetes: on transitions only, so that they can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from gomatch.observability import logs
from gomatch_operator import conditions as c
from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterError
from gomatch_operator.market import Market
from gomatch_operator.status import Transition

_log = logs.get(__name__)

_AT_ONCE = 25
_SECONDS_EACH = 60.0
_REMEMBERED = 10_000
_QUIET = {
    (c.READY, "False"): frozenset(
        {
            *("SpecInvalid", "StoreNotReady", "MatcherNotAvailable"),
            *("Conflict", "IdentityMismatch", "Deleting"),
        }
    ),
    (c.SPEC_VALID, "False"): frozenset({"CrdTooOld"}),
    (c.STORE_READY, "False"): frozenset(
        {"NotClaimed", "SpecInvalid", "StoreUnavailable", "CredentialsRefused"}
    ),
    (c.MATCHER_AVAILABLE, "False"): frozenset({"NotStarted", "Starting"}),
    (c.QUEUE_READY, "False"): frozenset(
        {
            *("NotStarted", "BrokerUnavailable", "CredentialsRefused", "ManagementMissing"),
            *("VirtualHostMissing", "ForeignExchange"),
        }
    ),
    (c.CACHE_READY, "False"): frozenset({"NotStarted", "CacheUnavailable", "CredentialsRefused"}),
    (c.PROGRESSING, "True"): frozenset({"Reconciling", "RollingOut"}),
    (c.PROGRESSING, "False"): frozenset({"Settled", "Blocked"}),
}
"""What another Event tells, what passes in seconds, and what befalls all Markets at once, which is
told on the operator."""
_GOOD = {
    c.HALTED: "False",
    c.DRAINING: "False",
    c.CONFLICT: "False",
    c.RECONCILIATION_PAUSED: "False",
    c.PROGRESSING: "False",
}
"""The status that is good news; True for all others."""


def worth_telling(transition: Transition) -> bool:
    """Whether it makes an Event: what went wrong, unless another Event tells it or it passes in
    seconds; that it is well again; and that the Market trades."""
    condition, status, reason = transition
    if condition.status == "Unknown":
        return False
    if not _is_good(condition.type, condition.status):
        return reason != condition.reason and not _is_quiet(
            condition.type, condition.status, condition.reason
        )
    if condition.type == c.READY:
        return status != condition.status
    was_told = status in ("True", "False") and not _is_good(condition.type, status)
    return was_told and not _is_quiet(condition.type, status, reason)


def _is_good(type_: str, status: str) -> bool:
    return status == _GOOD.get(type_, "True")


def _is_quiet(type_: str, status: str, reason: str) -> bool:
    return reason in _QUIET.get((type_, status), ())


class _Allowance:
    """How many Events each Market may still have: so many at once, then one now and then. What
    flaps, or is fought over with another controller, would fill etcd without end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}
        """By uid: Events that are not made up for yet, as of when."""

    def take(self, uid: str) -> bool:
        now = self._clock()
        spent, at = self._spent.get(uid, (0.0, now))
        spent = max(0.0, spent - (now - at) / _SECONDS_EACH)
        if spent > _AT_ONCE - 1:
            return False
        if len(self._spent) >= _REMEMBERED:
            self._forget(now)
        self._spent[uid] = spent + 1, now
        return True

    def _forget(self, now: float) -> None:
        self._spent = {
            uid: (spent, at)
            for uid, (spent, at) in self._spent.items()
            if spent > (now - at) / _SECONDS_EACH
        }


class Events:
    def __init__(
        self,
        api: ClusterApi,
        *,
        instance: str,
        namespace: str,
        lease: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``instance`` names this process; Events on the operator stand at its ``lease``."""
        self._allowance = _Allowance(clock)
        self._api = api
        self._instance = instance
        self._operator = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": namespace,
            "name": lease,
        }

    async def tell(self, market: Market, changed: Sequence[Transition]) -> None:
        """An Event for each transition that is worth one, unless the Market has had too many; one
        that cannot be posted is logged."""
        for transition in changed:
            if worth_telling(transition) and self._allowance.take(market.uid):
                condition = transition.condition
                good = _is_good(condition.type, condition.status)
                await self.post(
                    market_reference(market),
                    reason=condition.reason,
                    message=f"{condition.type}={condition.status}: {condition.message}",
                    warning=not good,
                )

    async def repaired(self, market: Market, what: Sequence[str]) -> None:
        """Somebody's change was undone."""
        if self._allowance.take(market.uid):
            await self.post(
                market_reference(market), reason="Restored", message="; ".join(what), warning=False
            )

    async def operator(self, reason: str, message: str, *, warning: bool) -> None:
        """Something that concerns all Markets."""
        await self.post(self._operator, reason=reason, message=message, warning=warning)

    async def post(
        self, reference: dict[str, Any], *, reason: str, message: str, warning: bool
    ) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = reference["namespace"]
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{reference['name']}.{uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": reference,
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": names.FIELD_MANAGER, "host": self._instance},
            "reportingComponent": f"{names.GROUP}/operator",
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create_event(namespace, body)
        except ClusterError as error:
            _log.warning("event_not_posted", reason=reason, message=message, why=str(error))


def market_reference(market: Market) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "namespace": market.key.namespace,
        "name": market.key.name,
        "uid": market.uid,
        "resourceVersion": market.resource_version,
    }

"""Events of Kubernetes: on transitions only, so that they can be read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from gomatch.observability import logs
from gomatch_operator import conditions as c
from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.conditions import Condition
from gomatch_operator.errors import ClusterError
from gomatch_operator.market import Market

_log = logs.get(__name__)

_QUIET = {
    (c.READY, "False"): frozenset({"MatcherNotAvailable", "StoreNotReady", "Deleting"}),
    (c.MATCHER_AVAILABLE, "False"): frozenset({"NotStarted", "Starting"}),
    (c.STORE_READY, "False"): frozenset({"NotClaimed", "SpecInvalid", "StoreUnavailable"}),
    (c.QUEUE_READY, "False"): frozenset({"NotStarted", "BrokerUnavailable"}),
    (c.CACHE_READY, "False"): frozenset({"NotStarted", "CacheUnavailable"}),
    (c.PROGRESSING, "True"): frozenset({"Reconciling", "RollingOut"}),
    (c.PROGRESSING, "False"): frozenset({"Settled", "Blocked"}),
}
"""What another Event tells, what passes in seconds, and outages, which are told once for all."""
_GOOD = {
    c.HALTED: "False",
    c.DRAINING: "False",
    c.CONFLICT: "False",
    c.RECONCILIATION_PAUSED: "False",
    c.PROGRESSING: "False",
}
"""The status that is good news; True for all others."""


def worth_telling(condition: Condition, before: str) -> bool:
    """Whether this transition makes an Event; ``before`` is the status until now, empty for the
    first time."""
    if condition.status == "Unknown":
        return False
    good = condition.status == _GOOD.get(condition.type, "True")
    if good:
        # Only what was wrong before, and that the Market trades.
        return before not in ("", "Unknown", condition.status) or (
            condition.type == c.READY and before != condition.status
        )
    return condition.reason not in _QUIET.get((condition.type, condition.status), ())


class Events:
    def __init__(self, api: ClusterApi, *, instance: str, namespace: str, lease: str) -> None:
        """``instance`` names this process; Events on the operator stand at its ``lease``."""
        self._api = api
        self._instance = instance
        self._operator = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "namespace": namespace,
            "name": lease,
        }

    async def tell(self, market: Market, changed: Sequence[tuple[Condition, str]]) -> None:
        """An Event for each transition that is worth one; one that cannot be posted is logged."""
        for condition, before in changed:
            if worth_telling(condition, before):
                good = condition.status == _GOOD.get(condition.type, "True")
                await self.post(
                    market_reference(market),
                    reason=condition.reason,
                    message=f"{condition.type}={condition.status}: {condition.message}",
                    warning=not good,
                )

    async def repaired(self, market: Market, what: Sequence[str]) -> None:
        """Somebody's change was undone."""
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

"""The status of a Market: made from facts, written only when it differs, and what changes all the
time at most every so often."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.conditions import TYPES, Condition, told
from gomatch_operator.evaluate import Facts
from gomatch_operator.market import Market, MarketKey, read_market, state_name

VOLATILE = frozenset({"lastSequence", "queue", "epoch"})
"""Fields that are written at most every `status_seconds`."""


def build_status(facts: Facts, found: Sequence[Condition], *, now: datetime) -> dict[str, Any]:
    """The whole status. Conditions that stand keep their time of transition; those that cannot be
    told now are kept as they are."""
    market = facts.market
    before = told(market.status)
    now_told = {condition.type: condition for condition in found}
    stands = _where_it_stands(facts)
    status: dict[str, Any] = {
        "observedGeneration": market.generation,
        "conditions": [
            _condition(now_told.get(type_), before.get(type_), market.generation, now)
            for type_ in TYPES
            if type_ in now_told or type_ in before
        ],
        "selector": ",".join(
            f"{name}={text}"
            for name, text in sorted(
                {names.LABEL_ROLE: names.ROLE_STANDBY, **names.selector(market.key.name)}.items()
            )
        ),
        "standbys": sum(
            1
            for pod in facts.pods
            if pod.ready and not pod.deleting and pod.name != stands.get("leader")
        ),
        "readyReplicas": sum(1 for pod in facts.pods if pod.ready and not pod.deleting),
        **stands,
    }
    if facts.deployment is not None and facts.deployment.image:
        status["image"] = facts.deployment.image
    if facts.depth is not None and market.spec is not None:
        status["queue"] = {
            "name": f"gomatch.orders.{market.spec.symbol}",
            "depth": facts.depth,
            "consumers": facts.consumers or 0,
        }
    elif "queue" in market.status and not market.deleting:
        status["queue"] = market.status["queue"]
    return status


def _where_it_stands(facts: Facts) -> dict[str, Any]:
    """By the word of PostgreSQL, or by its last one while it gives no answer."""
    row = facts.row
    if row is not None and facts.claimed and row.owner is not None:
        return {
            "state": state_name(row.state),
            "epoch": row.epoch,
            "lastSequence": row.sequence,
            "leader": facts.leader,
            "claim": {
                "installation": row.owner.installation,
                "since": _timestamp(datetime.fromtimestamp(row.claimed_at / 1_000_000, UTC)),
            },
        }
    no_answer = facts.store_fault is not None or (row is None and facts.claimed)
    known = ("state", "epoch", "lastSequence", "leader", "claim") if no_answer else ()
    return {name: facts.market.status[name] for name in known if name in facts.market.status}


def status_patch(
    before: Mapping[str, Any], status: Mapping[str, Any], *, volatile_too: bool
) -> dict[str, Any]:
    """A merge patch of what differs; empty when nothing that is to be written does.

    When anything else is written, the volatile fields go with it.
    """
    changed: dict[str, Any] = {
        name: value for name, value in status.items() if before.get(name) != value
    }
    changed.update({name: None for name in before if name not in status})
    if not volatile_too and not changed.keys() - VOLATILE:
        return {}
    return changed


class Transition(NamedTuple):
    """A condition and what it said before; empty for the first time."""

    condition: Condition
    status_before: str
    reason_before: str


def transitions(before: Mapping[str, Any], found: Sequence[Condition]) -> list[Transition]:
    """Conditions whose status or reason is another than before."""
    known = told(before)
    changed = []
    for condition in found:
        old = known.get(condition.type, {})
        said = old.get("status", ""), old.get("reason", "")
        if said != (condition.status, condition.reason):
            changed.append(Transition(condition, *said))
    return changed


def _condition(
    condition: Condition | None, before: Mapping[str, Any] | None, generation: int, now: datetime
) -> dict[str, Any]:
    if condition is None:
        assert before is not None
        return dict(before)
    since = _timestamp(now)
    if before is not None and before.get("status") == condition.status:
        since = before.get("lastTransitionTime") or since
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:1024],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class StatusWriter:
    """Writes the status of Markets, and remembers when."""

    def __init__(
        self,
        api: ClusterApi,
        *,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``interval`` in seconds: least time between writes of volatile fields alone."""
        self._api = api
        self._interval = interval
        self._clock = clock
        self._written: dict[MarketKey, tuple[str, float]] = {}
        """Uid, and when."""

    async def write(self, market: Market, status: Mapping[str, Any]) -> Market:
        """Returns the Market with what now is its status. Raises ClusterError."""
        now = self._clock()
        uid, at = self._written.get(market.key, ("", 0.0))
        due = uid != market.uid or now - at >= self._interval
        patch = status_patch(market.status, status, volatile_too=due)
        if not patch:
            return market
        body = await self._api.patch_status(
            names.KIND, market.key.namespace, market.key.name, patch, uid=market.uid
        )
        self._written[market.key] = market.uid, now
        return read_market(body)

    def forget(self, key: MarketKey) -> None:
        self._written.pop(key, None)

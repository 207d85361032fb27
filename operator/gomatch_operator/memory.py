"""What the operator remembers of each Market between two looks. All of it may be forgotten: then
it is found out again."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.store import ClaimedMarket
from gomatch_operator import conditions as c
from gomatch_operator.market import Market, MarketKey


@dataclass(slots=True)
class MarketMemory:
    """``claimed``: the claim was this Market's when PostgreSQL last answered. ``carried_out``: the
    generation for which all its objects were last written. ``queued``: the length with which the
    queue stood as it should. ``seen``: see `signature`."""

    uid: str
    carried_out: int | None = None
    claimed: bool = False
    queued: int | None = None
    seen: tuple[object, ...] | None = None
    unsettled_since: float | None = None
    outside_done: bool = False


class Memories:
    def __init__(self, *, installation: str) -> None:
        self._installation = installation
        self._memories: dict[MarketKey, MarketMemory] = {}

    def of(self, market: Market) -> MarketMemory:
        memory = self._memories.get(market.key)
        if memory is None or memory.uid != market.uid:
            # After a restart of the operator the status is what is left of its memory.
            claim = market.status.get("claim") or {}
            claimed = claim.get("installation") == self._installation
            memory = self._memories[market.key] = MarketMemory(market.uid, claimed=claimed)
            if claimed and _carried_out(market) and market.spec is not None:
                memory.carried_out = market.generation
                memory.queued = market.spec.queue.max_length
        return memory

    def seen(self, market: Market, row: ClaimedMarket | None) -> None:
        """A reconcile has taken this row into account."""
        if row is not None:
            self.of(market).seen = signature(row)

    def forget(self, key: MarketKey) -> None:
        self._memories.pop(key, None)


def _carried_out(market: Market) -> bool:
    """Whether its spec, as it is now, was more than looked at before, by its status."""
    handled: bool = market.status.get("observedGeneration") == market.generation
    told = c.told(market.status)

    def says(type_: str, status: str) -> bool:
        return told.get(type_, {}).get("status") == status

    only_looked_at = (
        says(c.RECONCILIATION_PAUSED, "True")
        or says(c.CONFLICT, "True")
        or says(c.SPEC_VALID, "False")
        # Not by PostgreSQL, so the API server refused something.
        or (
            says(c.STORE_READY, "True")
            and says(c.PROGRESSING, "False")
            and told[c.PROGRESSING].get("reason") == "Blocked"
        )
    )
    return handled and not only_looked_at


def signature(row: ClaimedMarket) -> tuple[object, ...]:
    """All of a row that a reconcile would act on or tell, but for what changes with every order."""
    return (
        row.owner,
        row.held,
        row.definition,
        row.requested_state,
        row.resume,
        row.state,
        row.state_reason,
        row.epoch,
        row.lease_holder,
        row.lease_seconds > 0,
    )

"""What the operator remembers of each Market between two looks. All of it may be forgotten: then
it is found out again."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.store import ClaimedMarket
from gomatch_operator.market import Market, MarketKey


@dataclass(slots=True)
class MarketMemory:
    """``claimed``: the claim was this Market's when PostgreSQL last answered. ``queued``: the
    length with which the queue stood as it should. ``seen``: see `signature`."""

    uid: str
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
            handled = market.status.get("observedGeneration") == market.generation
            memory = self._memories[market.key] = MarketMemory(market.uid, claimed=claimed)
            if claimed and handled and market.spec is not None:
                memory.queued = market.spec.queue.max_length
        return memory

    def seen(self, market: Market, row: ClaimedMarket | None) -> None:
        """A reconcile has taken this row into account."""
        if row is not None:
            self.of(market).seen = signature(row)

    def forget(self, key: MarketKey) -> str | None:
        """Returns the uid of the Market that had this key."""
        memory = self._memories.pop(key, None)
        return None if memory is None else memory.uid


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

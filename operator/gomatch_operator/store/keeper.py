"""The store step of a reconcile, with outages in mind."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.errors import ConfigurationError, Fenced, StoreError, StoreUnavailable
from gomatch.store import ClaimedMarket, ClaimOwner
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market, definition
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.store.connection import ClaimsSource
from gomatch_operator.store.reconciler import StoreReconciler, Wanted, conflict_of, store_fault
from gomatch_operator.watched import Watched

_ROUNDS = 4
"""Claim, then definition and state, each followed by a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreResult:
    """``doubt``: why PostgreSQL gave no answer, which is no outage yet. ``retry``: what did not
    work is worth another try soon."""

    row: ClaimedMarket | None = None
    fault: Fault | None = None
    conflict: Fault | None = None
    doubt: Fault | None = None
    retry: bool = False


class StoreKeeper:
    def __init__(
        self,
        reconciler: StoreReconciler,
        source: ClaimsSource,
        *,
        watched: Watched,
        outages: Outages,
        leadership: OperatorLeadership,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._reconciler = reconciler
        self._source = source
        self._watched = watched
        self._outages = outages
        self._leadership = leadership
        self._checkpoint = checkpoint

    async def look(self, wanted: Wanted) -> StoreResult:
        """Only what stands there."""
        if outage := self._outages.outage("PostgreSQL"):
            return StoreResult(fault=outage)
        try:
            row = await self._reconciler.observe(wanted.symbol)
        except StoreUnavailable as error:
            return self._away(error)
        except StoreError as error:
            self._outages.worked("PostgreSQL")
            return StoreResult(fault=store_fault(error)[0], retry=True)
        return StoreResult(row=row, conflict=None if row is None else conflict_of(wanted, row))

    async def keep(self, market: Market, wanted: Wanted) -> StoreResult:
        """Raises Fenced when a later operator has begun."""
        if outage := self._outages.outage("PostgreSQL"):
            return StoreResult(fault=outage)
        row: ClaimedMarket | None = None
        try:
            row = await self._reconciler.observe(wanted.symbol)
            for _ in range(_ROUNDS):
                plan = self._reconciler.plan(wanted, row)
                if not plan:
                    break
                if row is None and (rival := self._older_rival(market)) is not None:
                    why = f"{rival.key} is older and names {wanted.symbol} too"
                    return StoreResult(conflict=Fault("HeldByAnother", why))
                for action in plan:
                    self._leadership.require()
                    await self._reconciler.apply(action, term=self._leadership.term)
                    self._checkpoint("store_written")
                row = await self._reconciler.observe(wanted.symbol)
        except Fenced:
            raise
        except StoreUnavailable as error:
            return self._away(error)
        except StoreError as error:
            self._outages.worked("PostgreSQL")
            fault, conflict = store_fault(error)
            if conflict:
                return StoreResult(row=row, conflict=fault)
            retry = fault.reason in ("BacklogFull", "SchemaMismatch")
            return StoreResult(row=row, fault=fault, retry=retry)
        self._outages.worked("PostgreSQL")
        return StoreResult(row=row)

    async def refresh_mirror(self, owner: ClaimOwner, symbol: str) -> None:
        """Ask the market's leader to write its mirror anew. Raises StoreError."""
        self._leadership.require()
        claims = await self._source.claims()
        await claims.request_cache_refresh(owner, symbol, term=self._leadership.term)

    def _away(self, error: StoreUnavailable) -> StoreResult:
        fault, _ = store_fault(error)
        self._outages.failed("PostgreSQL", fault)
        outage = self._outages.outage("PostgreSQL")
        return StoreResult(fault=outage, doubt=None if outage else fault, retry=True)

    def _older_rival(self, market: Market) -> Market | None:
        """The Market that goes before this one for a symbol that nobody has."""
        assert market.spec is not None
        rivals = [
            rival
            for rival in self._watched.rivals(market.spec.symbol)
            if not rival.deleting and not rival.paused and _valid(rival)
        ]
        first = min(rivals, key=lambda rival: (rival.created_at, rival.uid), default=market)
        return first if first.uid != market.uid and _before(first, market) else None


def owner_of(market: Market, installation: str) -> ClaimOwner:
    return ClaimOwner(
        installation=installation,
        namespace=market.key.namespace,
        name=market.key.name,
        uid=market.uid,
    )


def _before(one: Market, other: Market) -> bool:
    return (one.created_at, one.uid) < (other.created_at, other.uid)


def _valid(market: Market) -> bool:
    assert market.spec is not None
    try:
        definition(market.spec).config()
    except ConfigurationError:
        return False
    return True

"""Keeps a market's claim, definition and requested state in PostgreSQL as its Market has them.

A state is asked for once, when the Market asks for another than the operator entered last. What the
engine or the command line does to the market in between is therefore never undone from here. A halt
of theirs outlasts a change of the state, too, which may have been asked for before it: that is
entered when the halt ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gomatch.engine import Reason, TradingState
from gomatch.errors import (
    BacklogFull,
    ClaimHeld,
    ClaimRetained,
    CredentialsRefused,
    ForeignMarket,
    GomatchError,
    IdentityMismatch,
    RemovalUnfinished,
    SchemaMismatch,
    StoreUnavailable,
)
from gomatch.messages.market import MarketDefinition
from gomatch.store import ClaimedMarket, ClaimOwner
from gomatch_operator.actions import Action, Verb
from gomatch_operator.outages import Fault
from gomatch_operator.store.connection import ClaimsSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``resume`` is the annotation of that name, None when there is none."""

    owner: ClaimOwner
    definition: MarketDefinition
    state: TradingState
    resume: str | None
    adopt: bool

    @property
    def symbol(self) -> str:
        return self.definition.symbol


class StoreReconciler:
    """``backlog_limit`` in commands, as the API's."""

    def __init__(self, source: ClaimsSource, *, backlog_limit: int) -> None:
        self._source = source
        self._backlog_limit = backlog_limit

    async def observe(self, symbol: str) -> ClaimedMarket | None:
        """Raises StoreUnavailable, SchemaMismatch."""
        claims = await self._source.claims()
        return await claims.observe_one(symbol)

    def plan(self, wanted: Wanted, row: ClaimedMarket | None) -> Sequence[Action]:
        """What to do next; after a claim there may be more to do, once it is observed again."""
        symbol = wanted.symbol
        if row is None:
            return [_action("create", "claim", symbol, "the symbol is free", wanted)]
        if row.removing and row.owner is not None and wanted.owner.recreated(row.owner):
            # The Market before lost its finalizer by hand; nobody else would go on with it.
            return [_action("delete", "market", symbol, "its removal was begun", wanted)]
        if row.owner != wanted.owner or not row.held:
            return [_action("create", "claim", symbol, "it is not this Market's", wanted)]
        actions = []
        if row.definition.config() != wanted.definition.config():
            actions.append(
                _action("enter", "definition", symbol, "the Market has another", wanted, row)
            )
        resume = wanted.resume is not None and wanted.resume != row.resume
        asked = row.requested_state is not wanted.state and not _would_end_a_halt(wanted.state, row)
        if asked or resume:
            why = (
                f"asked to resume: {wanted.resume}"
                if resume
                else f"the Market asks for {wanted.state.name.lower()}"
            )
            actions.append(_action("enter", "state", symbol, why, wanted, row))
        return actions

    async def apply(self, action: Action, *, term: int) -> None:
        """Raises what `store_fault` explains, StoreUnavailable, and Fenced when a later operator
        has begun."""
        wanted, row = action.body
        owner, symbol = wanted.owner, wanted.symbol
        claims = await self._source.claims()
        if action.kind == "claim":
            await claims.claim(
                owner, wanted.definition, term=term, adopt=wanted.adopt, state=wanted.state
            )
        elif action.kind == "market":
            await claims.drop(owner, symbol, term=term)
        elif action.kind == "definition":
            await claims.configure(
                owner,
                wanted.definition,
                current=row.definition,
                term=term,
                backlog_limit=self._backlog_limit,
            )
        else:
            await claims.request_state(
                owner,
                symbol,
                wanted.state,
                term=term,
                resume=wanted.resume,
                backlog_limit=self._backlog_limit,
            )


def _would_end_a_halt(state: TradingState, row: ClaimedMarket) -> bool:
    """One that the operator did not ask for. Closing the market is no way to go on trading."""
    halted = row.state is TradingState.HALTED and row.state_reason is not Reason.REQUESTED
    goes_on = state not in (TradingState.HALTED, TradingState.CLOSED)
    return halted and goes_on and row.requested_state is not TradingState.HALTED


def conflict_of(wanted: Wanted, row: ClaimedMarket) -> Fault | None:
    """Who has the symbol that the Market could not have as things stand; None when it could."""
    holder = row.owner
    if holder is None:
        return Fault("ForeignMarket", f"market {row.symbol} was made by the command line")
    if holder == wanted.owner or wanted.owner.recreated(holder):
        return None
    if row.held:
        return Fault("HeldByAnother", f"{row.symbol} belongs to Market {holder}")
    if wanted.adopt:
        return None
    return Fault("RetainedByAnother", f"{row.symbol} was retained when Market {holder} was deleted")


def store_fault(error: GomatchError) -> tuple[Fault, bool]:
    """What an error of `apply` means to the Market, and whether it is a conflict with others.

    Raises ``error`` again when it means nothing to one Market alone.
    """
    for kind, reason, conflict in _FAULTS:
        if isinstance(error, kind):
            return Fault(reason, str(error)), conflict
    raise error


_FAULTS: tuple[tuple[type[GomatchError], str, bool], ...] = (
    (ClaimHeld, "HeldByAnother", True),
    (ClaimRetained, "RetainedByAnother", True),
    (ForeignMarket, "ForeignMarket", True),
    (RemovalUnfinished, "HeldByAnother", True),
    (IdentityMismatch, "IdentityMismatch", False),
    (BacklogFull, "BacklogFull", False),
    (SchemaMismatch, "SchemaMismatch", False),
    # A kind of StoreUnavailable: before that.
    (CredentialsRefused, "CredentialsRefused", False),
    (StoreUnavailable, "StoreUnavailable", False),
)
"""Error, reason, whether it is a conflict; the first that fits."""


def _action(
    verb: Verb, kind: str, symbol: str, why: str, wanted: Wanted, row: ClaimedMarket | None = None
) -> Action:
    return Action(
        layer="store",
        verb=verb,
        kind=kind,
        name=symbol,
        why=why,
        body=(wanted, row),
    )

"""How a claim, a definition and a state come into PostgreSQL, and what an outage makes of that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from gomatch.engine import TradingState
from gomatch.errors import (
    BacklogFull,
    ClaimHeld,
    CredentialsRefused,
    DefinitionChanged,
    Fenced,
    ForeignMarket,
    IdentityMismatch,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)
from gomatch.store import ClaimedMarket
from gomatch_operator.actions import Action
from gomatch_operator.errors import LeadershipLost
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market, definition, read_market
from gomatch_operator.outages import Outages
from gomatch_operator.store import ClaimsSource, StoreReconciler, Wanted
from gomatch_operator.store.keeper import StoreKeeper, owner_of
from gomatch_operator.watched import Watched
from tests.fixtures.example_facts import OWNER, example_row
from tests.fixtures.example_markets import PLAIN_SPEC, UID, market_body

STRANGER = replace(OWNER, namespace="elsewhere", uid="another")


class Store(StoreReconciler):
    """Plans as the real one, over a row in memory."""

    def __init__(self) -> None:
        super().__init__(cast("ClaimsSource", None), backlog_limit=1)
        self.row: ClaimedMarket | None = None
        self.fault: StoreError | None = None
        self.refusal: StoreError | None = None
        self.applied: list[tuple[str, int]] = []

    async def observe(self, symbol: str) -> ClaimedMarket | None:
        if self.fault is not None:
            raise self.fault
        return self.row

    async def apply(self, action: Action, *, term: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.applied.append((action.kind, term))
        wanted, _ = action.body
        if action.kind == "claim":
            state = TradingState.CLOSED if self.row else wanted.state
            self.row = example_row(owner=wanted.owner, requested_state=state)
        elif action.kind == "state":
            assert self.row is not None
            self.row = replace(self.row, requested_state=wanted.state)


class Place:
    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.term = 7
        self.store = Store()
        self.watched = Watched()
        self.outages = Outages(limit=10, clock=lambda: self.now)
        self.keeper = StoreKeeper(
            self.store,
            cast("ClaimsSource", None),
            watched=self.watched,
            outages=self.outages,
            leadership=cast("OperatorLeadership", self),
        )

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")

    def market(
        self, name: str = "btc-usdt", *, uid: str = UID, day: int = 1, **changes: Any
    ) -> Market:
        spec = {**PLAIN_SPEC, **changes.pop("spec", {})}
        body = market_body(spec, name=name, uid=uid)
        body["metadata"] |= {"creationTimestamp": f"2026-01-{day:02}T00:00:00Z", **changes}
        market = self.watched.markets[read_market(body).key] = read_market(body)
        return market

    async def keep(self, market: Market) -> Any:
        return await self.keeper.keep(market, wanted(market))

    async def look(self, market: Market, *, adopt: bool = False) -> str | None:
        found = await self.keeper.look(replace(wanted(market), adopt=adopt))
        return found.conflict and found.conflict.reason


def wanted(market: Market) -> Wanted:
    assert market.spec is not None
    return Wanted(
        owner=owner_of(market, "test"),
        definition=definition(market.spec),
        state=TradingState.RUNNING,
        resume=None,
        adopt=False,
    )


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_free_symbol_is_claimed_under_the_term_of_this_leader(place: Place) -> None:
    kept = await place.keep(place.market())

    assert place.store.applied == [("claim", 7)]
    assert kept.row is not None
    assert kept.row.owner == OWNER


async def test_what_was_retained_is_claimed_and_opened_in_one_reconcile(place: Place) -> None:
    place.store.row = example_row(held=False)
    await place.keep(place.market())

    assert [kind for kind, _ in place.store.applied] == ["claim", "state"]
    assert (await place.keep(place.market())).row is not None
    assert len(place.store.applied) == 2


@pytest.mark.parametrize(
    ("older", "waits"),
    [
        ({"day": 1}, True),
        ({"day": 2, "uid": "0"}, True),
        ({"day": 2, "uid": "zzz"}, False),
        ({"day": 3}, False),
        ({"day": 1, "annotations": {"gomatch.io/paused": "true"}}, False),
        ({"day": 1, "deletionTimestamp": "2026-02-01T00:00:00Z"}, False),
        ({"day": 1, "spec": {"minQuantity": "0.0005"}}, False),
    ],
    ids=["older", "smaller uid", "greater uid", "younger", "paused", "going", "cannot work"],
)
async def test_the_oldest_that_could_have_a_free_symbol_gets_it(
    place: Place, older: dict[str, Any], waits: bool
) -> None:
    market = place.market(day=2)
    place.market(**{"name": "rival", "uid": "b", **older})
    kept = await place.keep(market)

    assert (kept.conflict is not None) is waits
    assert bool(place.store.applied) is not waits


async def test_who_leads_no_more_claims_nothing(place: Place) -> None:
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.keep(place.market())

    assert place.store.applied == []


async def test_who_leads_no_more_asks_for_no_mirror(place: Place) -> None:
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.keeper.refresh_mirror(OWNER, "BTC-USDT")


@pytest.mark.parametrize("where", ["fault", "refusal"])
async def test_a_later_operator_ends_this_one(place: Place, where: str) -> None:
    setattr(place.store, where, Fenced("a later one leads"))
    with pytest.raises(Fenced):
        await place.keep(place.market())


@pytest.mark.parametrize(
    ("refusal", "reason", "conflict", "retry"),
    [
        (ClaimHeld("-", installation="", namespace="", name=""), "HeldByAnother", True, False),
        (ForeignMarket("-"), "ForeignMarket", True, False),
        (IdentityMismatch("-"), "IdentityMismatch", False, False),
        (BacklogFull("-"), "BacklogFull", False, True),
        (SchemaMismatch("-"), "SchemaMismatch", False, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_postgresql_refuses_is_told(
    place: Place, refusal: StoreError, reason: str, conflict: bool, retry: bool
) -> None:
    place.store.refusal = refusal
    kept = await place.keep(place.market())
    told = kept.conflict if conflict else kept.fault

    assert told is not None
    assert (told.reason, kept.retry) == (reason, retry)
    assert not place.outages.suspected("PostgreSQL")


async def test_what_means_nothing_to_one_market_is_tried_again_whole(place: Place) -> None:
    place.store.refusal = DefinitionChanged("by somebody else")
    with pytest.raises(DefinitionChanged):
        await place.keep(place.market())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (StoreUnavailable("-"), "StoreUnavailable"),
        (CredentialsRefused("-"), "CredentialsRefused"),
    ],
    ids=["away", "credentials"],
)
async def test_an_outage_is_doubted_first_and_then_told_without_asking_again(
    place: Place, fault: StoreError, reason: str
) -> None:
    place.store.fault = fault
    market = place.market()
    doubted = await place.keep(market)
    place.now = 11
    told = await place.keep(market)
    place.store.fault = None
    unasked = await place.keep(market)

    assert (doubted.fault, doubted.doubt.reason, doubted.retry) == (None, reason, True)
    assert (told.fault.reason, told.doubt) == (reason, None)
    assert (unasked.fault.reason, unasked.retry) == (reason, False)
    assert place.store.applied == []


@pytest.mark.parametrize(
    ("row", "conflict"),
    [
        (None, None),
        (example_row(), None),
        (example_row(held=False), None),
        (example_row(owner=replace(OWNER, uid="of the one before")), None),
        (example_row(owner=STRANGER), "HeldByAnother"),
        (example_row(owner=STRANGER, held=False), "RetainedByAnother"),
        (example_row(owner=None), "ForeignMarket"),
    ],
    ids=["free", "ours", "ours retained", "the one before's", "held", "retained", "foreign"],
)
async def test_a_market_that_is_only_looked_at_knows_who_has_its_symbol(
    place: Place, row: ClaimedMarket | None, conflict: str | None
) -> None:
    place.store.row = row

    assert await place.look(place.market()) == conflict
    adopted = None if conflict == "RetainedByAnother" else conflict
    assert await place.look(place.market(), adopt=True) == adopted
    assert place.store.applied == []

"""The order in which a Market goes, and what each server that is away does to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from gomatch.engine import TradingState
from gomatch.errors import ClaimHeld, Fenced, NotDrained, SchemaMismatch, StoreUnavailable
from gomatch.store import ClaimedMarket, ClaimOwner, Leftover
from gomatch_operator import names
from gomatch_operator.cache.keeper import MirrorKeeper
from gomatch_operator.cluster.api import Body, ClusterApi
from gomatch_operator.cluster.keeper import ClusterKeeper, ClusterResult
from gomatch_operator.deletion import Deletion, DeletionParts, DeletionStep, clean_leftovers
from gomatch_operator.errors import (
    BrokerUnavailable,
    Forbidden,
    LeadershipLost,
    MirrorUnavailable,
    ObjectChanged,
)
from gomatch_operator.events import Events
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import Market, read_market
from gomatch_operator.memory import MarketMemory
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.store import ClaimsSource
from gomatch_operator.watched import Watched
from tests.fixtures.example_facts import OWNER, example_deployment, example_pod, example_row
from tests.fixtures.example_markets import PLAIN_SPEC, UID, example_settings, market_body

DELETED_AT = 1_767_225_600
CLOSED = {"requested_state": TradingState.CLOSED, "state": TradingState.CLOSED}
CLOSING = {"requested_state": TradingState.CLOSED}
BACKLOG = {"accepted": 9, "applied": 7}


class Store:
    """`Claims` over one row, and the way to it."""

    def __init__(self, done: list[str]) -> None:
        self.row: ClaimedMarket | None = example_row()
        self.fault: Exception | None = None
        self.done = done
        self.leftover: list[Leftover] = []
        self.noted: list[tuple[bool, bool]] = []

    async def claims(self) -> Store:
        if self.fault is not None:
            raise self.fault
        return self

    async def observe_one(self, symbol: str) -> ClaimedMarket | None:
        return self.row

    async def observe(
        self, installation: str, *, symbols: Sequence[str] = ()
    ) -> list[ClaimedMarket]:
        return [] if self.row is None else [self.row]

    async def begin_term(self, installation: str, term: int) -> None:
        self.done.append("begin term")

    async def request_state(
        self, owner: ClaimOwner, symbol: str, state: TradingState, **_: Any
    ) -> None:
        self.done.append(f"request {state.name.lower()}")

    async def release(self, owner: ClaimOwner, symbol: str, *, term: int) -> None:
        self.done.append("release")

    async def drop(self, owner: ClaimOwner, symbol: str, *, term: int) -> None:
        self.done.append("drop")

    async def note_leftovers(
        self, installation: str, symbol: str, *, queue: bool, cache: bool, term: int
    ) -> None:
        self.noted.append((queue, cache))

    async def leftovers(self, installation: str) -> list[Leftover]:
        return self.leftover

    async def forget_leftovers(
        self, installation: str, symbol: str, *, queue: bool, cache: bool, term: int
    ) -> None:
        self.done.append(f"forget queue={queue} cache={cache}")


class Api(ClusterApi):
    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.refusal: Exception | None = None
        self.patches: list[Any] = []
        self.events: list[str] = []

    async def delete(
        self, kind: str, namespace: str, name: str, *, uid: str, propagation: str = ""
    ) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.done.append(f"delete {kind} {uid}")

    async def merge_patch(
        self, kind: str, namespace: str, name: str, patch: Body, *, subresource: str = ""
    ) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.patches.append(patch["metadata"])
        self.done.append("finalizer")
        return market_body()

    async def create_event(self, namespace: str, body: Body) -> None:
        self.events.append(body["reason"])


class Outside:
    """Queue or mirror."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name = name
        self.done = done
        self.fault: Exception | None = None

    async def remove(
        self, symbol: str, *, unless: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        if self.fault is not None:
            raise self.fault
        if unless is None or not await unless():
            self.done.append(f"remove {self.name}")


class Place:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.now = float(DELETED_AT)
        self.leads = True
        self.term = 4
        self.store = Store(self.done)
        self.api = Api(self.done)
        self.queue, self.mirror = Outside("queue", self.done), Outside("keys", self.done)
        self.watched = Watched()
        self.outages = Outages(limit=0)
        self.kept = ClusterResult()
        self.parts = DeletionParts(
            settings=example_settings(),
            watched=self.watched,
            source=cast("ClaimsSource", self.store),
            api=self.api,
            cluster=cast("ClusterKeeper", self),
            queue=cast("QueueKeeper", self.queue),
            mirror=cast("MirrorKeeper", self.mirror),
            events=Events(self.api, instance="a", namespace="venue", lease="operator"),
            outages=self.outages,
            leadership=cast("OperatorLeadership", self),
            clock=lambda: self.now,
        )
        self.memory = MarketMemory(UID)
        self.market = going()
        self.runs(ready=True)

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")

    async def keep(self, market: Market, *, handled: bool) -> ClusterResult:
        self.done.append("keep objects")
        return self.kept

    def runs(self, *, ready: bool) -> None:
        """With its Deployment and, if ``ready``, a pod."""
        self.watched.markets[self.market.key] = self.market
        deployment = example_deployment()
        self.watched.owned[deployment.key] = deployment
        self.watched.pods[self.market.key] = {"a": example_pod()} if ready else {}

    async def step(self, **row: Any) -> tuple[DeletionStep, list[str]]:
        """With the row as it is now; returns what was done, too."""
        if row:
            self.store.row = example_row(**row)
        self.done.clear()
        return await Deletion(self.parts).step(self.market, self.memory), list(self.done)


def going(spec: dict[str, Any] | None = None, **annotations: str) -> Market:
    body = market_body({**PLAIN_SPEC, **(spec or {})})
    body["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["example.com/other", names.FINALIZER],
        "annotations": {f"{names.GROUP}/{name}": text for name, text in annotations.items()},
    }
    return read_market(body)


@pytest.fixture
def place() -> Place:
    return Place()


def progress(step: DeletionStep) -> str:
    return step.progress.reason if step.progress else "none"


async def test_each_step_waits_for_the_one_before(place: Place) -> None:
    step, done = await place.step()
    assert (progress(step), done) == ("Closing", ["request closed"])
    step, done = await place.step(**CLOSING, **BACKLOG)
    assert (progress(step), done) == ("WaitingForMatcher", ["keep objects"])
    step, done = await place.step(**CLOSED)
    assert (progress(step), done) == ("WritingImage", ["delete Deployment uid of the deployment"])
    step, done = await place.step(**CLOSED)
    assert (progress(step), done) == ("WritingImage", [])

    place.runs(ready=False)
    place.watched.owned.clear()
    step, done = await place.step(**CLOSED)
    assert step.done
    assert done == ["begin term", "remove queue", "remove keys", "release", "finalizer"]


async def test_with_delete_what_is_drained_is_dropped(place: Place) -> None:
    place.market = going({"deletionPolicy": "Delete"})
    place.runs(ready=False)
    step, done = await place.step(**CLOSED)

    assert step.done
    assert done[-2:] == ["drop", "finalizer"]
    assert "release" not in done


async def test_with_delete_what_is_not_drained_in_time_is_kept_and_told(place: Place) -> None:
    place.market = going({"deletionPolicy": "Delete"})
    place.runs(ready=False)
    place.now += 301
    _, done = await place.step(**CLOSING, **BACKLOG)

    assert done[-2:] == ["release", "finalizer"]
    assert "drop" not in done
    assert place.api.events == ["DataKept"]


async def test_what_is_accepted_at_the_last_moment_is_kept(place: Place) -> None:
    place.market = going({"deletionPolicy": "Delete"})
    place.runs(ready=False)

    async def accepted_since(*_: object, **__: object) -> None:
        raise NotDrained("accepted since")

    place.store.drop = accepted_since  # type: ignore[method-assign]
    _, done = await place.step(**CLOSED)

    assert done[-2:] == ["release", "finalizer"]
    assert place.api.events == ["DataKept"]


async def test_a_market_that_was_opened_again_by_hand_is_closed_again(place: Place) -> None:
    step, done = await place.step(**CLOSING)
    assert (progress(step), done) == ("Closing", ["request closed"])
    # Not once more while that is not applied.
    _, done = await place.step(**CLOSING, **BACKLOG)
    assert done == ["keep objects"]


@pytest.mark.parametrize("outside", ["queue", "mirror"])
async def test_a_server_that_is_away_is_waited_for_and_then_remembered(
    place: Place, outside: str
) -> None:
    place.runs(ready=False)
    away = getattr(place, outside)
    away.fault = BrokerUnavailable("away") if outside == "queue" else MirrorUnavailable("away")
    step, done = await place.step(**CLOSED)
    assert progress(step) == "CleaningUp"
    assert "release" not in done
    assert place.store.noted == []

    place.now += 301
    step, done = await place.step(**CLOSED)
    assert step.done
    assert place.store.noted == [(outside == "queue", outside == "mirror")]


async def test_another_markets_symbol_is_left_alone(place: Place) -> None:
    for row in (
        {"owner": replace(OWNER, uid="another")},
        {"owner": None},
        {"held": False},
    ):
        step, done = await place.step(**row)
        assert step.done
        assert done == ["finalizer"]


async def test_a_deployment_of_another_market_stays(place: Place) -> None:
    deployment = example_deployment(owner_uid="another")
    place.watched.owned[deployment.key] = deployment
    _, done = await place.step(**CLOSED)

    assert not any(each.startswith("delete") for each in done)


async def test_without_postgresql_it_waits_and_says_so(place: Place) -> None:
    place.store.fault = StoreUnavailable("away")
    place.now += 10_000
    step, done = await place.step()

    assert (progress(step), step.done, done) == ("StoreUnavailable", False, [])
    assert step.store_fault == Fault("StoreUnavailable", "away")


async def test_a_schema_that_does_not_fit_is_told_as_such(place: Place) -> None:
    place.store.fault = SchemaMismatch("newer than this release")
    step, done = await place.step()
    assert (progress(step), step.done, done) == ("StoreUnavailable", False, [])
    assert step.store_fault is not None
    assert step.store_fault.reason == "SchemaMismatch"

    place.market = going(abandon="true")
    assert (await place.step())[0].done


@pytest.mark.parametrize("value", ["true", "yes"])
async def test_without_postgresql_only_true_abandons(place: Place, value: str) -> None:
    place.store.fault = StoreUnavailable("away")
    place.market = going(abandon=value)
    step, done = await place.step()

    assert step.done is (value == "true")
    assert done == (["finalizer"] if value == "true" else [])
    assert place.api.events == (["Abandoned"] if value == "true" else [])


async def test_abandon_changes_nothing_while_postgresql_answers(place: Place) -> None:
    place.market = going(abandon="true")
    step, done = await place.step()

    assert (progress(step), done) == ("Closing", ["request closed"])


async def test_only_our_finalizer_goes_and_only_of_this_very_market(place: Place) -> None:
    place.store.row = None
    await place.step()

    [metadata] = place.api.patches
    assert metadata == {"finalizers": ["example.com/other"], "uid": UID, "resourceVersion": "1"}
    place.api.refusal = ObjectChanged("changed meanwhile")
    step, _ = await place.step()
    assert not step.done


async def test_a_namespace_that_goes_is_not_waited_for(place: Place) -> None:
    place.runs(ready=False)
    for reason in ("NamespaceTerminating", "Forbidden"):
        place.kept = ClusterResult(fault=Fault(reason, "-"))
        place.memory = MarketMemory(UID)
        step, done = await place.step(**CLOSING, **BACKLOG)
        assert step.done
        assert "release" in done


async def test_a_right_on_the_deployment_that_is_missing_holds_nothing_up(place: Place) -> None:
    class Refusing(Api):
        async def delete(
            self, kind: str, namespace: str, name: str, *, uid: str, propagation: str = ""
        ) -> None:
            raise Forbidden("no right")

    place.parts = replace(place.parts, api=Refusing(place.done))
    step, done = await place.step(**CLOSED)

    assert step.done
    assert "release" in done


async def test_what_was_half_dropped_is_dropped_whole(place: Place) -> None:
    step, done = await place.step(**CLOSED, removing=True)

    assert step.done
    assert done == ["begin term", "remove queue", "remove keys", "drop", "finalizer"]


async def test_who_leads_no_more_changes_nothing(place: Place) -> None:
    place.leads = False
    for row in ({}, CLOSED):
        with pytest.raises(LeadershipLost):
            await place.step(**row)
        assert place.done == []
    place.store.row = None
    with pytest.raises(LeadershipLost):
        await place.step()


async def test_who_loses_the_lease_while_it_cleans_up_gives_nothing_back(place: Place) -> None:
    async def remove_and_lose(symbol: str, **_: object) -> None:
        place.leads = False

    place.runs(ready=False)
    place.mirror.remove = remove_and_lose  # type: ignore[method-assign]
    with pytest.raises(LeadershipLost):
        await place.step(**CLOSED)

    assert "release" not in place.done
    assert "finalizer" not in place.done


async def test_a_later_operator_fences_before_anything_outside_is_deleted(place: Place) -> None:
    async def fenced(installation: str, term: int) -> None:
        raise Fenced("a later one leads")

    place.runs(ready=False)
    place.store.begin_term = fenced  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await place.step(**CLOSED)

    assert "remove queue" not in place.done
    assert "remove keys" not in place.done


async def test_a_claim_that_is_lost_in_between_is_found_out_at_the_next_step(
    place: Place,
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise ClaimHeld("another's", installation="b", namespace="b", name="b")

    place.store.request_state = lost  # type: ignore[method-assign]
    with pytest.raises(ClaimHeld):
        await place.step()
    place.store.row = example_row(owner=replace(OWNER, uid="another"))
    assert (await Deletion(place.parts).step(place.market, place.memory)).done


@pytest.mark.parametrize(
    ("served", "done"),
    [
        (False, ["begin term", "remove queue", "remove keys", "forget queue=True cache=True"]),
        (True, ["begin term", "remove keys", "forget queue=True cache=True"]),
    ],
    ids=["gone", "served again"],
)
async def test_leftovers_are_cleaned_up_but_for_a_queue_that_is_used_again(
    place: Place, served: bool, done: list[str]
) -> None:
    place.store.leftover = [
        Leftover(symbol="BTC-USDT", queue=True, cache=True, noted_at=1, served=served)
    ]
    await clean_leftovers(place.parts)

    assert place.done == done


async def test_a_leftover_that_cannot_be_removed_yet_is_remembered(place: Place) -> None:
    place.queue.fault = BrokerUnavailable("away")
    place.store.leftover = [
        Leftover(symbol="BTC-USDT", queue=True, cache=False, noted_at=1, served=False)
    ]
    await clean_leftovers(place.parts)

    assert place.done == ["begin term", "forget queue=False cache=False"]

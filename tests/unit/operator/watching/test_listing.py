"""What lists bring that watches do not: all at the start, and what went while nobody watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterUnavailable, Forbidden, ObjectMissing
from gomatch_operator.market import MarketKey, read_market
from gomatch_operator.watched import ObjectKey, Watched
from gomatch_operator.watching import Arrivals, Heard, Listing
from gomatch_operator.work import KeyedQueue
from tests.fixtures.example_markets import market_body

MARKET = ObjectKey(names.KIND, "venue", "btc-usdt")
DEPLOYMENT = ObjectKey("Deployment", "venue", "btc-usdt-matcher")
POD = ObjectKey("Pod", "venue", "btc-usdt-matcher-1")


def ours(key: ObjectKey, *, uid: str = "u1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
                names.LABEL_MARKET: "btc-usdt",
            },
        },
        "spec": {},
    }


class MemoryApi(ClusterApi):
    def __init__(self) -> None:
        super().__init__(ApiClient(Configuration()), timeout=1)
        self.objects: dict[ObjectKey, dict[str, Any]] = {
            MARKET: market_body(),
            DEPLOYMENT: ours(DEPLOYMENT),
            POD: ours(POD),
        }
        self.unlisted: set[ObjectKey] = set()
        """What lists leave out though it is there."""
        self.refusals: list[Exception] = []
        """Of the next lists."""
        self.forbidden: set[str] = set()
        """Namespaces, or one kind in one: namespace/kind."""
        self.undiscovered = 0
        """So often the kind is not told of."""
        self.namespaces: set[str] = set()
        self.tried = 0
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens before the answer to a get arrives."""
        self.looks = 0
        """Lists of all Markets."""

    async def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        self.namespaces.add(namespace)
        self.looks += kind == names.KIND
        self.tried += 1
        if self.forbidden & {namespace, f"{namespace}/{kind}"}:
            raise Forbidden(f"no right in {namespace}")
        if self.refusals:
            raise self.refusals.pop(0)
        for key, body in list(self.objects.items()):
            if key.kind == kind and key not in self.unlisted and namespace in ("", key.namespace):
                yield body

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[ObjectKey(kind, namespace, name)]
        except KeyError:
            self.meanwhile()
            raise ObjectMissing("gone") from None

    async def discoverable(self, kind: str) -> bool:
        self.undiscovered -= 1
        return self.undiscovered < 0


class Place:
    def __init__(self, *namespaces: str) -> None:
        self.api = MemoryApi()
        self.watched = Watched()
        self.queue = KeyedQueue(limit=100)
        self.arrivals = Arrivals(self.watched, self.queue, beat=lambda _: None)
        self.listing = Listing(self.api, self.watched, self.arrivals, namespaces=namespaces)

    async def looked_at(self) -> list[MarketKey]:
        keys = []
        while self.queue.length:
            keys.append(await self.queue.take())
            self.queue.done(keys[-1])
        return keys


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.api.close()


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gomatch.concurrency.random.random", lambda: 0.999)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def problems_of_beginning(place: Place) -> set[str]:
    """What it said while it began; nobody expects a watch to hear anything then."""
    problems = set()
    beginning = asyncio.create_task(place.listing.begin())
    while not beginning.done():
        problems.add(place.listing.problem)
        assert place.listing.complete.is_set() or not place.listing.watched("venue")
        await asyncio.sleep(0)
    await beginning
    return problems


async def test_at_the_start_all_that_is_there_is_known(place: Place) -> None:
    await place.listing.begin()

    assert place.listing.complete.is_set()
    assert set(place.watched.markets) == {MarketKey("venue", "btc-usdt")}
    assert set(place.watched.owned) == {DEPLOYMENT}
    assert [pod.name for pod in place.watched.pods_of(MarketKey("venue", "btc-usdt"))] == [POD.name]
    assert await place.looked_at() == [MarketKey("venue", "btc-usdt")]


async def test_only_the_namespaces_that_are_served_are_listed() -> None:
    place = Place("one", "two")
    await place.listing.begin()

    assert place.api.namespaces == {"one", "two"}
    assert place.watched.markets == {}
    await place.api.close()


@pytest.mark.parametrize(
    "refusal",
    [ObjectMissing("no such kind"), Forbidden("not yours"), ClusterUnavailable("away")],
    ids=["no kind", "no right", "no answer"],
)
async def test_the_start_waits_and_says_for_what(
    place: Place, refusal: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    place.api.refusals = [refusal] * 3
    problems = await problems_of_beginning(place)

    assert problems - {""} == {str(refusal)}
    assert place.listing.complete.is_set()
    assert place.listing.problem == ""


async def test_the_start_waits_until_the_kind_is_discoverable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    place.api.undiscovered = 2
    problems = await problems_of_beginning(place)

    assert place.api.undiscovered < 0
    assert any("Market" in problem for problem in problems)
    assert place.listing.problem == ""


@pytest.mark.parametrize("gone", [MARKET, DEPLOYMENT, POD], ids=lambda key: key.kind)
async def test_what_went_unheard_is_forgotten_and_its_market_looked_at(
    place: Place, gone: ObjectKey
) -> None:
    await place.listing.begin()
    await place.looked_at()
    del place.api.objects[gone]
    await place.listing.forget_gone()

    known = {
        *place.watched.owned,
        *(ObjectKey(names.KIND, *key) for key in place.watched.markets),
        *(
            ObjectKey("Pod", pod.namespace, pod.name)
            for pods in place.watched.pods.values()
            for pod in pods.values()
        ),
    }
    assert known == {MARKET, DEPLOYMENT, POD} - {gone}
    assert await place.looked_at() == [MarketKey("venue", "btc-usdt")]


async def test_a_market_that_was_made_anew_while_it_was_looked_for_stays(place: Place) -> None:
    await place.listing.begin()
    del place.api.objects[MARKET]
    anew = market_body()
    anew["metadata"]["uid"] = "another"
    place.api.meanwhile = lambda: place.arrivals(Heard(read_market(anew), listed=False, gone=False))
    await place.listing.forget_gone()

    assert [market.uid for market in place.watched.markets.values()] == ["another"]


async def test_what_a_list_leaves_out_but_is_there_stays(place: Place) -> None:
    await place.listing.begin()
    await place.looked_at()
    place.api.unlisted = {MARKET, DEPLOYMENT, POD}
    await place.listing.forget_gone()

    assert place.watched.markets
    assert place.watched.owned
    assert place.watched.pods
    assert await place.looked_at() == []


async def test_nothing_is_forgotten_while_the_api_server_is_away(place: Place) -> None:
    await place.listing.begin()
    place.api.objects.clear()
    place.api.refusals = [ClusterUnavailable("away")]
    with pytest.raises(ClusterUnavailable):
        await place.listing.forget_gone()

    assert place.watched.markets
    assert place.watched.owned


async def test_a_watch_that_began_anew_has_it_compared_and_failures_do_not_end_that(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomatch_operator.watching.listing._SETTLE", 0.0)
    await place.listing.begin()
    running = asyncio.create_task(place.listing.run())
    del place.api.objects[DEPLOYMENT]
    place.api.refusals = [ClusterUnavailable("away")]
    place.arrivals.relisted.set()
    await until(lambda: not place.api.refusals)
    assert place.watched.owned

    place.arrivals.relisted.set()
    await until(lambda: not place.watched.owned)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(("events", "looks"), [(20, 0), (100, 3)], ids=["a while", "no end"])
async def test_while_a_new_list_comes_in_it_is_hardly_compared(
    place: Place, monkeypatch: pytest.MonkeyPatch, events: int, looks: int
) -> None:
    monkeypatch.setattr("gomatch_operator.watching.listing._SETTLE", 0.0)
    await place.listing.begin()
    del place.api.objects[DEPLOYMENT]
    place.api.looks = 0
    running = asyncio.create_task(place.listing.run())
    for _ in range(events):
        place.arrivals.relisted.set()
        await asyncio.sleep(0)

    assert place.api.looks <= looks
    assert bool(place.api.looks) == bool(looks)
    await until(lambda: not place.watched.owned)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_namespace_without_rights_holds_no_other_up() -> None:
    place = Place("venue", "leaving")
    place.api.forbidden = {"leaving"}

    assert await place.listing.begin() == ("venue",)
    assert set(place.watched.markets) == {MarketKey("venue", "btc-usdt")}
    assert "leaving" in place.listing.problem
    assert place.listing.watched("venue")
    assert not place.listing.watched("leaving")
    await place.api.close()


async def test_a_namespace_that_lacks_a_single_right_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pause in ("_SETTLE", "_REFUSED"):
        monkeypatch.setattr(f"gomatch_operator.watching.listing.{pause}", 0.01)
    place = Place("venue", "leaving")
    place.api.forbidden = {"leaving"}
    await place.listing.begin()
    looking = asyncio.create_task(place.listing.run())
    place.api.forbidden, place.api.tried = {"leaving/Pod"}, 0
    await until(lambda: place.api.tried > 20)
    assert not place.listing.changed.is_set()

    place.api.forbidden = set()
    await until(place.listing.changed.is_set)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await place.api.close()


async def test_a_namespace_whose_rights_come_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("_SETTLE", "_REFUSED"):
        monkeypatch.setattr(f"gomatch_operator.watching.listing.{pause}", 0.01)
    place = Place("venue", "leaving")
    place.api.forbidden = {"leaving"}
    await place.listing.begin()
    looking = asyncio.create_task(place.listing.run())
    assert not place.listing.changed.is_set()
    place.api.forbidden = set()
    await until(place.listing.changed.is_set)

    assert await place.listing.begin() == ("venue", "leaving")
    assert place.listing.problem == ""
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await place.api.close()

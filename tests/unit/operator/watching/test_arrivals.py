"""What an event makes of what is known, and which Market is then looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gomatch_operator import names
from gomatch_operator.market import Market, MarketKey, read_market
from gomatch_operator.watched import DeploymentStatus, OwnedObject, PodSummary, Watched
from gomatch_operator.watching.arrivals import Arrivals
from gomatch_operator.watching.watch import CanaryBeat, Heard
from gomatch_operator.work import KeyedQueue
from tests.fixtures.example_facts import example_deployment, example_pod
from tests.fixtures.example_markets import example_market, market_body

KEY = MarketKey("venue", "btc-usdt")


class Place:
    def __init__(self) -> None:
        self.watched = Watched()
        self.queue = KeyedQueue(limit=100)
        self.beats: list[int] = []
        self.arrivals = Arrivals(self.watched, self.queue, beat=self.beats.append)

    def hear(
        self,
        found: Market | OwnedObject | PodSummary | CanaryBeat,
        *,
        listed: bool = False,
        gone: bool = False,
    ) -> None:
        self.arrivals(Heard(found, listed=listed, gone=gone))

    async def looked_at(self) -> list[MarketKey]:
        """What waits for a look, taken away."""
        keys = []
        while self.queue.length:
            keys.append(await self.queue.take())
        for key in keys:
            self.queue.done(key)
        return keys


@pytest.fixture
def place() -> Place:
    return Place()


def changed_market(**metadata: Any) -> Market:
    body = market_body()
    body["metadata"].update(metadata)
    return read_market(body)


@pytest.mark.parametrize(
    "metadata",
    [
        {"generation": 2},
        {"annotations": {names.ANNOTATION_PAUSED: "true"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"finalizers": [names.FINALIZER]},
        {"uid": "another"},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
async def test_what_somebody_asks_of_a_market_has_it_looked_at(
    place: Place, metadata: dict[str, Any]
) -> None:
    place.hear(example_market())
    assert await place.looked_at() == [KEY]
    place.hear(changed_market(**metadata))

    assert await place.looked_at() == [KEY]


async def test_a_status_of_our_own_is_no_news(place: Place) -> None:
    place.hear(example_market())
    await place.looked_at()
    written = read_market(
        {**market_body(), "status": {"epoch": 4}, "metadata": {**market_body()["metadata"]}}
    )
    place.hear(written)
    place.hear(changed_market(annotations={"example.com/other": "1"}, resourceVersion="9"))

    assert await place.looked_at() == []
    assert place.watched.markets[KEY].resource_version == "9"


async def test_an_older_word_on_a_market_is_dropped(place: Place) -> None:
    place.hear(changed_market(resourceVersion="9", finalizers=[names.FINALIZER]))
    await place.looked_at()
    place.hear(changed_market(resourceVersion="7"))

    assert place.watched.markets[KEY].has_finalizer
    assert await place.looked_at() == []
    # A restored etcd counts from older versions, and so may another Market of the name.
    place.hear(changed_market(resourceVersion="3"), listed=True)
    assert not place.watched.markets[KEY].has_finalizer
    later = "2026-01-01T00:00:01Z"
    place.hear(changed_market(resourceVersion="2", uid="another", creationTimestamp=later))
    assert place.watched.markets[KEY].uid == "another"


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("made", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"])
async def test_a_market_made_anew_outlasts_what_comes_late_of_the_one_before(
    place: Place, made: str, listed: bool
) -> None:
    """As kopf hands over in parallel what it hears of two objects, be they of one name."""
    place.hear(changed_market(resourceVersion="5"))
    place.hear(example_deployment())
    place.hear(example_deployment(), gone=True)
    another = changed_market(resourceVersion="8", uid="another", creationTimestamp=made)
    place.hear(another, listed=listed)
    await place.looked_at()
    assert place.watched.vanished == set(), "what the one before lost is no loss of this one"

    place.hear(changed_market(resourceVersion="6", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert place.watched.markets[KEY].uid == "another"
    place.hear(changed_market(resourceVersion="7"), gone=True)
    assert place.watched.markets[KEY].uid == "another"

    place.hear(changed_market(resourceVersion="9", uid="another"), gone=True)
    assert KEY not in place.watched.markets
    assert await place.looked_at() == [KEY]


async def test_a_status_that_was_written_is_not_taken_back_by_what_comes_from_before_it(
    place: Place,
) -> None:
    def market(version: str, epoch: int) -> Market:
        body = market_body()
        body["metadata"]["resourceVersion"] = version
        return read_market({**body, "status": {"epoch": epoch}})

    place.hear(market("5", 1))
    place.watched.keep_status(market("8", 2))
    place.hear(market("7", 1))
    assert place.watched.markets[KEY].status == {"epoch": 2}
    assert place.watched.markets[KEY].resource_version == "7"

    place.hear(market("9", 3))
    assert place.watched.markets[KEY].status == {"epoch": 3}


async def test_a_change_during_a_write_of_status_is_news_when_the_watch_tells_of_it(
    place: Place,
) -> None:
    """The answer to the write shows the change before the watch does."""
    place.hear(example_market())
    await place.looked_at()
    body = market_body()
    body["metadata"]["generation"] += 1
    changed = read_market({**body, "status": {"epoch": 4}})

    place.watched.keep_status(changed)
    assert place.watched.markets[KEY].status == {"epoch": 4}
    place.hear(changed)

    assert await place.looked_at() == [KEY]
    assert place.watched.markets[KEY] == changed


async def test_changes_go_before_what_is_only_listed(place: Place) -> None:
    place.hear(example_market(name="listed", uid="1"), listed=True)
    place.hear(example_market(name="changed", uid="2"))

    assert [key.name for key in await place.looked_at()] == ["changed", "listed"]
    assert place.arrivals.relisted.is_set()


async def test_those_that_wait_for_a_symbol_are_looked_at_when_its_market_goes(
    place: Place,
) -> None:
    first, second = example_market(), example_market(name="second", uid="2")
    place.hear(first)
    place.hear(second)
    await place.looked_at()
    place.hear(first, gone=True)

    assert await place.looked_at() == [KEY, second.key]
    assert KEY not in place.watched.markets


@pytest.mark.parametrize(
    "changes",
    [
        {"actual_hash": "edited"},
        {"desired_hash": "removed"},
        {"owner_uid": ""},
        {"deleting": True},
        {"replicas": DeploymentStatus(ready=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_an_object_that_was_changed_has_its_market_looked_at(
    place: Place, changes: dict[str, Any]
) -> None:
    place.hear(example_deployment())
    await place.looked_at()
    place.hear(example_deployment(resource_version="11"))
    assert await place.looked_at() == []
    place.hear(example_deployment(resource_version="12", **changes))

    assert await place.looked_at() == [KEY]


@pytest.mark.parametrize("label", ["another", ""])
async def test_an_object_that_got_another_markets_label_has_its_own_looked_at(
    place: Place, label: str
) -> None:
    place.hear(example_deployment())
    await place.looked_at()
    place.hear(example_deployment(resource_version="12", market=label, actual_hash="edited"))

    assert KEY in await place.looked_at()


async def test_what_is_older_than_what_we_wrote_is_dropped(place: Place) -> None:
    place.hear(example_deployment(resource_version="12"))
    await place.looked_at()
    place.hear(example_deployment(resource_version="11", actual_hash="of before"))

    assert await place.looked_at() == []
    assert place.watched.owned[example_deployment().key].actual_hash == "wanted"


async def test_an_object_that_is_gone_is_missed_unless_it_was_made_anew(place: Place) -> None:
    place.hear(example_market())
    place.hear(example_deployment())
    await place.looked_at()
    place.hear(example_deployment(uid="one of before"), gone=True)
    assert await place.looked_at() == []
    place.hear(example_deployment(), gone=True)

    assert await place.looked_at() == [KEY]
    assert place.watched.vanished == {example_deployment().key}


async def test_what_comes_late_of_an_object_that_is_gone_does_not_bring_it_back(
    place: Place,
) -> None:
    place.hear(example_deployment(resource_version="12"), gone=True)
    place.hear(example_deployment(resource_version="11"))

    assert place.watched.owned == {}


async def test_an_object_that_is_back_with_a_restored_etcd_counts_from_older_versions(
    place: Place,
) -> None:
    place.hear(example_deployment(resource_version="12"), gone=True)
    place.hear(example_deployment(resource_version="3"), listed=True)
    place.hear(example_deployment(resource_version="4", actual_hash="edited"))

    assert place.watched.owned[example_deployment().key].actual_hash == "edited"


@pytest.mark.parametrize(
    "changes",
    [
        {"ready": False},
        {"phase": "Failed"},
        {"waiting_reason": "CrashLoopBackOff"},
        {"node": "a-node"},
        {"unschedulable": "no node"},
        {"deleting": True},
        {"role": "leader"},
        {"restarts": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_pod_that_changes_has_its_market_looked_at(
    place: Place, changes: dict[str, Any]
) -> None:
    place.hear(example_pod())
    await place.looked_at()
    place.hear(replace(example_pod(), resource_version="11"))
    assert await place.looked_at() == []
    place.hear(replace(example_pod(), resource_version="12", **changes))

    assert await place.looked_at() == [KEY]


async def test_an_older_word_on_a_pod_is_dropped(place: Place) -> None:
    place.hear(example_pod(resource_version="12"))
    await place.looked_at()
    place.hear(example_pod(resource_version="11", ready=False))

    assert await place.looked_at() == []
    assert place.watched.pods_of(KEY)[0].ready


async def test_the_end_of_an_unknown_pod_leaves_nothing_behind(place: Place) -> None:
    place.hear(example_pod(), gone=True)

    assert place.watched.pods == {}


async def test_a_pod_that_is_gone_is_forgotten(place: Place) -> None:
    place.hear(example_pod())
    await place.looked_at()
    place.hear(example_pod(), gone=True)

    assert await place.looked_at() == [KEY]
    assert place.watched.pods == {}
    place.hear(example_pod(), gone=True)
    assert await place.looked_at() == []


async def test_the_canary_is_told_of_each_beat(place: Place) -> None:
    place.hear(CanaryBeat(3))

    assert place.beats == [3]
    assert await place.looked_at() == []

"""What one reconcile does, says and asks for, with its layers played."""

from __future__ import annotations

from typing import Any

import pytest

from gomatch.engine import TradingState
from gomatch_operator import conditions as c
from gomatch_operator import names
from gomatch_operator.actions import Action
from gomatch_operator.cache.keeper import MirrorResult
from gomatch_operator.cluster.keeper import ClusterResult
from gomatch_operator.errors import (
    ClusterUnavailable,
    Forbidden,
    LeadershipLost,
    ObjectChanged,
    ObjectInvalid,
)
from gomatch_operator.memory import signature
from gomatch_operator.outages import Fault
from gomatch_operator.queue.keeper import QueueResult
from gomatch_operator.store.keeper import StoreResult
from gomatch_operator.work import Outcome
from tests.fixtures.example_facts import example_pod, example_row
from tests.fixtures.played_reconcile import KEY, LED, Place


@pytest.fixture
def place() -> Place:
    return Place()


async def test_the_claim_comes_before_the_queue_and_that_before_the_pods(place: Place) -> None:
    place.pods(example_pod(role="leader", deletion_cost="1000"))
    outcome = await place.reconcile()

    assert place.layers.called == ["require", "store", "queue", "cluster"]
    assert place.says(c.READY) == ("True", "Trading")
    assert outcome == Outcome()


async def test_a_second_look_writes_nothing(place: Place) -> None:
    place.pods(example_pod(role="leader", deletion_cost="1000"))
    await place.reconcile()
    place.now = 60.0
    await place.reconcile()

    assert place.api.written == []
    assert place.api.events == ["Trading"]


async def test_the_finalizer_comes_before_anything_that_it_cleans_up(place: Place) -> None:
    place.ask(finalizers=["example.com/other"])
    place.api.refusal[names.KIND] = ObjectChanged("changed meanwhile")
    with pytest.raises(ObjectChanged):
        await place.reconcile()
    assert place.layers.called == ["require"]

    place.api.refusal.clear()
    await place.reconcile()
    assert place.api.market["metadata"]["finalizers"] == ["example.com/other", names.FINALIZER]


async def test_a_deletion_that_the_watch_tells_of_before_the_answer_to_the_finalizer_is_carried_out(
    place: Place,
) -> None:
    place.ask(finalizers=[])
    place.api.meanwhile = lambda: place.ask(
        deletionTimestamp="2026-01-01T00:00:00Z", resourceVersion="99"
    )
    await place.reconcile()
    await place.reconcile()

    assert place.layers.called == ["require", "delete"]


async def test_a_market_that_goes_before_the_answer_to_the_finalizer_is_not_there_again(
    place: Place,
) -> None:
    place.ask(finalizers=[])
    place.api.meanwhile = lambda: place.watched.drop_market(KEY)
    await place.reconcile()

    assert KEY not in place.watched.markets


async def test_without_the_claim_nothing_is_made(place: Place) -> None:
    held = Fault("HeldByAnother", "-")
    for row in (None, example_row(owner=None), example_row(held=False)):
        place.layers.stored = StoreResult(row=row, conflict=held)
        await place.reconcile()

        assert place.layers.called == ["require", "store"]
        assert place.says(c.CONFLICT) == ("True", "HeldByAnother")
        assert place.says(c.READY) == ("False", "Conflict")


async def test_a_market_that_has_its_claim_is_served_while_postgresql_is_away(
    place: Place,
) -> None:
    await place.reconcile()
    away = Fault("StoreUnavailable", "-")
    place.layers.stored = StoreResult(doubt=away, retry=True)
    outcome = await place.reconcile()
    assert outcome.incomplete
    assert place.layers.called == ["require", "store", "queue", "cluster"]
    assert place.says(c.STORE_READY) == ("True", "InStep")

    place.layers.stored = StoreResult(fault=away)
    await place.reconcile()
    assert place.says(c.STORE_READY) == ("False", "StoreUnavailable")
    assert place.says(c.HALTED) == ("Unknown", "Unknown")


@pytest.mark.parametrize(
    "no_answer",
    [
        StoreResult(doubt=Fault("StoreUnavailable", "-"), retry=True),
        StoreResult(fault=Fault("StoreUnavailable", "-")),
    ],
)
async def test_where_a_market_stands_is_shown_on_while_postgresql_gives_no_answer(
    place: Place, no_answer: StoreResult
) -> None:
    place.pods(example_pod(), example_pod("btc-usdt-matcher-2"))
    await place.reconcile()
    before = dict(place.api.market["status"])
    shown = ("state", "epoch", "lastSequence", "leader", "claim", "standbys")
    assert before.keys() > set(shown)

    place.layers.stored = no_answer
    await place.reconcile()

    after = place.api.market["status"]
    assert {name: after.get(name) for name in shown} == {name: before[name] for name in shown}


async def test_a_market_that_never_had_a_claim_gets_nothing_while_postgresql_is_away(
    place: Place,
) -> None:
    place.layers.stored = StoreResult(fault=Fault("StoreUnavailable", "-"))
    await place.reconcile()

    assert place.layers.called == ["require", "store"]


@pytest.mark.parametrize(
    "refused", [Forbidden("no right on pods"), ObjectInvalid("a webhook says no")]
)
async def test_a_role_that_cannot_be_set_is_told_and_tried_again(
    place: Place, refused: Exception
) -> None:
    place.pods(example_pod())
    place.api.refusal["Pod"] = refused
    outcome = await place.reconcile()
    assert outcome.incomplete
    assert place.says(c.PROGRESSING) == ("False", "Blocked")

    place.api.refusal.clear()
    assert not (await place.reconcile()).incomplete
    assert place.says(c.PROGRESSING) == ("False", "Settled")


async def test_an_api_server_that_fails_once_turns_no_condition(place: Place) -> None:
    place.pods(example_pod(role="leader", deletion_cost="1000"))
    await place.reconcile()
    place.pods(example_pod())
    place.api.refusal["Pod"] = ClusterUnavailable("failed", status=500)

    place.layers.stored = StoreResult(row=example_row(state=TradingState.AUCTION))
    # The worker tries it again after a pause. What there is to tell is told.
    with pytest.raises(ClusterUnavailable):
        await place.reconcile()
    assert place.says(c.PROGRESSING) == ("False", "Settled")
    assert place.api.market["status"]["state"] == "Auction"


async def test_a_paused_market_is_looked_at_and_left_alone(place: Place) -> None:
    place.ask(finalizers=[], annotations={names.ANNOTATION_PAUSED: "true"})
    place.pods(example_pod())
    await place.reconcile()

    assert place.layers.called == ["require", "look at store"]
    assert place.api.written == ["Market btc-usdt"]
    assert "finalizers" in place.api.market["metadata"]
    assert place.api.market["metadata"]["finalizers"] == []
    assert place.says(c.RECONCILIATION_PAUSED) == ("True", "Paused")


async def test_a_market_that_is_only_looked_at_tells_of_outages_and_conflicts_all_the_same(
    place: Place,
) -> None:
    place.ask(annotations={names.ANNOTATION_PAUSED: "true"})
    place.layers.queued = QueueResult(fault=Fault("BrokerUnavailable", "-"))
    place.layers.mirrored = MirrorResult(fault=Fault("CacheUnavailable", "-"))
    await place.reconcile()
    assert place.says(c.QUEUE_READY) == ("False", "BrokerUnavailable")
    assert place.says(c.CACHE_READY) == ("False", "CacheUnavailable")

    # Nothing is known of either, as of an operator that has just begun: what was said stays.
    place.layers.queued, place.layers.mirrored = QueueResult(), MirrorResult(unknown=True)
    await place.reconcile()
    assert place.says(c.QUEUE_READY) == ("False", "BrokerUnavailable")
    assert place.says(c.CACHE_READY) == ("False", "CacheUnavailable")

    place.layers.stored = StoreResult(
        row=example_row(owner=None), conflict=Fault("ForeignMarket", "-")
    )
    await place.reconcile()
    assert place.says(c.CONFLICT) == ("True", "ForeignMarket")
    assert place.says(c.QUEUE_READY) == ("False", "NotStarted")


async def test_what_was_changed_during_a_pause_is_the_markets_own_change(place: Place) -> None:
    await place.reconcile()
    place.ask(generation=2, annotations={names.ANNOTATION_PAUSED: "true"})
    await place.reconcile()
    place.ask(generation=2, annotations={})
    await place.reconcile()
    await place.reconcile()

    assert place.layers.handled == [False, False, True]


async def test_a_change_that_was_refused_is_still_the_markets_own(place: Place) -> None:
    place.layers.kept = ClusterResult(deployment=LED, fault=Fault("Forbidden", "-"), retry=True)
    assert (await place.reconcile()).incomplete
    place.layers.kept = ClusterResult(deployment=LED)
    await place.reconcile()

    assert place.layers.handled == [False, False]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"transport": "Kafka"}, "TransportUnavailable"),
        ({"minQuantity": "0.0005"}, "OutOfRange"),
        ({"state": "Sleeping"}, "Unreadable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_spec_that_cannot_work_starts_nothing(
    place: Place, spec: dict[str, Any], reason: str
) -> None:
    place.ask(spec)
    await place.reconcile()

    assert not {"store", "queue", "cluster"} & set(place.layers.called)
    assert place.says(c.SPEC_VALID) == ("False", reason)


async def test_an_old_crd_stops_changes_of_every_market(place: Place) -> None:
    place.crd_fault = Fault("CrdTooOld", "-")
    await place.reconcile()

    assert place.layers.called == ["require", "look at store"]
    assert place.says(c.SPEC_VALID) == ("False", "CrdTooOld")


async def test_a_deletion_goes_before_a_pause_and_a_bad_spec(place: Place) -> None:
    place.ask(
        {"transport": "Kafka"},
        deletionTimestamp="2026-01-01T00:00:00Z",
        annotations={names.ANNOTATION_PAUSED: "true"},
    )
    await place.reconcile()

    assert place.layers.called == ["require", "delete"]


async def test_a_deletion_without_our_finalizer_is_not_ours(place: Place) -> None:
    place.ask(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["example.com/other"])
    await place.reconcile()

    assert place.layers.called == ["require"]


async def test_who_leads_no_more_does_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise LeadershipLost("another holds the Lease")

    monkeypatch.setattr(place.layers, "require", lost)
    with pytest.raises(LeadershipLost):
        await place.reconcile()

    assert (place.layers.called, place.api.written) == ([], [])


async def test_a_leader_is_looked_for_quickly_and_then_slowly(place: Place) -> None:
    place.layers.stored = StoreResult(row=example_row(lease_holder="", lease_seconds=-1.0))
    place.pods(example_pod())
    assert (await place.reconcile()).again_in == 1.0
    place.now = 61.0
    assert (await place.reconcile()).again_in == 5.0

    place.pods(example_pod(ready=False, node=""))
    assert (await place.reconcile()).again_in is None


async def test_a_mirror_is_waited_for_until_it_was_seen_once(place: Place) -> None:
    place.pods(example_pod(role="leader", deletion_cost="1000"))
    place.layers.mirrored = MirrorResult()
    assert (await place.reconcile()).again_in == 1.0
    assert place.says(c.CACHE_READY) == ("False", "NotStarted")

    place.layers.mirrored = MirrorResult(seen=True)
    assert (await place.reconcile()).again_in is None
    assert place.says(c.CACHE_READY) == ("True", "InStep")

    # As to an operator that has just started.
    place.layers.mirrored = MirrorResult()
    assert (await place.reconcile()).again_in is None
    assert place.layers.mirror_looks == 2
    assert place.says(c.CACHE_READY) == ("True", "InStep")


async def test_what_was_restored_is_told_and_counted(place: Place) -> None:
    place.layers.queued = QueueResult(in_step=True, restored=(("queue", "queue a: missing"),))
    await place.reconcile()

    assert "Restored" in place.api.events
    sample = place.registry.get_sample_value
    assert sample("gomatch_operator_drift_repaired_total", {"kind": "queue"}) == 1


async def test_a_queue_that_stood_is_known_at_the_next_look_and_one_that_did_not_is_not(
    place: Place,
) -> None:
    place.layers.queued = QueueResult(fault=Fault("BrokerRefused", "-"), retry=True)
    await place.reconcile()
    place.layers.queued = QueueResult(depth=0, consumers=1, in_step=True)
    for _ in range(2):
        await place.reconcile()
    place.ask({"queue": {"maxLength": 5}}, generation=2)
    await place.reconcile()

    assert place.layers.known == [False, False, True, False]


async def test_a_row_that_was_taken_into_account_is_no_news_to_the_sweep(place: Place) -> None:
    market = place.watched.markets[KEY]
    await place.reconcile()

    assert place.memories.of(market).seen == signature(example_row())


async def test_what_an_outage_turns_in_every_market_is_no_event_of_each(place: Place) -> None:
    await place.reconcile()
    place.api.events.clear()
    place.outages.failed("PostgreSQL", Fault("StoreUnavailable", "-"))
    place.now = 11.0
    place.outages.failed("PostgreSQL", Fault("StoreUnavailable", "-"))
    place.layers.stored = StoreResult(fault=Fault("StoreUnavailable", "-"))
    await place.reconcile()
    assert place.says(c.READY) == ("False", "StoreNotReady")

    place.outages.worked("PostgreSQL")
    place.layers.stored = StoreResult(row=example_row())
    await place.reconcile()
    assert place.says(c.READY) == ("True", "Trading")
    assert place.api.events == []


async def test_a_mirror_is_asked_for_only_by_who_has_the_row(place: Place) -> None:
    request = Action(layer="cache", verb="enter", kind="refresh request", name="a", why="gone")
    place.layers.mirrored = MirrorResult(fault=Fault("Rebuilding", "-"), request=request)
    await place.reconcile()
    assert "refresh" in place.layers.called

    place.layers.stored = StoreResult(fault=Fault("StoreUnavailable", "-"))
    await place.reconcile()
    assert "refresh" not in place.layers.called

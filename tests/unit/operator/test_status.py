"""What is written into the status of a Market, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from msgspec.structs import replace

from gomatch_operator import conditions as c
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.conditions import Condition
from gomatch_operator.evaluate import Facts, conditions_of
from gomatch_operator.market import Market, read_market
from gomatch_operator.outages import Fault
from gomatch_operator.status import StatusWriter, build_status, status_patch, transitions
from tests.fixtures.example_facts import example_facts, example_pod, example_row
from tests.fixtures.example_markets import market_body

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def with_status(status: Mapping[str, Any]) -> Market:
    return read_market({**market_body(), "status": dict(status)})


def built(facts: Facts, now: datetime = NOON) -> dict[str, Any]:
    return build_status(facts, conditions_of(facts), now=now)


def condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    [found] = [each for each in status["conditions"] if each["type"] == kind]
    return dict(found)


def test_a_market_that_trades_shows_where_it_stands() -> None:
    standby = example_pod("btc-usdt-matcher-2")
    leaving = example_pod("btc-usdt-matcher-3", deleting=True)
    status = built(example_facts(pods=(example_pod(), standby, leaving), depth=4, consumers=1))

    assert [each["type"] for each in status["conditions"]] == list(c.TYPES)
    assert {name: status[name] for name in status if name != "conditions"} == {
        "observedGeneration": 1,
        "selector": "app.kubernetes.io/name=gomatch-matcher,gomatch.io/market=btc-usdt,"
        "gomatch.io/role=standby",
        "standbys": 1,
        "readyReplicas": 2,
        "state": "Running",
        "epoch": 3,
        "lastSequence": 11,
        "leader": "btc-usdt-matcher-1",
        "claim": {"installation": "test", "since": "2026-01-01T00:00:00Z"},
        "image": "matcher:1",
        "queue": {"name": "gomatch.orders.BTC-USDT", "depth": 4, "consumers": 1},
    }


def test_only_a_new_status_of_a_condition_is_a_transition_in_time() -> None:
    before = built(example_facts(row=example_row(lease_holder="")))
    facts = example_facts(market=with_status(before))
    after = built(facts, LATER)

    assert condition(after, c.READY)["lastTransitionTime"] == "2026-01-01T13:00:00Z"
    assert condition(after, c.STORE_READY)["lastTransitionTime"] == "2026-01-01T12:00:00Z"


def test_what_cannot_be_told_now_stays_as_it_was() -> None:
    before = built(example_facts())
    facts = example_facts(market=with_status(before), row=None, unknown={c.STORE_READY})

    assert condition(built(facts, LATER), c.STORE_READY) == condition(before, c.STORE_READY)


def test_what_was_known_stays_while_postgresql_is_away() -> None:
    before = built(example_facts())
    away = Fault("StoreUnavailable", "no answer")
    after = built(example_facts(market=with_status(before), row=None, store_fault=away))

    assert {name: after[name] for name in ("epoch", "leader", "claim", "state")} == {
        name: before[name] for name in ("epoch", "leader", "claim", "state")
    }


def test_what_another_holds_is_not_shown() -> None:
    before = built(example_facts())
    taken = Fault("HeldByAnother", "-")
    after = built(example_facts(market=with_status(before), claimed=False, conflict=taken))

    assert not {"epoch", "leader", "claim", "state", "lastSequence"} & after.keys()
    assert status_patch(before, after, volatile_too=True)["claim"] is None


def test_a_long_message_is_cut() -> None:
    status = built(example_facts(queue_fault=Fault("BrokerRefused", "x" * 5_000)))

    assert len(condition(status, c.QUEUE_READY)["message"]) == 1_024


def test_nothing_is_patched_when_nothing_differs() -> None:
    status = built(example_facts())

    assert status_patch(status, status, volatile_too=True) == {}


def test_volatile_fields_wait_and_go_with_what_does_not() -> None:
    before = built(example_facts())
    busy = built(example_facts(row=example_row(sequence=99), depth=5))
    moved = built(example_facts(row=example_row(sequence=99, lease_holder="another/1")))

    assert status_patch(before, busy, volatile_too=False) == {}
    assert status_patch(before, busy, volatile_too=True).keys() == {"lastSequence", "queue"}
    assert {"leader", "lastSequence"} <= status_patch(before, moved, volatile_too=False).keys()


def test_transitions_are_other_statuses_and_reasons() -> None:
    before = {"conditions": [{"type": c.READY, "status": "False", "reason": "Conflict"}]}
    same = Condition(c.READY, "False", "Conflict", "another message")
    other = Condition(c.READY, "False", "SpecInvalid", "-")
    new = Condition(c.CONFLICT, "True", "HeldByAnother", "-")

    assert transitions(before, [same]) == []
    assert transitions(before, [other, new]) == [
        (other, "False", "Conflict"),
        (new, "", ""),
    ]


class Recorder:
    """Takes patches of a status as an API server would."""

    def __init__(self) -> None:
        self.patches: list[dict[str, Any]] = []

    async def patch_status(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, uid: str
    ) -> dict[str, Any]:
        self.patches.append(dict(patch))
        return {**market_body(), "status": dict(patch)}


async def test_volatile_fields_are_written_once_in_an_interval() -> None:
    now = [0.0]
    recorder = Recorder()
    writer = StatusWriter(cast("ClusterApi", recorder), interval=30, clock=lambda: now[0])
    before = built(example_facts())
    market = with_status(before)
    for second in range(61):
        now[0] = float(second)
        sequence = {**before, "lastSequence": 100 + second}
        await writer.write(market, sequence)

    assert [patch["lastSequence"] for patch in recorder.patches] == [100, 130, 160]


async def test_a_new_leader_is_written_at_once() -> None:
    recorder = Recorder()
    writer = StatusWriter(cast("ClusterApi", recorder), interval=30, clock=lambda: 1.0)
    before = built(example_facts())
    market = with_status(before)
    await writer.write(market, {**before, "lastSequence": 12})
    await writer.write(market, {**before, "lastSequence": 13})
    await writer.write(market, {**before, "lastSequence": 14, "leader": "another"})

    assert recorder.patches == [{"lastSequence": 12}, {"lastSequence": 14, "leader": "another"}]


async def test_a_market_made_anew_waits_for_nothing_that_was_written_of_the_one_before() -> None:
    recorder = Recorder()
    writer = StatusWriter(cast("ClusterApi", recorder), interval=30, clock=lambda: 1.0)
    before = built(example_facts())
    first = with_status(before)
    for market in (first, replace(first, uid="another")):
        await writer.write(market, {**before, "lastSequence": 12})
    writer.forget(first.key)
    await writer.write(first, {**before, "lastSequence": 13})

    assert [patch["lastSequence"] for patch in recorder.patches] == [12, 12, 13]

"""What is remembered of a Market, and what of its row is worth a look."""

from __future__ import annotations

from typing import Any

import pytest

from gomatch.engine import Reason, TradingState
from gomatch_operator import conditions as c
from gomatch_operator.market import read_market
from gomatch_operator.memory import Memories, signature
from tests.fixtures.example_facts import example_row
from tests.fixtures.example_markets import example_market, market_body


@pytest.mark.parametrize(
    "changes",
    [
        {"held": False},
        {"owner": None},
        {"requested_state": TradingState.HALTED},
        {"resume": "once"},
        {"state": TradingState.HALTED},
        {"state_reason": Reason.PRICE_BAND},
        {"epoch": 4},
        {"lease_holder": "another/1"},
        {"lease_seconds": -1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_row_is_another_when_a_condition_or_an_action_would_be(changes: dict[str, Any]) -> None:
    assert signature(example_row(**changes)) != signature(example_row())


@pytest.mark.parametrize(
    "changes",
    [{"accepted": 9}, {"applied": 9}, {"sequence": 99}, {"chain": b"x"}, {"lease_seconds": 1.0}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_every_order_changes_is_no_news(changes: dict[str, Any]) -> None:
    assert signature(example_row(**changes)) == signature(example_row())


def test_a_market_of_the_same_name_is_another() -> None:
    memories = Memories(installation="test")
    memories.of(example_market()).claimed = True

    assert not memories.of(example_market(uid="another")).claimed


def test_the_status_is_what_a_restarted_operator_remembers() -> None:
    status = {"claim": {"installation": "test"}, "observedGeneration": 1}
    ours = read_market({**market_body(), "status": status})
    memories, others = Memories(installation="test"), Memories(installation="another")

    assert memories.of(ours).claimed
    assert memories.of(ours).queued == 100_000
    assert memories.of(ours).carried_out == ours.generation
    assert not others.of(ours).claimed


def test_what_was_seen_is_remembered_until_the_market_is_forgotten() -> None:
    memories = Memories(installation="test")
    market = example_market()
    memories.seen(market, example_row())
    assert memories.of(market).seen == signature(example_row())
    memories.seen(market, None)
    assert memories.of(market).seen is not None

    memories.forget(market.key)
    assert memories.of(market).seen is None
    memories.forget(example_market(name="unknown").key)


@pytest.mark.parametrize(
    ("said", "carried_out"),
    [
        ([(c.RECONCILIATION_PAUSED, "True", "Paused")], None),
        ([(c.CONFLICT, "True", "ForeignObject")], None),
        ([(c.SPEC_VALID, "False", "CrdTooOld")], None),
        ([(c.STORE_READY, "True", "InStep"), (c.PROGRESSING, "False", "Blocked")], None),
        ([(c.STORE_READY, "False", "StoreUnavailable"), (c.PROGRESSING, "False", "Blocked")], 1),
        ([(c.STORE_READY, "True", "InStep"), (c.PROGRESSING, "True", "RolloutPending")], 1),
    ],
    ids=lambda value: value[-1][-1] if isinstance(value, list) else "",
)
def test_a_spec_that_was_only_looked_at_is_not_taken_for_carried_out(
    said: list[tuple[str, str, str]], carried_out: int | None
) -> None:
    status = {
        "claim": {"installation": "test"},
        "observedGeneration": 1,
        "conditions": [
            {"type": type_, "status": status, "reason": reason} for type_, status, reason in said
        ],
    }
    market = read_market({**market_body(), "status": status})

    assert Memories(installation="test").of(market).carried_out == carried_out

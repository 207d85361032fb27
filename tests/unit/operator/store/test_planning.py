"""What is entered for a Market, as its row stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from gomatch.engine import Reason, TradingState
from gomatch.store import ClaimedMarket
from gomatch_operator.market import definition
from gomatch_operator.store import ClaimsSource, StoreReconciler, Wanted
from tests.fixtures.example_facts import OWNER, example_row
from tests.fixtures.example_markets import PLAIN_SPEC, example_market

STRANGER = replace(OWNER, namespace="elsewhere", uid="another")
BAND = {"state": TradingState.HALTED, "state_reason": Reason.PRICE_BAND}


def wanted(state: TradingState = TradingState.RUNNING, resume: str | None = None) -> Wanted:
    spec = example_market().spec
    assert spec is not None
    return Wanted(owner=OWNER, definition=definition(spec), state=state, resume=resume, adopt=False)


def planned(row: ClaimedMarket | None, want: Wanted | None = None) -> list[tuple[str, str]]:
    reconciler = StoreReconciler(cast("ClaimsSource", None), backlog_limit=1)
    return [(each.verb, each.kind) for each in reconciler.plan(want or wanted(), row)]


def test_a_market_as_it_shall_be_has_nothing_entered() -> None:
    assert planned(example_row()) == []


@pytest.mark.parametrize(
    "row",
    [
        None,
        example_row(held=False),
        example_row(owner=None),
        example_row(owner=STRANGER),
        example_row(owner=replace(OWNER, uid="of the one before")),
    ],
    ids=["free", "retained", "foreign", "another's", "the one before's"],
)
def test_nothing_but_the_claim_is_entered_for_a_symbol_that_is_not_the_markets(
    row: ClaimedMarket | None,
) -> None:
    assert planned(row, wanted(TradingState.HALTED, "once")) == [("create", "claim")]


def test_a_removal_that_the_market_before_began_is_finished_and_no_other() -> None:
    before = replace(OWNER, uid="of the one before")

    assert planned(example_row(owner=before, removing=True)) == [("delete", "market")]
    assert planned(example_row(owner=STRANGER, removing=True)) == [("create", "claim")]


def test_another_definition_is_entered_and_the_same_number_written_otherwise_is_not() -> None:
    same = example_market(spec={**PLAIN_SPEC, "tickSize": "0.010"}).spec
    other = example_market(spec={**PLAIN_SPEC, "maxQuantity": "5"}).spec
    assert same is not None
    assert other is not None

    assert planned(example_row(), replace(wanted(), definition=definition(same))) == []
    assert planned(example_row(), replace(wanted(), definition=definition(other))) == [
        ("enter", "definition")
    ]


@pytest.mark.parametrize("state", list(TradingState))
def test_a_state_is_entered_when_it_is_another_than_the_last_entered(state: TradingState) -> None:
    entered = planned(example_row(requested_state=TradingState.AUCTION), wanted(state))

    assert entered == ([] if state is TradingState.AUCTION else [("enter", "state")])


@pytest.mark.parametrize(
    "changes",
    [
        BAND,
        {"state": TradingState.HALTED, "state_reason": Reason.ENGINE_ERROR},
        {"state": TradingState.HALTED, "state_reason": Reason.MANUAL},
        {"state": TradingState.HALTED, "state_reason": None},
        {"state": TradingState.CANCEL_ONLY, "state_reason": Reason.MANUAL},
    ],
    ids=["price band", "engine", "by hand", "unknown", "by hand, another state"],
)
def test_what_the_market_became_by_others_is_not_undone(changes: dict[str, Any]) -> None:
    assert planned(example_row(**changes)) == []
    assert planned(example_row(resume="once", **changes), wanted(resume="once")) == []


@pytest.mark.parametrize("changes", [BAND, {**BAND, "state_reason": Reason.MANUAL}])
def test_a_state_asked_for_waits_until_a_halt_by_others_ends(changes: dict[str, Any]) -> None:
    before = {"requested_state": TradingState.CANCEL_ONLY}

    for state in (TradingState.RUNNING, TradingState.AUCTION):
        assert planned(example_row(**before, **changes), wanted(state)) == []
        assert planned(example_row(**before, **changes), wanted(state, "go on")) == [
            ("enter", "state")
        ]
        assert planned(example_row(**before), wanted(state)) == [("enter", "state")]
    for state in (TradingState.HALTED, TradingState.CLOSED):
        assert planned(example_row(**before, **changes), wanted(state)) == [("enter", "state")]


@pytest.mark.parametrize("reason", [Reason.REQUESTED, Reason.PRICE_BAND, None])
def test_a_halt_that_the_market_asked_for_ends_by_another_state(reason: Reason | None) -> None:
    halted = example_row(
        requested_state=TradingState.HALTED, state=TradingState.HALTED, state_reason=reason
    )

    assert planned(halted) == [("enter", "state")]


def test_each_new_text_of_the_annotation_resumes_once() -> None:
    assert planned(example_row(**BAND), wanted(resume="once")) == [("enter", "state")]
    assert planned(example_row(resume="once", **BAND), wanted(resume="once")) == []
    assert planned(example_row(resume="once", **BAND), wanted(resume=None)) == []
    assert planned(example_row(resume="once", **BAND), wanted(resume="twice")) == [
        ("enter", "state")
    ]

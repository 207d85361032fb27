"""What the conditions say of what a reconcile found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gomatch.engine import Reason, TradingState
from gomatch_operator import conditions as c
from gomatch_operator.evaluate import conditions_of
from gomatch_operator.market import read_market
from gomatch_operator.outages import Fault
from gomatch_operator.watched import DeploymentStatus
from tests.fixtures.example_facts import OWNER, POD, example_facts, example_pod, example_row
from tests.fixtures.example_markets import PLAIN_SPEC, example_market, market_body

LEADERLESS = example_row(lease_holder="", lease_seconds=-1.0)
NONE_READY = DeploymentStatus(image="matcher:1", desired=1, updated=1, total=1)


def said(**changes: Any) -> dict[str, tuple[str, str]]:
    return {
        each.type: (each.status, each.reason) for each in conditions_of(example_facts(**changes))
    }


def message(kind: str, **changes: Any) -> str:
    [found] = [each for each in conditions_of(example_facts(**changes)) if each.type == kind]
    return found.message


def test_a_market_that_trades_says_all_conditions_in_their_order() -> None:
    assert list(said().items()) == [
        (c.READY, ("True", "Trading")),
        (c.SPEC_VALID, ("True", "Valid")),
        (c.STORE_READY, ("True", "InStep")),
        (c.MATCHER_AVAILABLE, ("True", "Leading")),
        (c.QUEUE_READY, ("True", "InStep")),
        (c.CACHE_READY, ("True", "InStep")),
        (c.PROGRESSING, ("False", "Settled")),
        (c.HALTED, ("False", "NotHalted")),
        (c.DRAINING, ("False", "NotDeleting")),
        (c.CONFLICT, ("False", "NoConflict")),
        (c.RECONCILIATION_PAUSED, ("False", "Active")),
    ]


def test_queue_and_cache_degrade_and_do_not_stop_the_market() -> None:
    found = said(queue_fault=Fault("BrokerUnavailable", "-"), cache_fault=Fault("Rebuilding", "-"))

    assert found[c.QUEUE_READY] == ("False", "BrokerUnavailable")
    assert found[c.CACHE_READY] == ("False", "Rebuilding")
    assert found[c.READY] == ("True", "Trading")


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({"conflict": Fault("HeldByAnother", "-")}, "Conflict"),
        ({"spec_fault": Fault("OutOfRange", "-")}, "SpecInvalid"),
        ({"store_fault": Fault("BacklogFull", "-")}, "StoreNotReady"),
        ({"store_fault": Fault("IdentityMismatch", "-")}, "IdentityMismatch"),
        ({"row": LEADERLESS}, "MatcherNotAvailable"),
        ({"row": None, "store_fault": Fault("StoreUnavailable", "-")}, "StoreNotReady"),
        ({"draining": Fault("Closing", "-"), "market": None}, "Deleting"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ready_names_what_stops_the_market(changes: dict[str, Any], ready: str) -> None:
    if "market" in changes:
        deleted = example_market()
        changes = {**changes, "market": type(deleted)(**{**_fields(deleted), "deleting": True})}

    assert said(**changes)[c.READY] == ("False", ready)


def _fields(market: Any) -> dict[str, Any]:
    return {name: getattr(market, name) for name in market.__struct_fields__}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cluster_fault": Fault("Forbidden", "-")}, "Forbidden"),
        ({"deployment": None}, "NotStarted"),
        ({"deployment": DeploymentStatus(failure="x: exceeded quota: y")}, "QuotaExceeded"),
        ({"deployment": DeploymentStatus(failure="no such class")}, "ClusterRefused"),
        ({"mount_problem": "secret not found"}, "SecretNotFound"),
        ({"pods": (example_pod(ready=False, waiting_reason="ErrImagePull"),)}, "ImagePullFailed"),
        ({"pods": (example_pod(ready=False, waiting_reason="CrashLoopBackOff"),)}, "CrashLooping"),
        (
            {"pods": (example_pod(ready=False, waiting_reason="CreateContainerConfigError"),)},
            "SecretNotFound",
        ),
        ({"pods": (example_pod(ready=False, waiting_reason="ContainerCreating"),)}, "Starting"),
        ({"pods": (example_pod(ready=False, unschedulable="no node"),)}, "Unschedulable"),
        ({"pods": (example_pod(),)}, "NoLeader"),
        ({"pods": ()}, "Starting"),
    ],
)
def test_without_a_leader_it_says_why(changes: dict[str, Any], reason: str) -> None:
    found = said(**{"row": LEADERLESS, "deployment": NONE_READY, **changes})

    assert found[c.MATCHER_AVAILABLE] == ("False", reason)


def test_a_leader_counts_whatever_its_pods_say() -> None:
    waits = example_pod(ready=False, waiting_reason="ImagePullBackOff")

    assert said(pods=(waits,))[c.MATCHER_AVAILABLE] == ("True", "Leading")
    assert POD in message(c.MATCHER_AVAILABLE)


def test_a_lease_that_has_run_out_is_nobodys() -> None:
    expired = example_row(lease_seconds=-0.1)

    assert said(row=expired)[c.MATCHER_AVAILABLE] == ("False", "NoLeader")


@pytest.mark.parametrize(
    ("state", "reason", "wanted", "halted"),
    [
        (TradingState.RUNNING, None, "Running", ("False", "NotHalted")),
        (TradingState.CLOSED, Reason.REQUESTED, "Closed", ("False", "NotHalted")),
        (TradingState.HALTED, Reason.REQUESTED, "Halted", ("True", "Requested")),
        (TradingState.HALTED, Reason.REQUESTED, "Running", ("True", "Requested")),
        (TradingState.HALTED, None, "Halted", ("True", "Requested")),
        (TradingState.HALTED, Reason.MANUAL, "Running", ("True", "Manual")),
        (TradingState.HALTED, Reason.MANUAL, "Halted", ("True", "Manual")),
        (TradingState.HALTED, Reason.PRICE_BAND, "Halted", ("True", "PriceBand")),
        (TradingState.HALTED, Reason.ENGINE_ERROR, "Running", ("True", "EngineError")),
        (TradingState.HALTED, Reason.INTERNAL_ERROR, "Running", ("True", "EngineError")),
    ],
)
def test_halted_says_who_did_it(
    state: TradingState, reason: Reason | None, wanted: str, halted: tuple[str, str]
) -> None:
    market = example_market({**PLAIN_SPEC, "state": wanted})
    row = example_row(state=state, state_reason=reason)

    assert said(market=market, row=row)[c.HALTED] == halted


def test_without_postgresql_a_claimed_market_may_be_halted_or_not() -> None:
    found = said(row=None, store_fault=Fault("StoreUnavailable", "-"))

    assert found[c.HALTED] == ("Unknown", "Unknown")
    assert found[c.CONFLICT] == ("Unknown", "Unknown")


@pytest.mark.parametrize(
    ("changes", "progressing"),
    [
        ({"deployment": None}, ("True", "Reconciling")),
        ({"deployment": NONE_READY}, ("True", "Reconciling")),
        (
            {"deployment": DeploymentStatus(desired=1, updated=1, ready=1, total=2)},
            ("True", "RollingOut"),
        ),
        (
            {"deployment": DeploymentStatus(desired=1, updated=1, ready=1, total=1, stale=True)},
            ("True", "Reconciling"),
        ),
        ({"rollout": Fault("RolloutPending", "-")}, ("True", "RolloutPending")),
        ({"cluster_fault": Fault("QuotaExceeded", "-")}, ("False", "Blocked")),
        ({"conflict": Fault("ForeignObject", "-")}, ("False", "Blocked")),
        ({"store_fault": Fault("BacklogFull", "-")}, ("False", "Blocked")),
    ],
)
def test_progressing_says_what_is_under_way(
    changes: dict[str, Any], progressing: tuple[str, str]
) -> None:
    assert said(**changes)[c.PROGRESSING] == progressing


def test_nothing_is_mirrored_before_a_matcher_has_led() -> None:
    assert said(row=example_row(epoch=0))[c.CACHE_READY] == ("False", "NotStarted")


def test_a_mirror_that_was_not_seen_yet_is_not_in_step() -> None:
    assert said(mirrored=False)[c.CACHE_READY] == ("False", "NotStarted")
    assert said(mirrored=True)[c.CACHE_READY] == ("True", "InStep")


def test_what_cannot_be_told_stays_as_it_was_and_is_said_the_first_time() -> None:
    told = read_market({**market_body(), "status": {"conditions": [{"type": c.STORE_READY}]}})

    assert c.STORE_READY not in said(market=told, unknown={c.STORE_READY})
    assert c.STORE_READY in said(unknown={c.STORE_READY})


def test_a_claim_of_another_holds_queue_and_cache_back() -> None:
    theirs = example_row(owner=None)
    found = said(row=theirs, claimed=False, conflict=Fault("ForeignMarket", "-"), deployment=None)

    assert found[c.STORE_READY] == ("False", "NotClaimed")
    assert found[c.QUEUE_READY] == ("False", "NotStarted")
    assert found[c.CACHE_READY] == ("False", "NotStarted")
    assert found[c.HALTED] == ("False", "NotHalted")


def test_every_reason_that_is_said_is_documented() -> None:
    variations: list[dict[str, Any]] = [
        {},
        {"claimed": False, "row": None},
        {"claimed": False, "row": None, "spec_fault": Fault("OutOfRange", "-")},
        {"paused": True},
        {"row": LEADERLESS},
        {"row": example_row(owner=OWNER, state=TradingState.HALTED)},
    ]
    for changes in variations:
        for kind, (_, reason) in said(**changes).items():
            assert reason in c.REASONS[kind], (kind, reason)


def test_the_leader_of_who_has_the_symbol_is_none_of_this_market() -> None:
    facts = example_facts(claimed=False, deployment=None, pods=())

    assert facts.leader == ""
    assert said(claimed=False, deployment=None, pods=())[c.MATCHER_AVAILABLE] == (
        "False",
        "NotStarted",
    )


def test_a_state_that_waits_for_the_end_of_a_halt_is_told() -> None:
    halted = example_row(state=TradingState.HALTED, state_reason=Reason.PRICE_BAND)
    asked = replace(halted, requested_state=TradingState.CANCEL_ONLY)

    assert "when the halt ends" in message(c.STORE_READY, row=asked)
    assert "when the halt ends" not in message(c.STORE_READY, row=halted)

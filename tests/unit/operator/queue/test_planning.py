"""Every way in which a broker can differ from what is desired, and what is planned about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action
from gomatch_operator.queue.desired_queue import USUAL_LENGTH, DesiredQueue
from gomatch_operator.queue.inventory import QueueInventory, literal_pattern
from gomatch_operator.queue.planning import (
    USUAL_POLICY,
    QueuePlan,
    plan_queue,
    plan_removal,
    plan_shared,
)
from gomatch_operator.queue.rows import BindingRow, ExchangeRow, PolicyRow, QueueRow

SYMBOL = "BTC-USDT"
NAME = "gomatch.orders.BTC-USDT"
USUAL = DesiredQueue(symbol=SYMBOL, max_length=USUAL_LENGTH)
SHORT = DesiredQueue(symbol=SYMBOL, max_length=500)
UNLIMITED = DesiredQueue(symbol=SYMBOL, max_length=0)


@dataclass(frozen=True)
class Broker:
    """What is there, as rows that a test changes."""

    queues: tuple[QueueRow, ...] = ()
    exchanges: tuple[ExchangeRow, ...] = ()
    bindings: tuple[BindingRow, ...] = ()
    policies: tuple[PolicyRow, ...] = ()

    @property
    def inventory(self) -> QueueInventory:
        return QueueInventory.of(
            queues=self.queues,
            exchanges=self.exchanges,
            bindings=self.bindings,
            policies=self.policies,
        )

    def with_policy(self, **fields: Any) -> Broker:
        return replace(self, policies=(*self.policies, PolicyRow(**fields)))


QUEUE = QueueRow(
    name=NAME, durable=True, type="quorum", arguments=topology.queue_arguments(0), messages=7
)
BINDING = BindingRow(source="gomatch.orders", destination=NAME, routing_key=SYMBOL)
DEAD = QueueRow(
    name="gomatch.dead", durable=True, type="quorum", arguments=topology.dead_letter_arguments()
)
DEAD_BINDING = BindingRow(source="gomatch.dead", destination="gomatch.dead", routing_key="any")
WHOLE = Broker(
    queues=(QUEUE, DEAD),
    exchanges=(
        ExchangeRow(name="gomatch.orders", type="direct", durable=True),
        ExchangeRow(name="gomatch.dead", type="fanout", durable=True),
    ),
    bindings=(BINDING, DEAD_BINDING),
    policies=(USUAL_POLICY,),
)


def planned(plan: QueuePlan) -> list[tuple[str, str, str]]:
    return [(action.verb, action.kind, action.name) for action in plan.actions]


def after(inventory: QueueInventory, *plans: QueuePlan) -> QueueInventory:
    for plan in plans:
        for action in plan.actions:
            inventory = inventory.with_applied(action)
    return inventory


def without(broker: Broker, part: str, name: str) -> Broker:
    rows = [
        row
        for row in getattr(broker, part)
        if name not in {getattr(row, "name", ""), getattr(row, "destination", "")}
    ]
    return replace(broker, **{part: tuple(rows)})


def changed(broker: Broker, part: str, name: str, **fields: Any) -> Broker:
    rows = [
        msgspec.structs.replace(row, **fields) if row.name == name else row
        for row in getattr(broker, part)
    ]
    return replace(broker, **{part: tuple(rows)})


SHARED_DRIFT: list[tuple[str, Broker, list[tuple[str, str, str]]]] = [
    ("nothing", WHOLE, []),
    (
        "an empty broker",
        Broker(),
        [
            ("create", "exchange", "gomatch.orders"),
            ("create", "exchange", "gomatch.dead"),
            ("create", "queue", "gomatch.dead"),
            ("create", "binding", "gomatch.dead"),
            ("create", "policy", "gomatch.orders"),
        ],
    ),
    (
        "orders exchange",
        without(WHOLE, "exchanges", "gomatch.orders"),
        [("create", "exchange", "gomatch.orders")],
    ),
    (
        "dead exchange",
        without(WHOLE, "exchanges", "gomatch.dead"),
        [("create", "exchange", "gomatch.dead")],
    ),
    (
        "dead queue",
        without(WHOLE, "queues", "gomatch.dead"),
        [("create", "queue", "gomatch.dead")],
    ),
    (
        "dead binding",
        without(WHOLE, "bindings", "gomatch.dead"),
        [("create", "binding", "gomatch.dead")],
    ),
    (
        "the usual policy",
        without(WHOLE, "policies", "gomatch.orders"),
        [("create", "policy", "gomatch.orders")],
    ),
    (
        "its definition",
        changed(WHOLE, "policies", "gomatch.orders", definition={"max-length": 5}),
        [("apply", "policy", "gomatch.orders")],
    ),
    (
        "its pattern",
        changed(WHOLE, "policies", "gomatch.orders", pattern="^never$"),
        [("apply", "policy", "gomatch.orders")],
    ),
]


@pytest.mark.parametrize(
    ("broker", "expected"),
    [(broker, expected) for _, broker, expected in SHARED_DRIFT],
    ids=[name for name, _, _ in SHARED_DRIFT],
)
def test_what_all_markets_share_is_put_back(
    broker: Broker, expected: list[tuple[str, str, str]]
) -> None:
    plan = plan_shared(broker.inventory, known=True)

    assert planned(plan) == expected
    assert all(action.drift for action in plan.actions)
    assert not plan.foreign
    assert plan_shared(after(broker.inventory, plan), known=True) == QueuePlan()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gomatch.orders", {"type": "topic"}),
        ("gomatch.orders", {"durable": False}),
        ("gomatch.orders", {"auto_delete": True}),
        ("gomatch.dead", {"type": "direct"}),
        ("gomatch.dead", {"internal": True}),
    ],
)
def test_an_exchange_with_other_properties_is_somebody_elses(
    name: str, fields: dict[str, Any]
) -> None:
    plan = plan_shared(changed(WHOLE, "exchanges", name, **fields).inventory, known=True)

    assert name in plan.foreign
    assert not plan.actions


def test_a_dead_letter_queue_with_other_arguments_keeps_its_letters() -> None:
    broker = changed(WHOLE, "queues", "gomatch.dead", arguments={"x-queue-type": "quorum"})

    plan = plan_shared(broker.inventory, known=True)

    assert not plan.actions
    assert "gomatch.dead has other arguments" in plan.note


LENGTHENED = {**topology.queue_arguments(0), "x-max-length": 9}
OWN_POLICY = PolicyRow(
    name=NAME,
    pattern=r"^gomatch\.orders\.BTC-USDT$",
    apply_to="queues",
    priority=20,
    definition={"max-length": 500, "overflow": "reject-publish"},
)
WITH_OWN_POLICY = replace(WHOLE, policies=(USUAL_POLICY, OWN_POLICY))
QUEUE_DRIFT: list[tuple[str, DesiredQueue, Broker, list[tuple[str, str, str]]]] = [
    ("nothing", USUAL, WHOLE, []),
    ("nothing, own length", SHORT, WITH_OWN_POLICY, []),
    (
        "the queue",
        USUAL,
        without(without(WHOLE, "queues", NAME), "bindings", NAME),
        [("create", "queue", NAME), ("create", "binding", NAME)],
    ),
    ("the binding", USUAL, without(WHOLE, "bindings", NAME), [("create", "binding", NAME)]),
    (
        "a binding with another key",
        USUAL,
        replace(WHOLE, bindings=(msgspec.structs.replace(BINDING, routing_key="X"),)),
        [("create", "binding", NAME)],
    ),
    (
        "arguments",
        USUAL,
        changed(WHOLE, "queues", NAME, arguments=LENGTHENED),
        [("replace", "queue", NAME), ("create", "binding", NAME)],
    ),
    (
        "the type",
        USUAL,
        changed(WHOLE, "queues", NAME, type="classic", arguments={}),
        [("replace", "queue", NAME), ("create", "binding", NAME)],
    ),
    (
        "auto-delete",
        USUAL,
        changed(WHOLE, "queues", NAME, auto_delete=True),
        [("replace", "queue", NAME), ("create", "binding", NAME)],
    ),
    ("own policy missing", SHORT, WHOLE, [("create", "policy", NAME)]),
    ("no limit", UNLIMITED, WHOLE, [("create", "policy", NAME)]),
    ("back to the usual length", USUAL, WITH_OWN_POLICY, [("delete", "policy", NAME)]),
    (
        "own policy's length",
        SHORT,
        changed(WITH_OWN_POLICY, "policies", NAME, definition={"max-length": 9}),
        [("apply", "policy", NAME)],
    ),
    (
        "own policy's priority",
        SHORT,
        changed(WITH_OWN_POLICY, "policies", NAME, priority=0),
        [("apply", "policy", NAME)],
    ),
]


@pytest.mark.parametrize(
    ("desired", "broker", "expected"),
    [row[1:] for row in QUEUE_DRIFT],
    ids=[row[0] for row in QUEUE_DRIFT],
)
def test_a_markets_queue_is_put_back_and_then_nothing_is_planned(
    desired: DesiredQueue, broker: Broker, expected: list[tuple[str, str, str]]
) -> None:
    plan = plan_queue(desired, broker.inventory, known=True)

    assert planned(plan) == expected
    assert any(action.drift for action in plan.actions) == bool(expected)
    assert plan_queue(desired, after(broker.inventory, plan), known=True) == QueuePlan()


def test_what_is_made_the_first_time_is_no_drift() -> None:
    shared = plan_shared(Broker().inventory, known=False)
    plan = plan_queue(SHORT, after(Broker().inventory, shared), known=False)

    assert [each.kind for each in plan.actions] == ["policy", "queue", "binding"]
    assert not any(action.drift for action in (*shared.actions, *plan.actions))


def test_no_limit_is_a_policy_without_a_length() -> None:
    plan = plan_queue(UNLIMITED, WHOLE.inventory, known=False)

    policy = after(WHOLE.inventory, plan).policies[NAME]
    assert policy.definition == {"overflow": "reject-publish"}


@pytest.mark.parametrize(
    "broker",
    [
        changed(WHOLE, "queues", NAME, durable=False),
        changed(without(WHOLE, "bindings", NAME), "queues", NAME, arguments={}, type="classic"),
        changed(
            replace(WHOLE, bindings=(msgspec.structs.replace(BINDING, routing_key="other"),)),
            "queues",
            NAME,
            arguments={},
        ),
    ],
    ids=["not durable", "neither bound nor with our dead letters", "bound with another key"],
)
def test_a_queue_of_somebody_else_is_named_and_stays(broker: Broker) -> None:
    plan = plan_queue(USUAL, broker.inventory, known=True)
    removal = plan_removal(SYMBOL, broker.inventory)

    assert NAME in plan.foreign
    assert not plan.actions
    assert not removal.actions
    assert "stays" in removal.note


def test_removal_takes_queue_and_policy_and_nothing_of_others() -> None:
    plan = plan_removal(SYMBOL, WITH_OWN_POLICY.inventory)

    assert planned(plan) == [("delete", "queue", NAME), ("delete", "policy", NAME)]
    left = after(WITH_OWN_POLICY.inventory, plan)
    assert set(left.queues) == {"gomatch.dead"}
    assert set(left.policies) == {"gomatch.orders"}
    assert plan_removal(SYMBOL, left) == QueuePlan()


@pytest.mark.parametrize(
    ("policy", "shadows"),
    [
        ({"pattern": ".*", "priority": 30}, True),
        ({"pattern": "orders", "priority": 10}, True),
        ({"pattern": ".*", "priority": 30, "apply_to": "quorum_queues"}, True),
        ({"pattern": literal_pattern(NAME), "priority": 30, "apply_to": "queues"}, True),
        ({"pattern": ".*", "priority": 30, "apply_to": "exchanges"}, False),
        ({"pattern": ".*", "priority": 30, "apply_to": "classic_queues"}, False),
        ({"pattern": ".*", "priority": 9}, False),
        ({"pattern": "^gomatch.orders.ETH-USDT$", "priority": 30}, False),
        ({"pattern": literal_pattern("gomatch.orders.ETH-USDT"), "priority": 30}, False),
        ({"pattern": "(?{unreadable", "priority": 30}, False),
    ],
)
def test_a_policy_that_rules_our_queue_in_place_of_ours_is_named(
    policy: dict[str, Any], shadows: bool
) -> None:
    broker = WHOLE.with_policy(name="somebody", **policy)

    plan = plan_queue(USUAL, broker.inventory, known=True)

    assert not plan.actions
    assert ("somebody" in plan.note) is shadows


def test_an_own_length_outranks_a_foreign_policy_of_middle_priority() -> None:
    broker = WHOLE.with_policy(name="somebody", pattern=".*", priority=15)

    assert "somebody" in plan_queue(USUAL, broker.inventory, known=True).note
    assert not plan_queue(SHORT, broker.inventory, known=True).note


@pytest.mark.parametrize("number_of_markets", [1, 50])
def test_each_action_says_what_it_would_do(number_of_markets: int) -> None:
    said: Callable[[Action], str] = str
    texts = set()
    for number in range(number_of_markets):
        desired = DesiredQueue(symbol=f"A{number}-USDT", max_length=3)
        texts |= {said(each) for each in plan_queue(desired, WHOLE.inventory, known=False).actions}

    assert len(texts) == 3 * number_of_markets
    assert "queue: create queue gomatch.orders.A0-USDT (missing)" in texts

"""What has to be written so that the broker is as desired. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action, Verb
from gomatch_operator.queue.desired_queue import USUAL_LENGTH, DesiredQueue
from gomatch_operator.queue.inventory import QueueInventory, literal_pattern
from gomatch_operator.queue.rows import BindingRow, ExchangeRow, PolicyRow, QueueRow
from gomatch_operator.queue.writes import (
    DeletePolicy,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutPolicy,
    PutQueue,
    Write,
    durable_queue,
)

USUAL_POLICY = PolicyRow(
    name=topology.EXCHANGE,
    pattern=r"^gomatch\.orders\.[A-Z0-9]+-[A-Z0-9]+$",
    apply_to="queues",
    priority=10,
    definition={"max-length": USUAL_LENGTH, "overflow": "reject-publish"},
)
_OWN_PRIORITY = 20
_KINDS = {topology.EXCHANGE: "direct", topology.DEAD: "fanout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlan:
    actions: tuple[Action, ...] = ()
    """In the order in which they have to be applied."""
    foreign: str = ""
    """Names what is somebody else's; then nothing is planned."""
    note: str = ""
    """What is not as desired and not ours to change."""


def plan_shared(inventory: QueueInventory, *, known: bool) -> QueuePlan:
    """The exchanges, the dead-letter queue and the policy of the usual length, which all Markets
    share. ``known``: they were in place before, so what is missing was taken away."""
    for name, kind in _KINDS.items():
        exchange = inventory.exchanges.get(name)
        if exchange is not None and _properties(exchange) != (kind, True, False, False):
            return QueuePlan(
                foreign=f"exchange {name} is no durable {kind} exchange. Delete it, and it is "
                "made anew"
            )
    dead = durable_queue(topology.DEAD, topology.dead_letter_arguments())
    found = inventory.queues.get(topology.DEAD)
    note = ""
    if found is not None and not _same(found, dead):
        note = (
            f"queue {topology.DEAD} has other arguments than gomatch gives it. It may hold "
            "messages, so it stays; delete it once they are read, and it is made anew"
        )
    return QueuePlan(actions=tuple(_shared(inventory, dead, known=known)), note=note)


def plan_queue(desired: DesiredQueue, inventory: QueueInventory, *, known: bool) -> QueuePlan:
    """One Market's queue, its binding and its length. ``known``: exactly this was in place
    before, so what differs was changed by somebody else."""
    found = inventory.queues.get(desired.name)
    if found is not None and not _ours(found, desired.symbol, inventory):
        return QueuePlan(
            foreign=f"queue {desired.name} is none of gomatch's: it is not durable, or neither "
            f"bound to {topology.EXCHANGE} nor with {topology.DEAD} for its dead letters"
        )
    actions = (
        *_policy(desired, inventory, known=known),
        *_queue_and_binding(desired, found, inventory, known=known),
    )
    return QueuePlan(actions=actions, note=_shadowed(desired, inventory, actions))


def plan_removal(symbol: str, inventory: QueueInventory) -> QueuePlan:
    """Everything of one Market. A queue that is somebody else's stays."""
    name = topology.queue_name(symbol)
    actions = []
    note = ""
    queue = inventory.queues.get(name)
    if queue is not None and not _ours(queue, symbol, inventory):
        note = f"queue {name} is none of gomatch's and stays"
    elif queue is not None:
        actions.append(_action("delete", "queue", name, "the Market goes", DeleteQueue(name)))
    if name in inventory.policies:
        actions.append(_action("delete", "policy", name, "the Market goes", DeletePolicy(name)))
    return QueuePlan(actions=tuple(actions), note=note)


def _shared(inventory: QueueInventory, dead: QueueRow, *, known: bool) -> Iterator[Action]:
    for name, kind in _KINDS.items():
        if name not in inventory.exchanges:
            exchange = ExchangeRow(name=name, type=kind, durable=True)
            yield _action("create", "exchange", name, "missing", PutExchange(exchange), drift=known)
    if dead.name not in inventory.queues:
        yield _action("create", "queue", dead.name, "missing", PutQueue(dead), drift=known)
    if not inventory.bound(exchange=topology.DEAD, queue=dead.name):
        binding = BindingRow(source=topology.DEAD, destination=dead.name)
        yield _action("create", "binding", dead.name, "missing", PutBinding(binding), drift=known)
    yield from _put_policy(USUAL_POLICY, inventory, known=known)


def _queue_and_binding(
    desired: DesiredQueue, found: QueueRow | None, inventory: QueueInventory, *, known: bool
) -> Iterator[Action]:
    queue = durable_queue(desired.name, topology.queue_arguments(0))
    replaced = False
    if found is None:
        yield _action("create", "queue", queue.name, "missing", PutQueue(queue), drift=known)
    elif not _same(found, queue):
        replaced = True
        why = f"it has {_differing(found, queue)}; PostgreSQL holds what waits in it"
        write = PutQueue(queue, replace=True)
        yield _action("replace", "queue", queue.name, why, write, drift=known)
    key = (topology.EXCHANGE, queue.name, desired.symbol)
    if replaced or key not in inventory.bindings:
        binding = BindingRow(
            source=topology.EXCHANGE, destination=queue.name, routing_key=desired.symbol
        )
        drift = known and not replaced
        yield _action("create", "binding", queue.name, "missing", PutBinding(binding), drift=drift)


def _policy(desired: DesiredQueue, inventory: QueueInventory, *, known: bool) -> Iterator[Action]:
    if not desired.usual:
        yield from _put_policy(_own_policy(desired), inventory, known=known)
    elif desired.name in inventory.policies:
        why = f"the length is the usual {USUAL_LENGTH}"
        write = DeletePolicy(desired.name)
        yield _action("delete", "policy", desired.name, why, write, drift=known)


def _put_policy(policy: PolicyRow, inventory: QueueInventory, *, known: bool) -> Iterator[Action]:
    found = inventory.policies.get(policy.name)
    if found is None:
        yield _action("create", "policy", policy.name, "missing", PutPolicy(policy), drift=known)
    elif found != policy:
        why = f"has {dict(found.definition)} for {found.pattern}, wanted {dict(policy.definition)}"
        yield _action("apply", "policy", policy.name, why, PutPolicy(policy), drift=known)


def _own_policy(desired: DesiredQueue) -> PolicyRow:
    length = {"max-length": desired.max_length} if desired.max_length else {}
    return PolicyRow(
        name=desired.name,
        pattern=literal_pattern(desired.name),
        apply_to="queues",
        priority=_OWN_PRIORITY,
        definition={**length, "overflow": "reject-publish"},
    )


def _shadowed(desired: DesiredQueue, inventory: QueueInventory, actions: Sequence[Action]) -> str:
    """A broker applies one policy to a queue. Says whose it is when it is none of ours."""
    after = inventory
    for action in actions:
        if action.kind == "policy":
            after = after.with_applied(action)
    ours = USUAL_POLICY.name if desired.usual else desired.name
    others = sorted(each.name for each in after.effective(desired.name) if each.name != ours)
    if not others:
        return ""
    return (
        f"policy {', '.join(others)} rules queue {desired.name} in place of {ours}: its length is "
        "not the Market's. Give that policy a lower priority or another pattern"
    )


def _ours(queue: QueueRow, symbol: str, inventory: QueueInventory) -> bool:
    dead_letters = queue.arguments.get("x-dead-letter-exchange") == topology.DEAD
    bound = (topology.EXCHANGE, queue.name, symbol) in inventory.bindings
    return queue.durable and (dead_letters or bound)


def _same(found: QueueRow, wanted: QueueRow) -> bool:
    return (found.durable, found.auto_delete, found.arguments) == (
        wanted.durable,
        wanted.auto_delete,
        wanted.arguments,
    )


def _differing(found: QueueRow, wanted: QueueRow) -> str:
    names = sorted({*found.arguments, *wanted.arguments})
    differing = [
        f"{name}={found.arguments.get(name, 'none')}"
        for name in names
        if found.arguments.get(name) != wanted.arguments.get(name)
    ]
    return ", ".join(differing) or "other properties"


def _properties(exchange: ExchangeRow) -> tuple[str, bool, bool, bool]:
    return exchange.type, exchange.durable, exchange.auto_delete, exchange.internal


def _action(
    verb: Verb, kind: str, name: str, why: str, body: Write, *, drift: bool = False
) -> Action:
    return Action(layer="queue", verb=verb, kind=kind, name=name, why=why, drift=drift, body=body)

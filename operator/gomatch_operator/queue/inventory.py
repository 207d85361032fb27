"""What is at the broker, as of one look, and after what was written since."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gomatch_operator.actions import Action
from gomatch_operator.queue.rows import BindingRow, ExchangeRow, PolicyRow, QueueRow
from gomatch_operator.queue.writes import (
    DeletePolicy,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutPolicy,
    PutQueue,
    Write,
)

_RowT = TypeVar("_RowT")
BindingKey = tuple[str, str, str]
"""(exchange, queue, routing key)"""

_ON_QUEUES = frozenset({"all", "queues", "quorum_queues"})
_LITERAL = re.compile(r"\^((?:[A-Za-z0-9_-]|\\\.)+)\$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInventory:
    """Policies are in two parts, so that few have to be compared with each queue's name: those
    whose pattern is one name literally, by it, and all others, highest priority first."""

    queues: Mapping[str, QueueRow]
    exchanges: Mapping[str, ExchangeRow]
    bindings: frozenset[BindingKey]
    """Of our exchanges to queues."""
    policies: Mapping[str, PolicyRow]
    literal: Mapping[str, tuple[PolicyRow, ...]]
    general: tuple[tuple[PolicyRow, re.Pattern[str] | None], ...]
    """Without a pattern: Python cannot read it."""

    @classmethod
    def of(
        cls,
        *,
        queues: Iterable[QueueRow] = (),
        exchanges: Iterable[ExchangeRow] = (),
        bindings: Iterable[BindingRow] = (),
        policies: Iterable[PolicyRow] = (),
    ) -> QueueInventory:
        by_name = {policy.name: policy for policy in policies}
        literal, general = _sorted(by_name.values())
        return cls(
            queues={queue.name: queue for queue in queues},
            exchanges={exchange.name: exchange for exchange in exchanges},
            bindings=frozenset(
                (binding.source, binding.destination, binding.routing_key)
                for binding in bindings
                if binding.destination_type == "queue"
            ),
            policies=by_name,
            literal=literal,
            general=general,
        )

    def effective(self, queue: str) -> Sequence[PolicyRow]:
        """The policies of highest priority that match: more than one, and nobody knows which of
        them the broker takes."""
        found = list(self.literal.get(queue, ()))
        for policy, pattern in self.general:
            if found and policy.priority < max(each.priority for each in found):
                break
            if pattern is not None and pattern.search(queue):
                found.append(policy)
        highest = max((each.priority for each in found), default=0)
        return [each for each in found if each.priority == highest]

    def bound(self, *, exchange: str, queue: str) -> bool:
        """Whatever the routing key."""
        return any(each[:2] == (exchange, queue) for each in self.bindings)

    def with_applied(self, action: Action) -> QueueInventory:
        """As it is once ``action``, planned from this inventory or an earlier one, was applied."""
        write: Write = action.body
        match write:
            case PutExchange(exchange):
                return replace(self, exchanges={**self.exchanges, exchange.name: exchange})
            case PutQueue(queue, replace=replaced):
                kept = self._without_bindings(queue.name) if replaced else self.bindings
                return replace(self, queues={**self.queues, queue.name: queue}, bindings=kept)
            case DeleteQueue(name):
                return replace(
                    self, queues=_without(self.queues, name), bindings=self._without_bindings(name)
                )
            case PutBinding(binding):
                key = (binding.source, binding.destination, binding.routing_key)
                return replace(self, bindings=self.bindings | {key})
            case PutPolicy(policy):
                return self._with_policies({**self.policies, policy.name: policy})
            case DeletePolicy(name):
                return self._with_policies(_without(self.policies, name))

    def _without_bindings(self, queue: str) -> frozenset[BindingKey]:
        return frozenset(each for each in self.bindings if each[1] != queue)

    def _with_policies(self, policies: Mapping[str, PolicyRow]) -> QueueInventory:
        literal, general = _sorted(policies.values())
        return replace(self, policies=policies, literal=literal, general=general)


def literal_pattern(name: str) -> str:
    """A pattern for ``name`` and nothing else; it has letters, digits, dots and hyphens only."""
    escaped = name.replace(".", r"\.")
    return f"^{escaped}$"


def _sorted(
    policies: Iterable[PolicyRow],
) -> tuple[
    Mapping[str, tuple[PolicyRow, ...]], tuple[tuple[PolicyRow, re.Pattern[str] | None], ...]
]:
    literal: dict[str, tuple[PolicyRow, ...]] = {}
    general: list[tuple[PolicyRow, re.Pattern[str] | None]] = []
    for policy in policies:
        if policy.apply_to not in _ON_QUEUES:
            continue
        name = _LITERAL.fullmatch(policy.pattern)
        if name is None:
            general.append((policy, _compiled(policy.pattern)))
        else:
            key = name[1].replace("\\.", ".")
            literal[key] = (*literal.get(key, ()), policy)
    general.sort(key=lambda each: (-each[0].priority, each[0].name))
    return literal, tuple(general)


def _compiled(pattern: str) -> re.Pattern[str] | None:
    """None where Perl's syntax, which the broker reads, is not Python's."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _without(rows: Mapping[str, _RowT], name: str) -> dict[str, _RowT]:
    return {key: row for key, row in rows.items() if key != name}

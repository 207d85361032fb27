"""What a reconciler wants to do, as values: planned without I/O, printed by `gomatch-operator
plan`, counted as drift when it restores what somebody changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Verb = Literal["create", "apply", "replace", "delete", "enter"]
Layer = Literal["cluster", "store", "queue", "cache"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One write. ``body`` is what the layer's `apply` needs and nobody else reads."""

    layer: Layer
    verb: Verb
    kind: str
    """As Deployment, queue, policy, claim, command."""
    name: str
    why: str
    """For people: which fields differ, or that it is missing."""
    drift: bool = False
    """It restores what was there before, as somebody else deleted or changed it."""
    body: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.layer}: {self.verb} {self.kind} {self.name} ({self.why})"


def restorations(done: Iterable[Action]) -> tuple[tuple[str, str], ...]:
    """Kind and description of those that restored what somebody else had changed."""
    return tuple(
        (action.kind, f"{action.kind} {action.name}: {action.why}")
        for action in done
        if action.drift
    )

"""The writes that are planned: bodies of actions, which `QueueReconciler.apply` sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gomatch_operator.queue.rows import BindingRow, ExchangeRow, PolicyRow, QueueRow


@dataclass(frozen=True, slots=True)
class PutExchange:
    exchange: ExchangeRow


@dataclass(frozen=True, slots=True)
class PutQueue:
    """With ``replace`` the one that is there is deleted first."""

    queue: QueueRow
    replace: bool = False


@dataclass(frozen=True, slots=True)
class DeleteQueue:
    name: str


@dataclass(frozen=True, slots=True)
class PutBinding:
    binding: BindingRow


@dataclass(frozen=True, slots=True)
class PutPolicy:
    policy: PolicyRow


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    name: str


Write = PutExchange | PutQueue | DeleteQueue | PutBinding | PutPolicy | DeletePolicy


def durable_queue(name: str, arguments: Mapping[str, Any]) -> QueueRow:
    kind = str(arguments.get("x-queue-type", "classic"))
    return QueueRow(name=name, durable=True, type=kind, arguments=arguments)

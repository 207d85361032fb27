"""What `desired` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gomatch.engine import TradingState
from gomatch.messages.market import MarketDefinition
from gomatch_operator.market import MarketKey
from gomatch_operator.queue.desired_queue import DesiredQueue
from gomatch_operator.watched import ObjectKey

Body = Mapping[str, Any]
"""An object of the Kubernetes API as in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredObject:
    """``body`` has no annotation with the hash and no metadata.uid: they are added as it is
    written."""

    key: ObjectKey
    body: Body
    hash: str
    """Of all fields that are ours, see cluster/projection.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    market: MarketKey
    uid: str
    """Of the Market, which owns the objects."""
    symbol: str
    objects: tuple[DesiredObject, ...]
    """What a pod needs stands before the Deployment."""
    queue: DesiredQueue
    definition: MarketDefinition
    state: TradingState

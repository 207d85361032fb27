"""Rows of the management API's lists: the columns that are looked at. What a broker leaves out,
as it does with figures of a queue that is seconds old, has a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """``messages`` and ``consumers`` are some seconds old, None when not known yet."""

    name: str
    durable: bool = False
    auto_delete: bool = False
    type: str = "classic"
    arguments: Mapping[str, Any] = {}
    messages: int | None = None
    consumers: int | None = None


class BindingRow(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    destination: str
    destination_type: str = "queue"
    routing_key: str = ""
    arguments: Mapping[str, Any] = {}


class ExchangeRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    type: str
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True, rename={"apply_to": "apply-to"}):
    name: str
    pattern: str
    apply_to: str = "all"
    priority: int = 0
    definition: Mapping[str, Any] = {}

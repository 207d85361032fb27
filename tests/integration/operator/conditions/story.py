"""A course of events that a Market goes through, when one situation depends on that before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying


@dataclass(frozen=True, kw_only=True)
class Story:
    """``tell`` waits for all that it ``says``."""

    tell: Callable[[Stage], Awaitable[None]]
    says: tuple[Saying, ...]

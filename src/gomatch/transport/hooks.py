"""What a program may want to count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class TransportHooks:
    """Called as it happens, on the event loop; must not block."""

    published: Callable[[str, float], object] = _ignore
    """(market, seconds until confirmed)"""
    publish_failed: Callable[[str, str], object] = _ignore
    """(market, one of `disconnected`, `timeout`, `nacked`, `returned`, `full`)"""
    reconnected: Callable[[], object] = _ignore
    """A connection was made again after one was lost."""
    connect_failed: Callable[[], object] = _ignore
    dead_lettered: Callable[[str, str], object] = _ignore
    """(market, reason)"""
    redeclared: Callable[[str], object] = _ignore
    """(market): its queue or exchange was missing and was made again."""

"""Leaves out of a failing sequence what it fails without.

A seed does not shrink, and hypothesis's own draws, a thousand for one sequence, lean to the simple
and find less than a seed's; so the sequence itself is shortened. An order's number is its command's
place: what is left out is replaced by an idle step, not removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Step = TypeVar("Step")


def shortened(
    steps: Sequence[Step], idle: Callable[[Step], Step], fails: Callable[[Sequence[Step]], bool]
) -> list[Step]:
    """The failing ``steps``, as many as possible replaced by ``idle`` of them, that still fail:
    halves first, then quarters, down to single ones."""
    kept = list(steps)
    size = len(kept)
    while size:
        for start in range(0, len(kept), size):
            part = kept[start : start + size]
            fewer = [*kept[:start], *map(idle, part), *kept[start + size :]]
            if fewer != kept and fails(fewer):
                kept = fewer
        size //= 2
    return kept

"""Named points of the pipeline at which tests kill or cut; the product passes none of its own."""

from __future__ import annotations

from typing import Literal, Protocol

FaultPoint = Literal["matched", "before_commit", "committed", "cached", "streamed", "acked"]


class Checkpoint(Protocol):
    """Called synchronously as a batch reaches a point."""

    def __call__(self, point: FaultPoint, /) -> None: ...


def no_checkpoint(point: FaultPoint, /) -> None:
    """The checkpoint of production: nothing happens."""

"""Named points of a reconcile and of a deletion at which tests kill; the product passes none of
its own."""

from __future__ import annotations

from typing import Literal, Protocol

FaultPoint = Literal[
    "finalizer_added",
    "store_written",
    "queue_written",
    "object_written",
    "status_written",
    "closing_entered",
    "deployment_deleted",
    "queue_removed",
    "keys_removed",
    "parted",
    "finalizer_removed",
]
"""What has just been done."""


class Checkpoint(Protocol):
    """Called synchronously as an operator reaches a point."""

    def __call__(self, point: FaultPoint, /) -> None: ...


def no_checkpoint(point: FaultPoint, /) -> None:
    """The checkpoint of production: nothing happens."""

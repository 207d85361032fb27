"""Ending tasks for sure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 5.0
"""Longer than a task usually takes to clean up after itself: its clean-up, too, must bear to be
cancelled."""


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and wait until all have ended; what they raise stays with them.

    A task may lose a cancellation: before Python 3.12 `asyncio.wait_for`, which drivers use,
    swallows one that comes just as its inner wait ends. So it is cancelled again.
    """
    ending = list(tasks)
    pending = {task for task in ending if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    for task in ending:
        if not task.cancelled():
            # Looked at, so that asyncio does not complain that nobody did.
            task.exception()

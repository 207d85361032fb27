"""Running coroutines as one: the first error ends them all and is the one that is raised."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any


async def run_together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until all have returned or one raises; then the others are cancelled and awaited.

    Unlike a TaskGroup it raises the first error itself, so that callers can tell errors apart by
    plain except clauses. Later errors are notes on the first.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failed = [task for task in tasks if not task.cancelled() and task.exception() is not None]
    if not failed:
        return
    first = next((task for task in failed if task in done), failed[0])
    error = first.exception()
    assert error is not None
    for other in failed:
        if other is not first:
            error.add_note(f"and at the same time: {other.exception()!r}")
    raise error


async def run_until_first(
    main: Coroutine[Any, Any, None], companion: Coroutine[Any, Any, None]
) -> None:
    """Run both until one ends, then cancel and await the other. An error of either is raised."""
    tasks = [asyncio.create_task(main), asyncio.create_task(companion)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


class Backoff:
    """Exponential delays with full jitter: uniform in (0, min(limit, first * 2^n)]."""

    def __init__(self, *, first: float = 0.1, limit: float = 5.0) -> None:
        self._first = first
        self._limit = limit
        self.attempts = 0

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling = min(self._limit, self._first * 2.0 ** min(self.attempts, 16))
        self.attempts += 1
        return ceiling * (1.0 - random.random())

    def reset(self) -> None:
        self.attempts = 0


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for ``stop`` for at most ``seconds``; True when it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return stop.is_set()
    return True

"""Running coroutines as one: the first error ends them all and is the one that is raised."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from gomatch.cancellation import cancel_and_wait


async def run_together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until all have returned or one raises; then the others are cancelled and awaited.

    Unlike a TaskGroup it raises the first error itself, so that callers can tell errors apart by
    plain except clauses. Later errors are notes on the first.
    """
    await _run(coroutines, return_when=asyncio.FIRST_EXCEPTION)


async def run_until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until one has returned or raised; then the others are cancelled and awaited, and errors
    raised as by ``run_together``."""
    await _run(coroutines, return_when=asyncio.FIRST_COMPLETED)


async def _run(coroutines: Sequence[Coroutine[Any, Any, None]], *, return_when: str) -> None:
    tasks = [asyncio.create_task(_not_cancelled_inside(one)) for one in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=return_when)
    finally:
        await cancel_and_wait(tasks)
        errors = {task: task.exception() for task in tasks if not task.cancelled()}
    failed = [task for task in tasks if errors.get(task) is not None]
    if not failed:
        return
    first = next((task for task in failed if task in done), failed[0])
    error = errors[first]
    assert error is not None
    for task in failed:
        if task is not first:
            error.add_note(f"and at the same time: {errors[task]!r}")
    try:
        raise error
    finally:
        # The error holds this frame, and the frame must not hold the error: all that the tasks
        # worked with, a whole book, would stay until the cycle is found.
        del error, errors, first, failed, tasks, done, task


async def _not_cancelled_inside(coroutine: Coroutine[Any, Any, None]) -> None:
    """Some drivers cancel their own waits when a connection goes. Nobody asked this task to end,
    so it has failed."""
    try:
        await coroutine
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{coroutine!r} was cancelled from inside") from error


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

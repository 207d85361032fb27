import asyncio
import contextlib
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from gomatch.concurrency import Backoff, run_together, run_until_first, wait_or_stop


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def fail(text: str) -> None:
    raise ValueError(text)


async def test_the_first_error_ends_all_and_is_the_one_raised() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="first"):
        await run_together(forever(ended), fail("first"))
    assert ended == ["ended"]


async def test_a_companion_ends_with_its_main() -> None:
    ended: list[str] = []
    await run_until_first(asyncio.sleep(0), forever(ended))
    assert ended == ["ended"]


async def test_an_error_of_the_companion_ends_the_main() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="companion"):
        await run_until_first(forever(ended), fail("companion"))
    assert ended == ["ended"]


async def test_cancelling_from_outside_ends_all() -> None:
    ended: list[str] = []
    task = asyncio.create_task(run_together(forever(ended), forever(ended)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended", "ended"]


async def test_a_task_that_was_cancelled_from_inside_has_failed() -> None:
    async def driver() -> None:
        waiting = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiting.cancel)
        await waiting

    ended: list[str] = []
    with pytest.raises(RuntimeError, match="cancelled from inside"):
        await run_together(forever(ended), driver())
    assert ended == ["ended"]


async def test_what_a_failed_task_worked_with_is_freed_with_its_error() -> None:
    class Book:
        pass

    async def work(book: Book) -> None:
        raise ValueError(str(book))

    def start() -> tuple[weakref.ref[Book], Coroutine[Any, Any, None]]:
        book = Book()
        return weakref.ref(book), work(book)

    gc.collect()
    gc.disable()
    try:
        seen, failing = start()
        with contextlib.suppress(ValueError):
            await run_together(failing)
        del failing
        assert seen() is None
    finally:
        gc.enable()


def test_delays_grow_with_jitter_up_to_the_limit() -> None:
    backoff = Backoff(first=0.1, limit=1.0)
    delays = [backoff.next_delay() for _ in range(200)]
    assert all(0 < delay <= 1.0 for delay in delays)
    assert delays[0] <= 0.1
    assert len(set(delays)) > 100
    backoff.reset()
    assert backoff.next_delay() <= 0.1


async def test_waiting_ends_at_once_when_stop_is_set() -> None:
    stop = asyncio.Event()
    assert not await wait_or_stop(stop, 0.001)
    stop.set()
    assert await wait_or_stop(stop, 60)

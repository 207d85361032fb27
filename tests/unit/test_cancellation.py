import asyncio
from typing import Any

import pytest

from gomatch import cancellation
from gomatch.cancellation import cancel_and_wait


async def swallow_one(seen: list[str]) -> None:
    """As a driver does whose `wait_for` ended in the same moment."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("swallowed")
    await asyncio.Event().wait()


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "AGAIN_SECONDS", 0.01)
    seen: list[str] = []
    task = asyncio.create_task(swallow_one(seen))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await cancel_and_wait([task])
    assert task.cancelled()
    assert seen == ["swallowed"]


async def test_tasks_that_ended_or_fail_are_no_trouble() -> None:
    async def fail() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it cleaned up")

    done, failing = asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(fail())
    await done
    await cancel_and_wait([done, failing])
    assert isinstance(failing.exception(), ValueError)

"""kopf in its thread: that it ends is noticed, and mended; that we end, ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kopf
import pytest

from gomatch_operator.market import Market
from gomatch_operator.watching import Heard, Watch
from tests.fixtures.example_markets import example_settings

MARKET = {
    "metadata": {
        "namespace": "trading",
        "name": "btc-usdt",
        "uid": "u1",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2030-01-01T00:00:00Z",
    },
    "spec": {},
}


class Kopf:
    """In place of `kopf.operator`: each start ends as the next of ``ends`` says."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.starts: list[dict[str, Any]] = []
        self.stopped = threading.Event()
        self._ends = list(ends)

    async def __call__(self, **arguments: Any) -> None:
        self.starts.append(arguments)
        loop = asyncio.get_running_loop()
        # As kopf does: in a thread that ends only with the flag.
        waiting = loop.run_in_executor(None, arguments["stop_flag"].wait)
        arguments["ready_flag"].set()
        if len(self.starts) <= len(self._ends):
            end = self._ends[len(self.starts) - 1]
            if end is not None:
                raise end
            return
        await waiting
        self.stopped.set()


class Prepared:
    def __init__(self) -> None:
        self.times = 0
        self.changed = asyncio.Event()

    async def __call__(self) -> tuple[str, ...]:
        self.times += 1
        return ("venue",)


def watch(prepared: Prepared) -> Watch:
    return Watch(
        example_settings(),
        canary="canary",
        kubeconfig=None,
        prepare=prepared,
        changed=prepared.changed,
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    async with asyncio.timeout(60):
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("end", [RuntimeError("a fault"), None, SystemExit(1)])
async def test_kopf_is_started_again_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, end: BaseException | None
) -> None:
    running, prepared = Kopf(end), Prepared()
    monkeypatch.setattr(kopf, "operator", running)
    watching = watch(prepared)
    task = asyncio.create_task(watching.run(lambda _: None))
    await until(lambda: len(running.starts) == 2 and watching.watching)

    assert watching.restarts == 1
    assert prepared.times == 2
    await ended(task)
    assert running.stopped.is_set()
    assert [each.name for each in threading.enumerate() if each.name == "kopf"] == []


async def test_kopf_is_broken_off_when_it_begins_to_end_and_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stuck(**arguments: Any) -> None:
        [cleanup] = [
            each
            for each in arguments["registry"]._activities.get_all_handlers()
            if each.id == "note_end"
        ]
        await cleanup.fn()
        # Waits for what never comes, and bears being asked to end once.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    running, prepared = Kopf(), Prepared()
    first = True

    async def operator(**arguments: Any) -> None:
        nonlocal first
        if first:
            first = False
            return await stuck(**arguments)
        return await running(**arguments)

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr("gomatch_operator.watching.watch._STOP_SECONDS", 0.4)
    watching = watch(prepared)
    task = asyncio.create_task(watching.run(lambda _: None))
    await until(lambda: bool(running.starts) and watching.watching)

    assert prepared.times == 2
    await ended(task)


async def test_what_kopf_hears_is_told_in_the_loop_of_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = Kopf()
    monkeypatch.setattr(kopf, "operator", running)
    told: list[tuple[Heard, int]] = []
    task = asyncio.create_task(
        watch(Prepared()).run(lambda heard: told.append((heard, threading.get_ident())))
    )
    await until(lambda: bool(running.starts))
    handlers = running.starts[0]["registry"]._watching.get_all_handlers()
    [hear] = [each.fn for each in handlers if each.id == "markets"]
    for kind in (None, "MODIFIED", "DELETED"):
        await asyncio.to_thread(asyncio.run, hear(event={"type": kind, "object": MARKET}))
    await until(lambda: len(told) == 3)
    await ended(task)

    assert {thread for _, thread in told} == {threading.get_ident()}
    assert all(isinstance(heard.object, Market) for heard, _ in told)
    assert [(heard.listed, heard.gone) for heard, _ in told] == [
        (True, False),
        (False, False),
        (False, True),
    ]


async def test_kopf_may_not_write_and_notices_a_silent_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = Kopf()
    monkeypatch.setattr(kopf, "operator", running)
    task = asyncio.create_task(watch(Prepared()).run(lambda _: None))
    await until(lambda: bool(running.starts))
    await ended(task)
    settings = running.starts[0]["settings"]

    assert not settings.posting.enabled
    assert settings.peering.standalone
    # It would take rights on all namespaces and kinds.
    assert settings.scanning.disabled
    registry = running.starts[0]["registry"]
    for written in ("_changing", "_spawning", "_indexing"):
        assert list(getattr(registry, written).get_all_handlers()) == []
    assert settings.watching.inactivity_timeout == example_settings().watch_silence_seconds
    # Each call tries anew, some times, and is never blind for long.
    pauses = settings.networking.error_backoffs
    assert 0 < len(list(pauses)) == len(list(pauses)) < 20
    assert max(pauses) <= 5

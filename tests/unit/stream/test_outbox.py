from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from gomatch_api.stream.outbox import Outbox
from tests.unit.stream.doubles import Reader


class Counter:
    """Conflated: says the newest number only."""

    def __init__(self) -> None:
        self.value = 0

    def drain(self) -> list[str]:
        return [str(self.value)]


async def test_messages_are_sent_in_order() -> None:
    reader = Reader()
    for number in range(100):
        reader.outbox.put(str(number))
    await reader.idle()
    assert reader.texts == [str(number) for number in range(100)]
    await reader.close()


async def test_a_full_outbox_overflows_once_and_holds_nothing_more() -> None:
    reader = Reader(limit=10)
    reader.gate.clear()
    for number in range(1_000):
        reader.outbox.put(str(number))
    assert reader.overflowed
    assert len(reader.outbox) == 0
    await reader.close()


async def test_conflated_state_is_asked_when_everything_before_is_sent() -> None:
    reader, counter = Reader(), Counter()
    reader.gate.clear()
    for number in range(1, 50):
        counter.value = number
        reader.outbox.mark(counter)
        reader.outbox.put("x")
    reader.gate.set()
    await reader.idle()
    assert reader.texts == ["x"] * 49 + ["49"]
    await reader.close()


async def test_who_can_wait_waits_for_half_of_the_space() -> None:
    reader = Reader(limit=10)
    reader.gate.clear()
    for number in range(8):
        reader.outbox.put(str(number))
    waiting = asyncio.create_task(reader.outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    reader.gate.set()
    await waiting
    await reader.close()


async def test_a_reader_that_never_reads_is_given_up() -> None:
    reader = Reader(write_timeout=0.01)
    reader.gate.clear()
    reader.outbox.put("x")
    with pytest.raises(TimeoutError):
        await reader.outbox.run(reader._send)
    await reader.close()


async def test_each_message_has_the_whole_time_of_its_own() -> None:
    outbox = Outbox(limit=100, limit_bytes=1_000, write_timeout=10.0, on_overflow=lambda: None)
    sent: list[str] = []
    loop = asyncio.get_running_loop()
    now = loop.time()

    async def passing(seconds: float) -> None:
        """That much later on the loop's clock, and what was due until then has been called."""
        nonlocal now
        now += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    async def slowly(text: str) -> None:
        await passing(9.0)
        if text == "never":
            await passing(2.0)
            await asyncio.Event().wait()
        sent.append(text)

    texts = [str(number) for number in range(8)]
    for text in [*texts, "never"]:
        outbox.put(text)
    with patch.object(loop, "time", lambda: now), pytest.raises(TimeoutError):
        await outbox.run(slowly)
    assert sent == texts

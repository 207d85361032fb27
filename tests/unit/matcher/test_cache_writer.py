"""The writer of the mirror while Redis is away: acknowledgements go on, Redis is not hammered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from gomatch.cache import BookMirror
from gomatch.engine import Engine
from gomatch.errors import CacheError
from gomatch.messages.codec import GENESIS_CHAIN
from gomatch.transport import Delivery
from gomatch_matcher.cache_writer import CacheWriter
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.fault_points import no_checkpoint
from gomatch_matcher.metrics import MatcherMetrics
from tests.fixtures.batches import make_batch


class BrokenMirror(BookMirror):
    """``hangs``: no answer comes; otherwise each attempt fails at once."""

    def __init__(self, *, hangs: bool) -> None:
        super().__init__("redis://127.0.0.1:1/0", "A-B")
        self._hangs = hangs
        self.attempts = 0
        self.mended = asyncio.Event()

    async def rebuild(self, image: object) -> None:
        self.attempts += 1
        if self._hangs:
            await self.mended.wait()
            return
        raise CacheError("refused")


class Acknowledged:
    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.changed = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        self.firsts.append(delivery.batch.first)
        self.changed.set()


@asynccontextmanager
async def writer_over(
    mirror: BrokenMirror, acknowledged: Acknowledged
) -> AsyncIterator[CacheWriter]:
    writer = CacheWriter(
        mirror=mirror,
        committed=CommittedState(Engine(), epoch=1, chain=GENESIS_CHAIN),
        in_step=False,
        ack=acknowledged,
        metrics=MatcherMetrics(CollectorRegistry(), "A-B"),
        checkpoint=no_checkpoint,
    )
    running = asyncio.create_task(writer.run())
    try:
        yield writer
        if mirror.mended.is_set():
            async with asyncio.timeout(5):
                await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await mirror.close()


async def acknowledge(writer: CacheWriter, acknowledged: Acknowledged, first: int) -> None:
    acknowledged.changed.clear()
    writer.acknowledge(Delivery(make_batch("A-B", first), first))
    async with asyncio.timeout(5):
        while first not in acknowledged.firsts:
            await acknowledged.changed.wait()
            acknowledged.changed.clear()


async def test_the_queue_is_acknowledged_while_redis_hangs() -> None:
    acknowledged, mirror = Acknowledged(), BrokenMirror(hangs=True)
    async with writer_over(mirror, acknowledged) as writer:
        for first in (1, 2, 3):
            await acknowledge(writer, acknowledged, first)
        assert mirror.attempts == 1


async def test_a_redis_that_refuses_is_tried_again_after_a_pause_that_holds_nothing_up() -> None:
    acknowledged, mirror = Acknowledged(), BrokenMirror(hangs=False)
    async with writer_over(mirror, acknowledged) as writer:
        for first in range(1, 200):
            await acknowledge(writer, acknowledged, first)
        assert mirror.attempts < 20


async def test_an_orderly_end_does_not_wait_for_the_pause() -> None:
    acknowledged, mirror = Acknowledged(), BrokenMirror(hangs=False)
    async with writer_over(mirror, acknowledged) as writer:
        await acknowledge(writer, acknowledged, 1)
        writer.close()
        async with asyncio.timeout(5):
            while mirror.attempts < 2:
                await asyncio.sleep(0)


async def test_an_end_that_comes_in_the_middle_of_a_rebuild_is_not_forgotten() -> None:
    acknowledged, mirror = Acknowledged(), BrokenMirror(hangs=True)
    async with writer_over(mirror, acknowledged) as writer:
        await acknowledge(writer, acknowledged, 1)
        writer.close()
        writer.acknowledge(Delivery(make_batch("A-B", 2), 2))
        async with asyncio.timeout(5):
            while 2 not in acknowledged.firsts:
                await asyncio.sleep(0)
        mirror.mended.set()

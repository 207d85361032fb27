"""When images are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from gomatch.errors import StoreUnavailable
from gomatch_matcher.image_writer import ImageWriter
from gomatch_matcher.metrics import MatcherMetrics

INTERVAL = 0.01


class Market:
    """Committed state and the table of images."""

    def __init__(self) -> None:
        self.sequence = self.applied = 10
        self.chain, self.time = b"", 0
        self.written: list[int] = []
        self.failures = 0

    async def image(self) -> bytes:
        return b"image"

    async def write(self, _market_id: int, *, sequence: int, **_: object) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.written.append(sequence)

    def apply(self, images: ImageWriter) -> None:
        self.sequence += 1
        images.count(1)

    async def until_written(self, *sequences: int) -> None:
        async with asyncio.timeout(10):
            while self.written != list(sequences):
                await asyncio.sleep(0)


@asynccontextmanager
async def writer(market: Market, *, every: int, interval: float) -> AsyncIterator[ImageWriter]:
    anything: Any = market
    images = ImageWriter(
        snapshots=anything,
        committed=anything,
        market_id=1,
        every=every,
        interval=interval,
        metrics=MatcherMetrics(CollectorRegistry(), "BTC-USDT"),
    )
    stopped = asyncio.Event()
    task = asyncio.create_task(images.run(stopped))
    yield images
    stopped.set()
    await task


async def test_an_image_is_written_after_the_interval_when_something_was_applied() -> None:
    market = Market()
    async with writer(market, every=1_000, interval=INTERVAL) as images:
        market.apply(images)
        await market.until_written(11)
        market.apply(images)
        await market.until_written(11, 12)
    assert market.written == [11, 12]


async def test_nothing_applied_no_image() -> None:
    market = Market()
    async with writer(market, every=1_000, interval=INTERVAL) as images:
        # Only time can show that nothing happens: many intervals.
        await asyncio.sleep(20 * INTERVAL)
        assert market.written == []
        market.apply(images)
        await market.until_written(11)
        await asyncio.sleep(20 * INTERVAL)
    assert market.written == [11]


async def test_an_image_that_failed_is_written_after_the_next_interval() -> None:
    market = Market()
    market.failures = 2
    async with writer(market, every=1_000, interval=INTERVAL) as images:
        market.apply(images)
        await market.until_written(11)


async def test_commands_are_counted_also_without_an_interval() -> None:
    market = Market()
    async with writer(market, every=2, interval=0) as images:
        market.apply(images)
        market.apply(images)
        await market.until_written(12)
        market.apply(images)
    assert market.written == [12, 13]

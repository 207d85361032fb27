"""Cold reads of the best levels."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gomatch.cache import BookMirror
from gomatch.engine import Side
from gomatch.errors import CacheStale
from tests.unit.cache.books import SYMBOL, image_of, image_of_size, order


async def test_the_best_levels_come_first(mirror: BookMirror) -> None:
    await mirror.rebuild(
        image_of(
            [
                order(1, price=99),
                order(2, price=101),
                order(3, price=101, lots=5),
                order(4, price=100),
                order(5, Side.SELL, 105),
                order(6, Side.SELL, 103, lots=7),
            ],
            sequence=6,
        )
    )

    depth = await mirror.depth(2)

    assert depth is not None
    assert depth.bids == [(101, 15), (100, 10)]
    assert depth.asks == [(103, 7), (105, 10)]
    assert depth.meta.sequence == 6


async def test_many_levels_equal_the_whole(mirror: BookMirror) -> None:
    image = image_of_size(2_000)
    await mirror.rebuild(image)

    depth = await mirror.depth(1_000)

    assert depth is not None
    assert depth.bids == sorted(image.bids.items(), reverse=True)
    assert depth.asks == sorted(image.asks.items())


async def test_there_is_no_depth_without_a_mirror(mirror: BookMirror) -> None:
    assert await mirror.depth(10) is None


async def test_a_level_missing_from_the_depth_is_noticed(mirror: BookMirror, redis: Redis) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=1))
    await redis.delete(f"gomatch:{{{SYMBOL}}}:depth")

    with pytest.raises(CacheStale):
        await mirror.depth(10)

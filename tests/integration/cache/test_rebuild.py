"""The whole state at once, and what a rebuild that fails leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gomatch.cache import BookMirror
from gomatch.errors import CacheError, CacheStale
from tests.fixtures.links import ProxyFactory
from tests.fixtures.proxy import Direction
from tests.unit.cache.books import SYMBOL, image_of, image_of_size, nothing_after, order

OWN_KEYS = {f"gomatch:{{{SYMBOL}}}:{name}" for name in ("meta", "orders", "bids", "asks", "depth")}
LEFTOVERS = f"gomatch:[{{]{SYMBOL}[}}]:rebuild:*"


async def test_what_was_rebuilt_is_loaded_unchanged(mirror: BookMirror) -> None:
    image = image_of_size(5_000, sequence=77)

    await mirror.rebuild(image)

    held = await mirror.load()
    assert held is not None
    assert held.orders == image.orders
    assert held.header == image.header
    assert (held.meta.epoch, held.sequence, held.chain, held.meta.applied) == (
        1,
        77,
        image.chain,
        77,
    )
    contents = await mirror.contents()
    assert contents is not None
    assert sorted([*contents.bids, *contents.asks]) == sorted(image.book)
    assert (contents.bid_levels, contents.ask_levels) == (image.bids, image.asks)


async def test_an_empty_market_has_a_mirror_too(mirror: BookMirror) -> None:
    assert await mirror.load() is None

    await mirror.rebuild(image_of([], sequence=0))

    held = await mirror.load()
    assert held is not None
    assert held.orders == {}


async def test_a_rebuild_leaves_nothing_of_the_old_state(mirror: BookMirror, redis: Redis) -> None:
    await mirror.rebuild(image_of_size(3_000))

    await mirror.rebuild(image_of([order(9_000)], sequence=9_000))

    held = await mirror.contents()
    assert held is not None
    assert held.orders.keys() == {9_000}
    assert held.bids == [(1, 100, 9_000, 9_000)]
    assert held.asks == []
    assert set(await redis.keys("*")) <= OWN_KEYS


@pytest.mark.parametrize(
    ("sequence", "epoch"), [(11, 4), (9, 5)], ids=["older epoch", "lower sequence of its epoch"]
)
async def test_a_rebuild_never_goes_back(mirror: BookMirror, sequence: int, epoch: int) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=10, epoch=5))
    before = await mirror.contents()

    with pytest.raises(CacheStale):
        await mirror.rebuild(image_of([], sequence=sequence, epoch=epoch))

    assert await mirror.contents() == before


async def test_a_newer_epoch_may_stand_at_a_lower_sequence(mirror: BookMirror) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=10, epoch=5))

    await mirror.rebuild(image_of([], sequence=8, epoch=6))

    held = await mirror.load()
    assert held is not None
    assert (held.meta.epoch, held.sequence) == (6, 8)


async def test_a_link_cut_in_the_middle_leaves_the_old_state_whole(
    mirror: BookMirror, redis: Redis, redis_url: str, tcp_proxy: ProxyFactory
) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=1))
    before = await mirror.contents()
    proxy = await tcp_proxy(redis_url)
    interrupted = BookMirror(proxy.url(redis_url), SYMBOL, timeout=60)
    passed = 0

    def cut_after_a_megabyte(direction: Direction, data: bytes) -> None:
        nonlocal passed
        passed += len(data)
        if passed > 1_000_000:
            proxy.cut()

    proxy.hook = cut_after_a_megabyte
    with pytest.raises(CacheError):
        await interrupted.rebuild(image_of_size(50_000))
    await interrupted.close()

    assert await mirror.contents() == before
    leftovers = await redis.keys(LEFTOVERS)
    assert leftovers
    assert all([await redis.ttl(key) > 0 for key in leftovers])

    await mirror.rebuild(image_of([order(2)], sequence=2))
    assert await redis.keys(LEFTOVERS) == []
    assert set(await redis.keys("*")) <= OWN_KEYS


async def test_deleting_a_market_takes_unfinished_rebuilds_along(
    mirror: BookMirror, redis: Redis, redis_url: str
) -> None:
    await mirror.rebuild(image_of_size(100))
    rebuilding = asyncio.create_task(mirror.rebuild(image_of_size(50_000)))
    while not await redis.keys(LEFTOVERS):
        await asyncio.sleep(0)
    rebuilding.cancel()
    await asyncio.wait([rebuilding])
    await mirror.close()
    # What it had sent already is still carried out.
    async with asyncio.timeout(30):
        while await connections_of_mirrors(redis):
            await asyncio.sleep(0.01)

    await mirror.delete()

    assert await redis.keys("*") == []


async def connections_of_mirrors(redis: Redis) -> int:
    """Those to the database that ``redis`` uses."""
    own = await redis.client_info()
    return sum(
        each["db"] == str(own["db"]) and each["name"] == "gomatch"
        for each in await redis.client_list()
    )


async def test_of_two_rebuilds_at_once_the_newer_epoch_stays(redis_url: str) -> None:
    old = BookMirror(redis_url, SYMBOL, timeout=60)
    new = BookMirror(redis_url, SYMBOL, timeout=60)
    newer = image_of_size(8_000, epoch=2)

    answers = await asyncio.gather(
        old.rebuild(image_of_size(9_000, epoch=1)), new.rebuild(newer), return_exceptions=True
    )

    assert answers[1] is None
    assert answers[0] is None or isinstance(answers[0], CacheStale)
    held = await new.load()
    assert held is not None
    assert held.meta.epoch == 2
    assert held.orders == newer.orders
    await old.close()
    await new.close()


async def test_other_markets_are_not_touched(mirror: BookMirror, redis_url: str) -> None:
    other = BookMirror(redis_url, "ETH-USDT", timeout=60)
    await mirror.rebuild(image_of([order(1)], sequence=1))
    await other.rebuild(image_of([order(2)], sequence=2))

    await mirror.write(replace(nothing_after(1), orders_removed=[1], book_removed=[(1, 100, 1, 1)]))
    await mirror.delete()

    held = await other.load()
    assert held is not None
    assert held.orders.keys() == {2}
    assert await mirror.load() is None
    await other.close()


async def test_a_book_of_100_000_orders_comes_back_whole(mirror: BookMirror) -> None:
    image = image_of_size(100_000)

    await mirror.rebuild(image)

    held = await mirror.load()
    assert held is not None
    assert held.orders == image.orders

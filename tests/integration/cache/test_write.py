"""One atomic write a batch, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from msgspec import structs
from redis.asyncio import Redis

from gomatch.cache import BookMirror, MirrorUpdate
from gomatch.engine import Side, TradingState
from gomatch.errors import CacheStale
from gomatch.messages.codec import pack_order
from tests.unit.cache.books import (
    all_cancelled,
    chain_at,
    header_at,
    image_of,
    image_of_size,
    nothing_after,
    one_more,
    order,
)

PREFIX = "gomatch:{BTC-USDT}"


async def test_a_batch_changes_orders_book_depth_and_meta_together(
    mirror: BookMirror, redis: Redis
) -> None:
    await mirror.rebuild(
        image_of([order(1, price=100), order(2, price=101), order(3, Side.SELL, 105)], sequence=3)
    )
    moved = structs.replace(order(2), price=99, priority=6)

    await mirror.write(
        replace(
            nothing_after(3, by=4),
            orders_set={2: pack_order(moved), 4: pack_order(order(4, Side.SELL, 104))},
            orders_removed=[1],
            book_removed=[(1, 100, 1, 1), (1, 101, 2, 2)],
            book_set=[(1, 99, 6, 2), (2, 104, 4, 4)],
            bids={100: 0, 101: 0, 99: 10},
            asks={104: 10},
            state=TradingState.CANCEL_ONLY,
            last_price=103,
        )
    )

    held = await mirror.contents()
    assert held is not None
    assert held.orders.keys() == {2, 3, 4}
    assert held.orders[2] == pack_order(moved)
    assert held.bids == [(Side.BUY, 99, 6, 2)]
    assert held.asks == [(Side.SELL, 104, 4, 4), (Side.SELL, 105, 3, 3)]
    assert held.bid_levels == {99: 10}
    assert held.ask_levels == {104: 10, 105: 10}
    assert held.header == header_at(7)
    assert (held.meta.sequence, held.meta.chain) == (7, chain_at(7))
    assert (held.meta.state, held.meta.last_price) == (TradingState.CANCEL_ONLY, 103)
    assert await redis.zrange(f"{PREFIX}:bids", 0, -1, withscores=True) == [
        ("0000000000000006:2", -99.0)
    ]
    assert await redis.hgetall(f"{PREFIX}:depth") == {"b99": "10", "a104": "10", "a105": "10"}


async def test_the_same_write_twice_is_one(mirror: BookMirror) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=1))
    update = one_more(order(2), 20, sequence=1)

    await mirror.write(update)
    await mirror.write(update)

    held = await mirror.contents()
    assert held is not None
    assert held.bid_levels == {100: 20}
    assert held.meta.sequence == 2


async def test_a_new_leader_goes_on_where_the_old_one_stopped(mirror: BookMirror) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=1, epoch=3))

    await mirror.write(one_more(order(2), 20, sequence=1, epoch=4))

    held = await mirror.load()
    assert held is not None
    assert (held.meta.epoch, held.sequence) == (4, 2)


@pytest.mark.parametrize(
    ("update", "why"),
    [
        (nothing_after(6, epoch=2), "not where it was expected"),
        (nothing_after(3, epoch=2), "not where it was expected"),
        (
            replace(nothing_after(5, epoch=2), expected_chain=chain_at(9)),
            "not where it was expected",
        ),
        (nothing_after(5, epoch=1), "newer leader"),
    ],
    ids=["ahead", "behind", "another chain", "older epoch"],
)
async def test_a_write_from_elsewhere_changes_nothing(
    mirror: BookMirror, update: MirrorUpdate, why: str
) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=5, epoch=2))
    before = await mirror.contents()

    with pytest.raises(CacheStale, match=why):
        await mirror.write(replace(update, orders_removed=[1]))

    assert await mirror.contents() == before


async def _flush(redis: Redis) -> None:
    await redis.flushall()


async def _without_meta(redis: Redis) -> None:
    await redis.delete(f"{PREFIX}:meta")


async def _without_orders(redis: Redis) -> None:
    await redis.delete(f"{PREFIX}:orders")


async def _without_an_order(redis: Redis) -> None:
    await redis.hdel(f"{PREFIX}:orders", "2")


async def _without_bids(redis: Redis) -> None:
    await redis.delete(f"{PREFIX}:bids")


async def _with_a_strange_ask(redis: Redis) -> None:
    await redis.zadd(f"{PREFIX}:asks", {"planted": 7})


async def _without_a_level(redis: Redis) -> None:
    await redis.hdel(f"{PREFIX}:depth", "b100")


async def _orders_of_another_type(redis: Redis) -> None:
    await redis.delete(f"{PREFIX}:orders")
    await redis.set(f"{PREFIX}:orders", "planted")


async def _meta_of_another_type(redis: Redis) -> None:
    await redis.delete(f"{PREFIX}:meta")
    await redis.rpush(f"{PREFIX}:meta", "planted")


async def _meta_without_epoch(redis: Redis) -> None:
    await redis.hdel(f"{PREFIX}:meta", "epoch")


async def _meta_with_nonsense(redis: Redis) -> None:
    await redis.hset(f"{PREFIX}:meta", "epoch", "nonsense")


async def _another_format(redis: Redis) -> None:
    await redis.hset(f"{PREFIX}:meta", "format", "0")


DAMAGES = [
    _flush,
    _without_meta,
    _without_orders,
    _without_an_order,
    _without_bids,
    _with_a_strange_ask,
    _without_a_level,
    _orders_of_another_type,
    _meta_of_another_type,
    _meta_without_epoch,
    _meta_with_nonsense,
    _another_format,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
async def test_damage_is_noticed_by_the_next_write_and_healed_by_a_rebuild(
    mirror: BookMirror, redis: Redis, damage: Callable[[Redis], Awaitable[None]]
) -> None:
    image = image_of([order(1), order(2, price=101), order(3, Side.SELL, 105)], sequence=3)
    await mirror.rebuild(image)
    await damage(redis)

    with pytest.raises(CacheStale):
        await mirror.write(one_more(order(4), 20, sequence=3))
    await mirror.rebuild(image)
    await mirror.write(one_more(order(4), 20, sequence=3))

    held = await mirror.load()
    assert held is not None
    assert held.sequence == 4
    assert held.orders.keys() == {1, 2, 3, 4}


async def test_a_server_that_forgot_its_scripts_is_taught_again(
    mirror: BookMirror, redis: Redis
) -> None:
    await mirror.rebuild(image_of([order(1)], sequence=1))
    await mirror.write(nothing_after(1))
    await redis.script_flush()

    await mirror.write(nothing_after(2))

    held = await mirror.load()
    assert held is not None
    assert held.sequence == 3


async def test_a_market_stays_under_its_own_hash_tag(mirror: BookMirror, redis: Redis) -> None:
    await mirror.rebuild(image_of([order(1), order(2, Side.SELL, 105)], sequence=2))

    assert set(await redis.keys("*")) == {
        f"{PREFIX}:{name}" for name in ("meta", "orders", "bids", "asks", "depth")
    }


async def test_a_cancel_all_of_100_000_orders_empties_the_mirror(mirror: BookMirror) -> None:
    image = image_of_size(100_000)
    await mirror.rebuild(image)

    await mirror.write(all_cancelled(image))

    held = await mirror.contents()
    assert held is not None
    assert held.meta.sequence == 200_000
    assert (held.orders, held.bids, held.asks) == ({}, [], [])
    assert (held.bid_levels, held.ask_levels) == ({}, {})


async def test_a_large_write_that_was_cut_off_is_never_taken_for_a_state(
    mirror: BookMirror, redis: Redis
) -> None:
    image = image_of_size(20_000)
    await mirror.rebuild(image)
    # As after a crash between two calls of the write.
    await redis.hset(f"{PREFIX}:meta", "writing", "1-40000")

    with pytest.raises(CacheStale, match="never finished"):
        await mirror.load()
    with pytest.raises(CacheStale):
        await mirror.write(nothing_after(20_000))
    await mirror.rebuild(image)

    held = await mirror.load()
    assert held is not None
    assert held.orders == image.orders


async def test_a_write_larger_than_one_call_moves_orders_correctly(mirror: BookMirror) -> None:
    image = image_of_size(6_000)
    await mirror.rebuild(image)
    later = [(side, price, priority + 6_000, n) for side, price, priority, n in image.book]

    await mirror.write(
        replace(
            nothing_after(6_000),
            orders_set=image.orders,
            book_removed=image.book,
            book_set=later,
            bids=image.bids,
            asks=image.asks,
        )
    )

    held = await mirror.contents()
    assert held is not None
    assert set(held.bids) | set(held.asks) == set(later)
    assert held.orders == image.orders


async def test_values_beyond_53_bits_are_exact(mirror: BookMirror) -> None:
    await mirror.rebuild(image_of([], sequence=0))
    lots = (1 << 60) + 1
    await mirror.write(one_more(order(1, price=(1 << 53) - 1, lots=lots), lots, sequence=0))

    held = await mirror.contents()
    assert held is not None
    assert held.bid_levels == {(1 << 53) - 1: lots}
    assert [price for _, price, *_ in held.bids] == [(1 << 53) - 1]

"""Redis gone, frozen or cut off: an error in bounded time, and right answers afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from gomatch.cache import BookMirror
from gomatch.cli.servers import RedisServer
from gomatch.errors import CacheError, CacheStale, ConfigurationError
from tests.fixtures.links import ProxyFactory
from tests.unit.cache.books import SYMBOL, image_of, nothing_after, order

T = TypeVar("T")


async def answered(call: Callable[[], Awaitable[T]]) -> T:
    """Call until there is an answer: a busy server may not have one within a short limit."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except CacheError as error:
                if "in time" not in str(error):
                    raise


async def test_a_server_that_was_killed_is_found_again_empty_and_rebuilt(
    redis_server: RedisServer, redis_url: str
) -> None:
    mirror = BookMirror(redis_url, SYMBOL, timeout=30)
    image = image_of([order(1)], sequence=1)
    await mirror.rebuild(image)
    await redis_server.kill()

    with pytest.raises(CacheError) as failure:
        await mirror.write(nothing_after(1))
    assert not isinstance(failure.value, CacheStale)
    assert failure.value.__cause__ is not None
    await redis_server.start()

    with pytest.raises(CacheStale):
        await mirror.write(nothing_after(1))
    await mirror.rebuild(image)
    await mirror.write(nothing_after(1))
    held = await mirror.load()
    assert held is not None
    assert held.sequence == 2
    await mirror.close()


async def test_a_dropped_connection_costs_no_write(redis_url: str, tcp_proxy: ProxyFactory) -> None:
    proxy = await tcp_proxy(redis_url)
    mirror = BookMirror(proxy.url(redis_url), SYMBOL, timeout=30)
    await mirror.rebuild(image_of([order(1)], sequence=1))
    proxy.drop()

    await mirror.write(nothing_after(1))

    held = await mirror.load()
    assert held is not None
    assert held.sequence == 2
    await mirror.close()


async def test_a_write_whose_answer_is_lost_counts_once(
    redis_url: str, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(redis_url)
    mirror = BookMirror(proxy.url(redis_url), SYMBOL, timeout=30)
    await mirror.rebuild(image_of([order(1)], sequence=1))
    await mirror.write(nothing_after(1))
    lost = 0

    def lose_the_first_answer(direction: str, data: bytes) -> None:
        nonlocal lost
        if direction == "to_client" and not lost:
            lost += 1
            proxy.drop()

    proxy.hook = lose_the_first_answer
    await mirror.write(nothing_after(2))

    assert lost == 1
    held = await mirror.load()
    assert held is not None
    assert held.sequence == 3
    await mirror.close()


async def test_a_stalled_connection_ends_in_an_error_and_later_answers_are_the_right_ones(
    redis_url: str, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(redis_url)
    mirror = BookMirror(proxy.url(redis_url), SYMBOL, timeout=0.3)
    await answered(lambda: mirror.rebuild(image_of([order(1)], sequence=1)))
    proxy.stall()

    for call in (mirror.write(nothing_after(1)), mirror.load(), mirror.contents()):
        with pytest.raises(CacheError, match="in time"):
            await asyncio.wait_for(call, 20)
    proxy.restore()

    contents = await answered(mirror.contents)
    held = await answered(mirror.load)
    assert contents is not None
    assert contents.bid_levels == {100: 10}
    assert held is not None
    assert held.orders.keys() == {1}
    await mirror.close()


async def test_a_frozen_server_is_an_error_and_a_frozen_writer_cannot_undo_its_successor(
    redis_server: RedisServer, redis_url: str
) -> None:
    old = BookMirror(redis_url, SYMBOL, timeout=0.3)
    new = BookMirror(redis_url, SYMBOL, timeout=30)
    await answered(lambda: old.rebuild(image_of([order(1)], sequence=1, epoch=1)))
    await redis_server.pause()
    with pytest.raises(CacheError):
        await old.write(nothing_after(1, epoch=1))
    await redis_server.resume()

    await new.rebuild(image_of([order(1), order(2)], sequence=5, epoch=2))
    with pytest.raises(CacheStale):
        await answered(lambda: old.write(nothing_after(5, epoch=1)))
    with pytest.raises(CacheStale):
        await answered(lambda: old.rebuild(image_of([], sequence=9, epoch=1)))

    held = await new.load()
    assert held is not None
    assert (held.meta.epoch, held.sequence) == (2, 5)
    await old.close()
    await new.close()


async def test_nobody_listening_is_an_error_with_its_cause() -> None:
    mirror = BookMirror("redis://127.0.0.1:1/0", SYMBOL, timeout=2)

    with pytest.raises(CacheError) as failure:
        await mirror.load()

    assert failure.value.__cause__ is not None
    await mirror.close()


def test_a_url_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="redis_url"):
        BookMirror("http://127.0.0.1/", SYMBOL)


async def test_a_cancelled_call_ends_whenever_the_cancellation_comes(redis_url: str) -> None:
    """A leader that steps down cancels whatever is under way; a call that goes on instead would
    keep it from waiting for the lease."""
    mirror = BookMirror(redis_url, SYMBOL, timeout=30)
    await mirror.rebuild(image_of([order(1)], sequence=1))
    for steps in range(1, 40):
        call = asyncio.create_task(mirror.load())
        for _ in range(steps):
            await asyncio.sleep(0)
        if call.cancel():
            await asyncio.wait([call])
            assert call.cancelled(), f"cancelled after {steps} steps of the loop, it went on"
    await mirror.close()

"""Mirrors at a real Redis: where they stand, by users of the least rights, and their deletion."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gomatch.cache import BookMirror, RedisClient
from gomatch.cli.servers import RedisServer
from gomatch.credentials import Endpoint
from gomatch_operator.cache.reconciler import CacheReconciler
from gomatch_operator.cache.stale_watch import StaleWatch
from gomatch_operator.errors import MirrorUnavailable
from tests.fixtures.management import CredentialFiles
from tests.unit.cache.books import chain_at, image_of_size, nothing_after

SYMBOL, OTHER = "BTC-USDT", "ETH-USDT"
KEYS = ("meta", "orders", "bids", "asks", "depth")
MATCHER_RULES = """
    ~gomatch:* +select +ping +client|setname +client|setinfo +multi +exec +eval +evalsha
    +hmget +hgetall +hset +hdel +hlen +zadd +zrem +zcard +zrange +sadd +srem +smembers
    +type +exists +expire +persist +rename +del +unlink
"""
OPERATOR_RULES = """
    ~gomatch:* +select +ping +client|setname +client|setinfo +multi +exec +eval +evalsha
    +hmget +hlen +zcard +smembers +unlink
"""
"""Both as docs/credentials.md has them."""


@pytest.fixture
async def administrator(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    for name in ("matcher", "operator"):
        await run(client, "ACL", "DELUSER", name)
    await client.aclose()


async def run(client: Redis, *command: str) -> None:
    execute: Callable[..., Awaitable[Any]] = client.execute_command
    await execute(*command)


async def make_user(administrator: Redis, name: str, rules: str, *, password: str) -> None:
    await run(administrator, "ACL", "SETUSER", name, "reset", "on", f">{password}", *rules.split())


def url_of(redis_url: str, name: str, password: str) -> str:
    return redis_url.replace("redis://", f"redis://{name}:{password}@")


@pytest.fixture
async def mirror(administrator: Redis, redis_url: str) -> AsyncIterator[BookMirror]:
    """A matcher's, with a matcher's rights."""
    await make_user(administrator, "matcher", MATCHER_RULES, password="m")
    mirror = BookMirror(url_of(redis_url, "matcher", "m"), SYMBOL, timeout=10)
    yield mirror
    await mirror.close()


@pytest.fixture
async def client(administrator: Redis, redis_url: str) -> AsyncIterator[RedisClient]:
    await make_user(administrator, "operator", OPERATOR_RULES, password="o")
    client = RedisClient(url_of(redis_url, "operator", "o"), timeout=10)
    yield client
    await client.close()


async def test_where_a_mirror_stands_is_seen_as_it_is_written(
    client: RedisClient, mirror: BookMirror
) -> None:
    reconciler = CacheReconciler(client)
    assert await reconciler.observe([SYMBOL, OTHER]) == {SYMBOL: None, OTHER: None}

    await mirror.rebuild(image_of_size(6))
    first = (await reconciler.observe([SYMBOL, OTHER]))[SYMBOL]
    await mirror.write(nothing_after(6))
    second = (await reconciler.observe([OTHER, SYMBOL]))[SYMBOL]

    assert first is not None
    assert second is not None
    assert (first.epoch, first.sequence, first.chain) == (1, 6, chain_at(6))
    assert (second.sequence, second.chain) == (7, chain_at(7))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", ["deleted", "of another type"])
async def test_a_key_that_is_taken_away_or_spoilt_leads_to_a_request_and_the_rebuild_heals_it(
    client: RedisClient, mirror: BookMirror, administrator: Redis, key: str, damage: str
) -> None:
    reconciler, watch = CacheReconciler(client), StaleWatch(stale_seconds=10)
    await mirror.rebuild(image_of_size(6))

    async def look(now: float) -> bool:
        meta = (await reconciler.observe([SYMBOL]))[SYMBOL]
        return watch.look(
            SYMBOL, head_epoch=1, head_sequence=6, head_chain=chain_at(6), meta=meta, now=now
        )

    assert not await look(0)
    name = f"gomatch:{{{SYMBOL}}}:{key}"
    await administrator.delete(name)
    if damage == "of another type":
        await administrator.set(name, "spoilt")

    assert [await look(1), await look(11)] == [False, True]
    assert watch.plan(SYMBOL).drift
    await mirror.rebuild(image_of_size(6))
    assert not await look(12)
    assert not watch.rebuilding(SYMBOL)


async def test_a_spoilt_mirror_hides_no_other(
    client: RedisClient, mirror: BookMirror, administrator: Redis
) -> None:
    await mirror.rebuild(image_of_size(2))
    await administrator.set(f"gomatch:{{{OTHER}}}:meta", "spoilt")

    seen = await CacheReconciler(client).observe([OTHER, SYMBOL])

    assert seen[OTHER] is None
    assert seen[SYMBOL] is not None


async def test_a_thousand_mirrors_are_seen_at_once(client: RedisClient, mirror: BookMirror) -> None:
    await mirror.rebuild(image_of_size(2))
    symbols = [f"A{number}-USDT" for number in range(999)]

    seen = await CacheReconciler(client).observe([*symbols, SYMBOL])

    assert [symbol for symbol, meta in seen.items() if meta is not None] == [SYMBOL]
    assert len(seen) == 1_000


async def test_deletion_takes_all_keys_of_a_market_and_none_of_another(
    client: RedisClient, mirror: BookMirror, administrator: Redis
) -> None:
    await mirror.rebuild(image_of_size(6))
    await administrator.hset(f"gomatch:{{{OTHER}}}:meta", "format", "1")
    reconciler = CacheReconciler(client)

    await reconciler.delete(SYMBOL)
    await reconciler.delete(SYMBOL)

    assert await administrator.keys("*") == [f"gomatch:{{{OTHER}}}:meta"]


async def test_wrong_credentials_are_told_from_an_outage(
    administrator: Redis, redis_url: str
) -> None:
    await make_user(administrator, "operator", "~gomatch:* +select +client", password="o")
    for url in (url_of(redis_url, "operator", "wrong"), url_of(redis_url, "operator", "o")):
        client = RedisClient(url, timeout=10)
        with pytest.raises(MirrorUnavailable) as refusal:
            await CacheReconciler(client).observe([SYMBOL])
        assert refusal.value.refused
        with pytest.raises(MirrorUnavailable) as refusal:
            await CacheReconciler(client).delete(SYMBOL)
        assert refusal.value.refused
        await client.close()


async def test_credentials_are_files_that_are_read_again(
    administrator: Redis, redis_url: str, tmp_path: Path
) -> None:
    await make_user(administrator, "operator", OPERATOR_RULES, password="first")
    files = CredentialFiles(tmp_path / "redis")
    client = RedisClient(Endpoint(redis_url, files.folder), timeout=10)
    reconciler = CacheReconciler(client)
    with pytest.raises(MirrorUnavailable, match="password") as refusal:
        await reconciler.observe([SYMBOL])
    assert refusal.value.refused

    for password in ("first", "second"):
        await make_user(administrator, "operator", OPERATOR_RULES, password=password)
        files.write("operator", password)
        assert await reconciler.observe([SYMBOL]) == {SYMBOL: None}
    await client.close()


async def test_a_server_that_hangs_or_is_away_is_unavailable_and_then_seen_again(
    redis_server: RedisServer, redis_url: str
) -> None:
    client = RedisClient(redis_url, timeout=5)
    reconciler = CacheReconciler(client)
    await reconciler.observe([SYMBOL])
    await redis_server.pause()
    with pytest.raises(MirrorUnavailable) as failure:
        await reconciler.observe([SYMBOL])
    assert not failure.value.refused
    await redis_server.resume()
    assert await reconciler.observe([SYMBOL]) == {SYMBOL: None}
    await client.close()

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = RedisClient(f"redis://127.0.0.1:{unused.getsockname()[1]}/0", timeout=0.5)
        with pytest.raises(MirrorUnavailable) as failure:
            await CacheReconciler(nobody).delete(SYMBOL)
        assert not failure.value.refused
        await nobody.close()

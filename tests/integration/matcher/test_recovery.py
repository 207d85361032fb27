"""Where a matcher gets its book from when it starts, and that it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import redis.asyncio
from msgspec.structs import replace
from structlog.testing import capture_logs

from gomatch.cache import BookMirror
from gomatch.engine import Side
from gomatch.errors import EngineError
from gomatch.messages.codec import pack_header, pack_image, unpack_header, unpack_image
from gomatch.store import Journal, Snapshots
from gomatch_matcher.recovery import Recovered, recover
from tests.integration.matcher.conftest import SYMBOL, Bench, order, until_leading

Logs = Sequence[Mapping[str, Any]]
META, ORDERS = (f"gomatch:{{{SYMBOL}}}:{name}" for name in ("meta", "orders"))
COUNT = 60


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(bench.settings.redis_url.get_secret_value()) as client:
        yield client


@pytest.fixture
async def stopped(bench: Bench) -> Bench:
    """A market with open orders, an image after about each ten of them, and a mirror at its
    head."""
    async with bench.matcher(snapshot_every=10):
        for start in range(0, COUNT, 10):
            last = await bench.accept([order(1, Side.SELL, 5, 100 + start + n) for n in range(10)])
            head = await bench.applied(last)
            await _image_of(bench, last)
        await bench.mirrored(head)
    assert await bench.pool.fetchval("SELECT count(*) FROM snapshots") >= 3
    return bench


async def _image_of(bench: Bench, applied: int) -> None:
    """Wait for it: while one is written, more than one batch may be applied."""
    async with asyncio.timeout(60):
        while await bench.pool.fetchval("SELECT max(applied) FROM snapshots") != applied:
            await asyncio.sleep(0.01)


async def recovered(bench: Bench) -> tuple[Recovered, Logs]:
    journal = Journal(bench.pool)
    mirror = BookMirror(bench.settings.redis_url.get_secret_value(), SYMBOL, timeout=60)
    try:
        with capture_logs() as logs:
            done = await recover(
                head=await journal.head(bench.market.market_id),
                journal=journal,
                snapshots=Snapshots(bench.pool),
                mirror=mirror,
            )
    finally:
        await mirror.close()
    assert done.engine.open_orders == COUNT
    assert done.seconds > 0
    return done, logs


def whys(logs: Logs, event: str) -> list[str]:
    return [str(line["why"]) for line in logs if line["event"] == event]


async def test_a_mirror_at_the_head_is_used(stopped: Bench) -> None:
    done, logs = await recovered(stopped)
    assert (done.source, done.replayed, done.images_refused) == ("redis", 0, 0)
    assert done.since == done.head.sequence
    assert logs == []


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("another chain", "another chain"),
        ("torn", "does not add up"),
        ("a header of another sequence", "header is of sequence"),
        ("a header that cannot be read", "unknown version"),
        ("a configuration that the engine refuses", "invalid market configuration"),
        ("deleted", "there is no mirror"),
    ],
)
async def test_a_mirror_that_is_not_the_head_is_not_used(
    damage: str, why: str, stopped: Bench, client: redis.asyncio.Redis
) -> None:
    whole, _ = await recovered(stopped)
    stored: Any = await client.hget(META, "header")
    header = unpack_header(stored)
    match damage:
        case "another chain":
            await client.hset(META, "chain", bytes(32).hex())
        case "torn":
            assert await client.hdel(ORDERS, (await client.hkeys(ORDERS))[0])
        case "a header of another sequence":
            packed = pack_header(replace(header, sequence=header.sequence - 1))
            await client.hset(META, "header", packed)
        case "a header that cannot be read":
            await client.hset(META, "header", b"\x07")
        case "a configuration that the engine refuses":
            config = replace(header.config, max_price=0)
            await client.hset(META, "header", pack_header(replace(header, config=config)))
        case _:
            await client.flushdb()
    done, logs = await recovered(stopped)
    assert done.source == "image"
    assert why in whys(logs, "redis_not_used")[0]
    assert done.engine.image() == whole.engine.image()


async def test_an_older_mirror_is_not_used(bench: Bench, client: redis.asyncio.Redis) -> None:
    async with bench.matcher():
        head = await bench.applied(await bench.accept([order(1, Side.SELL, 5, 100)]))
        await bench.mirrored(head)
    older: dict[bytes, Any] = {key: await client.dump(key) async for key in client.scan_iter()}
    async with bench.matcher():
        last = await bench.accept([order(1, Side.SELL, 5, 101 + n) for n in range(COUNT - 1)])
        await bench.applied(last)
    for key, value in older.items():
        await client.restore(key, 0, value, replace=True)
    done, logs = await recovered(bench)
    assert done.source == "image"
    assert whys(logs, "redis_not_used") == ["it stands at 3"]


@pytest.mark.parametrize("damage", ["garbage", "refused", "of another sequence"])
async def test_behind_an_image_that_cannot_be_used_the_one_before_it_is(
    damage: str, stopped: Bench, client: redis.asyncio.Redis
) -> None:
    whole, _ = await recovered(stopped)
    await client.flushdb()
    rows = await stopped.pool.fetch(
        "SELECT sequence, applied, image FROM snapshots ORDER BY sequence DESC"
    )
    image = unpack_image(rows[0]["image"])
    if damage == "garbage":
        spoiled = b"\x01\x07"
    elif damage == "refused":
        config = replace(image.header.config, max_price=0)
        spoiled = pack_image(replace(image, header=replace(image.header, config=config)))
    else:
        spoiled = rows[1]["image"]
    await _spoil_newest(stopped, spoiled)
    done, logs = await recovered(stopped)
    assert (done.source, done.images_refused) == ("image", 1)
    assert done.since == rows[1]["sequence"]
    assert done.replayed == done.head.applied - rows[1]["applied"] > 0
    assert done.engine.image() == whole.engine.image()
    assert [line["sequence"] for line in logs if line["event"] == "image_not_used"] == [
        rows[0]["sequence"]
    ]


@pytest.mark.parametrize("images", ["deleted", "unreadable"])
async def test_without_mirror_and_image_the_whole_journal_is_replayed(
    images: str, stopped: Bench, client: redis.asyncio.Redis
) -> None:
    whole, _ = await recovered(stopped)
    await client.flushdb()
    count = await stopped.pool.fetchval("SELECT count(*) FROM snapshots")
    if images == "deleted":
        await stopped.pool.execute("DELETE FROM snapshots")
    else:
        await stopped.pool.execute("UPDATE snapshots SET image = '\\x07'")
    done, logs = await recovered(stopped)
    assert (done.source, done.since, done.replayed) == ("genesis", 0, done.head.applied)
    assert done.images_refused == (0 if images == "deleted" else count)
    assert len(whys(logs, "image_not_used")) == done.images_refused
    assert done.engine.image() == whole.engine.image()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "DELETE FROM journal WHERE first_sequence = 1",
            "after sequence 0 and command 0 the journal goes on",
        ),
        ("DELETE FROM commands WHERE first = 2", "command 2 is applied and not stored"),
        (
            "DELETE FROM journal WHERE last_sequence = (SELECT sequence FROM heads)",
            "the journal ends at sequence",
        ),
        ("UPDATE heads SET applied = applied + 1", "its journal ends at"),
    ],
)
async def test_what_cannot_be_recovered_is_said(
    statement: str, says: str, stopped: Bench, client: redis.asyncio.Redis
) -> None:
    await client.flushdb()
    await stopped.pool.execute("DELETE FROM snapshots")
    await stopped.pool.execute(statement)
    with pytest.raises(EngineError, match=f"{says}.*`gomatch audit`"):
        await recovered(stopped)


async def test_log_status_and_metrics_say_which_it_was_and_how_long_it_took(
    stopped: Bench, client: redis.asyncio.Redis
) -> None:
    """And the image that could not be used is replaced at the stop."""
    await client.flushdb()
    await _spoil_newest(stopped, b"\x07")
    for source, refused in (("image", 1), ("redis", 0)):
        with capture_logs() as logs:
            async with stopped.matcher() as service:
                await until_leading(service)
                assert service.status.recovered_from == source
        (line,) = [line for line in logs if line["event"] == "recovered"]
        assert line["source"] == source
        assert line["seconds"] > 0
        assert line["open_orders"] == COUNT
        assert (line["replayed"] > 0) is (source == "image")

        def metric(name: str, **labels: str) -> float | None:
            return stopped.registry.get_sample_value(
                f"gomatch_matcher_{name}", {"market": SYMBOL, **labels}
            )

        assert metric("recoveries_total", source=source) == 1
        assert metric("images_refused_total") == refused
        assert (metric("recovery_seconds") or 0) > 0
    await client.flushdb()
    done, _ = await recovered(stopped)
    assert (done.source, done.replayed, done.images_refused) == ("image", 0, 0)


async def _spoil_newest(bench: Bench, image: bytes) -> None:
    await bench.pool.execute(
        "UPDATE snapshots SET image = $1 WHERE sequence = (SELECT max(sequence) FROM snapshots)",
        image,
    )

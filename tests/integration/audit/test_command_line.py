"""`gomatch audit` as a script sees it: exit code, text and JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import redis.asyncio

from gomatch.audit import audit
from gomatch.messages.market import MarketDefinition
from gomatch.store import Markets, connect_pool
from tests.integration.audit.conftest import Site
from tests.integration.audit.damage import SYMBOL
from tests.integration.audit.test_damage import execute

NOWHERE = "redis://127.0.0.1:9/0"


class Done(NamedTuple):
    code: int | None
    output: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output)
        return found


async def run(site: Site, *options: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "gomatch",
        "audit",
        *options,
        env={
            **os.environ,
            "GOMATCH_POSTGRES_URL": site.database,
            "GOMATCH_REDIS_URL": site.redis,
            "COLUMNS": "200",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    return Done(process.returncode, output.decode(), errors.decode())


async def test_sound_and_complete_ends_with_0(site: Site) -> None:
    text, done = await asyncio.gather(run(site), run(site, "--json"))
    assert text.code == 0
    assert text.output.splitlines()[-1].strip() == "clean"
    assert done.code == 0
    assert done.errors == ""
    assert done.report["clean"] is True
    assert done.report["complete"] is True
    assert done.report["unchecked"] == done.report["outside"] == []
    assert done.report["markets"][SYMBOL]["mirror_sequence"] > 0


async def test_what_differs_ends_with_1_whatever_could_not_be_checked(site: Site) -> None:
    await execute(site, "UPDATE orders SET filled = filled + 1 WHERE number = 30")
    away = Site(site.database, NOWHERE)
    text, done = await asyncio.gather(run(site), run(away, "--json"))
    assert text.code == 1
    assert "order_differs" in text.output
    assert "NOT clean" in text.output
    assert "difference(s) found" in text.errors
    assert done.code == 1
    assert done.report["clean"] is False
    assert done.report["complete"] is False
    assert done.report["findings"][0]["kind"] in ("order_differs", "open_orders")
    assert json.loads(done.errors)["error"] == "differences"


async def test_what_could_not_be_checked_is_said_and_ends_with_4(site: Site) -> None:
    away = Site(site.database, NOWHERE)
    text, done = await asyncio.gather(run(away), run(away, "--json"))
    assert text.code == 4
    assert f"could not be checked: {SYMBOL}: the Redis mirror cannot be read" in text.output
    assert "clean as far as it could be checked" in text.output
    assert done.code == 4
    assert done.report["clean"] is True
    assert done.report["complete"] is False
    assert "Redis" in done.report["unchecked"][0]
    assert json.loads(done.errors)["error"] == "incomplete"


async def test_what_is_left_out_on_purpose_is_said_and_ends_with_0(site: Site) -> None:
    done = await run(Site(site.database, NOWHERE), "--json", "--without-redis", "--market", SYMBOL)
    assert done.code == 0
    assert done.report["complete"] is True
    assert done.report["outside"] == ["the Redis mirrors"]


async def test_a_database_that_is_away_ends_with_3(site: Site) -> None:
    done = await run(Site("postgresql://nobody@127.0.0.1:9/none", site.redis), "--json")
    assert done.code == 3
    assert done.output == ""
    assert json.loads(done.errors)["error"] == "store_unavailable"


async def test_a_market_that_does_not_exist_ends_with_1(site: Site) -> None:
    done = await run(site, "--json", "--market", "NO-SUCH")
    assert done.code == 1
    assert json.loads(done.errors)["error"] == "unknown_market"


async def test_a_mirror_that_is_not_there_is_unchecked(site: Site) -> None:
    async with redis.asyncio.Redis.from_url(site.redis) as client:
        await client.flushdb()
    report = await audit(site.database, site.redis)
    assert report.clean
    assert report.unchecked == [f"{SYMBOL}: there is no Redis mirror"]


async def test_a_new_market_without_a_mirror_is_complete(database_url: str, redis_url: str) -> None:
    pool = await connect_pool(database_url, size=1, timeout=10, application="tests")
    try:
        await Markets(pool).create(
            MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
        )
    finally:
        await pool.close()
    report = await audit(database_url, redis_url)
    assert report.clean, report.findings
    assert report.complete, report.unchecked


async def test_what_is_not_stored_any_more_lies_outside(site: Site) -> None:
    """It is no finding and no failure to look: an audit begins at the oldest image."""
    connection = await asyncpg.connect(site.database)
    try:
        oldest = await connection.fetchval("SELECT min(sequence) FROM snapshots")
        await connection.execute("DELETE FROM journal WHERE last_sequence <= $1", oldest)
        await connection.execute("DELETE FROM commands WHERE first < 100")
    finally:
        await connection.close()
    report = await audit(site.database, site.redis)
    assert report.clean, report.findings
    assert report.complete, report.unchecked
    assert len(report.outside) == 1
    assert f"up to sequence {oldest}" in report.outside[0]

    async with redis.asyncio.Redis.from_url(site.redis) as client:
        await client.hset(f"gomatch:{{{SYMBOL}}}:meta", "sequence", "1")
    report = await audit(site.database, site.redis)
    assert report.unchecked == [f"{SYMBOL}: the mirror, at sequence 1, before the oldest image"]

"""Each kind of damage is planted in a market that was sound, and found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
import redis.asyncio
from msgspec.structs import replace

from gomatch.audit import AuditReport, audit
from gomatch.engine import Command, Engine, Event, NewOrder
from gomatch.messages.codec import pack_image, unpack_image
from tests.integration.audit.conftest import Site
from tests.integration.audit.damage import DATABASE, MIRROR, SYMBOL, DatabaseDamage, MirrorDamage


async def execute(site: Site, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(site.database)
    try:
        done = await connection.execute(statement, *arguments)
        assert not done.endswith(" 0"), statement
    finally:
        await connection.close()


def details(report: AuditReport, kind: str) -> list[str]:
    return [finding.detail for finding in report.findings if finding.kind == kind]


async def test_nothing_is_found_where_nothing_is_wrong(site: Site) -> None:
    report = await audit(site.database, site.redis)
    assert report.clean, report.findings
    assert report.complete, report.unchecked
    assert report.outside == []


@pytest.mark.parametrize("damage", DATABASE, ids=lambda damage: f"{damage.kind}: {damage.says}")
async def test_damage_in_postgresql_is_found(damage: DatabaseDamage, site: Site) -> None:
    await execute(site, damage.statement)
    report = await audit(site.database, site.redis)
    assert any(damage.says in text for text in details(report, damage.kind)), report.findings


@pytest.mark.parametrize("damage", MIRROR, ids=lambda damage: f"{damage.kind}: {damage.how}")
async def test_damage_in_redis_is_found(damage: MirrorDamage, site: Site) -> None:
    client = redis.asyncio.from_url(site.redis)
    try:
        await _spoil(client, damage.how, f"gomatch:{{{SYMBOL}}}:{damage.key}")
    finally:
        await client.aclose()
    report = await audit(site.database, site.redis)
    assert any(damage.says in text for text in details(report, damage.kind)), report.findings


async def _spoil(client: redis.asyncio.Redis, how: str, key: str) -> None:
    match how:
        case "change a field":
            await client.hset(key, next(iter(await client.hkeys(key))), "7")
        case "remove a field":
            assert await client.hdel(key, next(iter(await client.hkeys(key))))
        case "remove a member":
            assert await client.zpopmin(key)
        case "another score":
            first: Any = await client.zrange(key, 0, 0, withscores=True)
            ((member, score),) = first
            assert not await client.zadd(key, {member: score - 1})
        case "another chain":
            await client.hset(key, "chain", bytes(32).hex())
        case "another sequence":
            await client.hincrby(key, "sequence", -1)
        case "another header":
            await client.hset(key, "header", b"\x01\x90")
        case _:
            raise AssertionError(how)


async def test_an_engine_that_raises_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Engine.apply_batch

    def apply_batch(
        self: Engine, first: int, commands: Sequence[Command], out: list[Event]
    ) -> None:
        sound(self, first, commands, out)
        if any(isinstance(one, NewOrder) and one.client_order_id == "c200" for one in commands):
            raise ZeroDivisionError("planted")

    monkeypatch.setattr(Engine, "apply_batch", apply_batch)
    report = await audit(site.database, site.redis)
    assert "ZeroDivisionError('planted')" in details(report, "engine_raised")[0]
    assert any("where the replay ended" in what for what in report.unchecked)
    assert {finding.kind for finding in report.findings} == {"engine_raised"}


@pytest.mark.parametrize("how", ["garbage", "a configuration that the engine refuses"])
async def test_an_oldest_image_that_cannot_be_read_is_found(how: str, site: Site) -> None:
    """Where the journal does not reach back to the market's beginning; the audit goes on from the
    next image."""
    connection = await asyncpg.connect(site.database)
    try:
        rows = await connection.fetch("SELECT sequence, image FROM snapshots ORDER BY sequence")
        oldest = rows[0]["sequence"]
        if how == "garbage":
            image = b"\x07"
        else:
            read = unpack_image(rows[0]["image"])
            config = replace(read.header.config, max_price=0)
            image = pack_image(replace(read, header=replace(read.header, config=config)))
        await connection.execute("DELETE FROM journal WHERE last_sequence <= $1", oldest)
        await connection.execute(
            "UPDATE snapshots SET image = $1 WHERE sequence = $2", image, oldest
        )
    finally:
        await connection.close()
    report = await audit(site.database, site.redis)
    assert [finding.kind for finding in report.findings] == ["image_unreadable"]
    assert str(oldest) in report.findings[0].detail
    assert f"up to sequence {rows[1]['sequence']}" in report.outside[0]
    assert report.markets[SYMBOL].mirror_sequence


async def test_without_any_readable_image_the_rest_is_still_looked_at(site: Site) -> None:
    connection = await asyncpg.connect(site.database)
    try:
        await connection.execute(
            "DELETE FROM journal WHERE last_sequence <= (SELECT min(sequence) FROM snapshots)"
        )
        await connection.execute("UPDATE snapshots SET image = '\\x07'")
        await connection.execute(
            "DELETE FROM trades WHERE sequence = (SELECT max(sequence) FROM trades)"
        )
    finally:
        await connection.close()
    report = await audit(site.database, site.redis)
    kinds = [finding.kind for finding in report.findings]
    assert set(kinds) == {"image_unreadable", "journal_gap", "trade_missing"}, report.findings
    assert any("the journal has a gap" in what for what in report.unchecked)

"""What a faulty engine would have journaled, under a sound chain, is found by what it says."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from gomatch.audit import audit
from gomatch.engine import Event
from gomatch.messages.codec import GENESIS_CHAIN, next_chain, pack_events, unpack_events
from gomatch.messages.market import MarketDefinition
from gomatch.store import Markets, connect_pool
from tests.integration.audit.conftest import Site
from tests.unit.audit.flaws import FLAWS, SOUND


async def forge(
    connection: asyncpg.Connection, count: int, events: bytes, *, market_id: int = 1
) -> None:
    """A journal of one row: ``count`` packed events that came of the market's first command."""
    row = {
        "first_number": 1,
        "last_number": 1,
        "first_sequence": 1,
        "last_sequence": count,
        "epoch": 1,
        "rules_version": 1,
        "time": 1,
        "events": events,
    }
    chain = next_chain(GENESIS_CHAIN, **row)  # type: ignore[arg-type]
    await connection.execute("DELETE FROM journal")
    await connection.execute(
        f"INSERT INTO journal (market_id, chain, {', '.join(row)})"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        market_id,
        chain,
        *row.values(),
    )


async def test_each_flaw_of_an_engine_is_found_under_a_sound_chain(database_url: str) -> None:
    pool = await connect_pool(database_url, size=1, timeout=10, application="tests")
    try:
        await Markets(pool).create(
            MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
        )
    finally:
        await pool.close()
    connection = await asyncpg.connect(database_url)

    async def kinds(events: Sequence[Event]) -> set[str]:
        await forge(connection, len(events), pack_events(events))
        report = await audit(database_url, None)
        return {finding.kind for finding in report.findings}

    try:
        replayed = {"events_differ", "head"}
        assert await kinds(SOUND) == {*replayed, "trade_missing"}
        for flaw in FLAWS:
            found = await kinds(flaw.events)
            assert flaw.kind in found, flaw
            assert found >= replayed, "the replay of the commands sees it too"
    finally:
        await connection.close()


async def test_other_bytes_of_the_same_events_are_found(site: Site) -> None:
    """Whoever hashed them did not write what the engine gave."""
    connection = await asyncpg.connect(site.database)
    try:
        row = await connection.fetchrow("SELECT last_sequence, events FROM journal LIMIT 1")
        events = row["events"]
        short, middle = events[1] & 0xF0 == 0x90, events[1] == 0xDC
        assert short or middle
        length = events[1:2] if short else events[2:4]
        count = int.from_bytes(length) & (0x0F if short else 0xFFFF)
        same = b"\x01\xdd" + count.to_bytes(4) + events[2 if short else 4 :]
        assert unpack_events(same) == unpack_events(events)
        await connection.execute(
            "UPDATE journal SET events = $1 WHERE last_sequence = $2", same, row["last_sequence"]
        )
    finally:
        await connection.close()
    report = await audit(site.database, site.redis)
    assert [finding.kind for finding in report.findings] == ["chain", "events_differ"]
    assert "the bytes of sequences" in report.findings[1].detail

"""Migrations: started at once, started again, and databases that do not fit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from gomatch.errors import SchemaMismatch, StoreUnavailable
from gomatch.store import Markets, check_schema, connect_pool, migrate, migrations
from gomatch.store.migrations import packaged
from tests.fixtures.links import ProxyFactory
from tests.fixtures.proxy import Direction
from tests.integration.store.led import LedMarket, commit_as_before
from tests.integration.store.rows import DEFINITION, order_row

NAMES = [f"{migration.version:04d}_{migration.name}" for migration in packaged()]
NEWEST = packaged()[-1].version


async def check(url: str) -> None:
    async with await connect_pool(url, size=1, timeout=10, application="tests") as pool:
        await check_schema(pool)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_several_at_once_apply_each_migration_once(empty_database_url: str) -> None:
    done = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert sorted(done) == [[], [], [], NAMES]
    await check(empty_database_url)


async def test_what_was_applied_is_told_though_the_server_is_slow_to_say_goodbye(
    empty_database_url: str, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(empty_database_url)

    def stall_at_the_goodbye(direction: Direction, data: bytes) -> None:
        if direction == "to_server" and data.endswith(b"X\x00\x00\x00\x04"):
            proxy.stall()

    proxy.hook = stall_at_the_goodbye
    assert await migrate(proxy.url(empty_database_url)) == NAMES


async def test_a_second_run_changes_nothing(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_an_empty_database_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="gomatch migrate"):
        await check(empty_database_url)


async def test_a_database_that_lacks_a_migration_is_refused(database_url: str) -> None:
    await execute(database_url, f"DELETE FROM schema_migrations WHERE version = {NEWEST}")
    with pytest.raises(SchemaMismatch, match=NAMES[-1]):
        await check(database_url)


LATER = "INSERT INTO schema_migrations (version, name, checksum, works_with) VALUES "


@pytest.mark.parametrize("works_with", ["NULL", "9998"])
async def test_a_database_that_is_too_new_is_refused_with_the_schema_that_it_needs(
    database_url: str, works_with: str
) -> None:
    await execute(database_url, LATER + f"(9999, 'later', 'x', {works_with})")
    needed = "9999" if works_with == "NULL" else works_with
    with pytest.raises(SchemaMismatch, match=f"programs of schema {needed} or newer.*newer gomat"):
        await check(database_url)
    with pytest.raises(SchemaMismatch, match=f"programs of schema {needed}"):
        await migrate(database_url)


async def test_a_newer_database_that_works_with_this_build_is_taken_as_it_is(
    database_url: str,
) -> None:
    await execute(database_url, LATER + f"(9998, 'later', 'x', 1), (9999, 'latest', 'x', {NEWEST})")
    await check(database_url)
    assert await migrate(database_url) == []


async def test_one_migration_that_does_not_work_with_this_build_is_enough(
    database_url: str,
) -> None:
    await execute(database_url, LATER + "(9998, 'later', 'x', 9998), (9999, 'latest', 'x', 1)")
    with pytest.raises(SchemaMismatch, match="at schema 9999, which needs programs of schema 9998"):
        await check(database_url)


@pytest.fixture
def build_before(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process knows the migrations up to 4 only, until it is undone."""
    known = [migration for migration in packaged() if migration.version <= 4]
    monkeypatch.setattr(migrations, "packaged", lambda: known)
    return monkeypatch


async def test_the_build_before_claims_goes_on_after_them(
    database_url: str, build_before: pytest.MonkeyPatch
) -> None:
    await check(database_url)
    assert await migrate(database_url) == []


async def test_a_database_in_use_is_brought_forward_with_what_it_holds(
    empty_database_url: str, build_before: pytest.MonkeyPatch
) -> None:
    assert await migrate(empty_database_url) == NAMES[:4]
    async with await connect_pool(
        empty_database_url, size=1, timeout=10, application="tests"
    ) as pool:
        record = await Markets(pool).create(DEFINITION)
        build_before.undo()
        with pytest.raises(SchemaMismatch, match=NAMES[4]):
            await check_schema(pool)
        assert await migrate(empty_database_url) == NAMES[4:]
        await check_schema(pool)
        assert await Markets(pool).get(DEFINITION.symbol) == record


async def test_a_matcher_of_the_build_before_commits_on_while_its_database_is_migrated(
    empty_database_url: str, build_before: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database_url)
    async with await connect_pool(
        empty_database_url, size=1, timeout=10, application="tests"
    ) as pool:
        market = await Markets(pool).create(DEFINITION)
        led = LedMarket(empty_database_url, market.market_id)
        await led.lead("before")
        for known in (4, NEWEST):
            assert await pool.fetchval("SELECT max(version) FROM schema_migrations") == known
            written = led.next()
            row = order_row(market.market_id, written.last_number)
            assert await commit_as_before(pool, replace(written, new_orders=[row]))
            led.position = (written.last_number, written.last_sequence, written.chain)
            build_before.undo()
            await migrate(empty_database_url)
        await led.leadership.renew(led.market_id, led.epoch, 60)
        await led.close()


async def test_a_migration_gives_up_soon_where_somebody_reads_for_long(
    empty_database_url: str, build_before: pytest.MonkeyPatch
) -> None:
    """Waiting for the reader it would keep every commit waiting."""
    await migrate(empty_database_url)
    build_before.undo()
    reader = await asyncpg.connect(empty_database_url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT FROM heads")
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                await migrate(empty_database_url)
    finally:
        await reader.close()
    assert await migrate(empty_database_url) == NAMES[4:]


async def test_a_migration_that_was_changed_afterwards_is_refused(database_url: str) -> None:
    await execute(database_url, "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    with pytest.raises(SchemaMismatch, match=NAMES[0]):
        await check(database_url)


async def test_no_server_is_store_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await migrate("postgresql://gomatch@127.0.0.1:1/gomatch")

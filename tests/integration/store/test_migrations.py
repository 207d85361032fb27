"""Migrations: started at once, started again, and databases that do not fit."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from gomatch.errors import SchemaMismatch, StoreUnavailable
from gomatch.store import check_schema, connect_pool, migrate
from gomatch.store.migrations import packaged

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


async def test_a_second_run_changes_nothing(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_an_empty_database_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="gomatch migrate"):
        await check(empty_database_url)


async def test_a_database_that_lacks_a_migration_is_refused(database_url: str) -> None:
    await execute(database_url, f"DELETE FROM schema_migrations WHERE version = {NEWEST}")
    with pytest.raises(SchemaMismatch, match=NAMES[-1]):
        await check(database_url)


async def test_a_newer_database_is_refused(database_url: str) -> None:
    await execute(database_url, "INSERT INTO schema_migrations VALUES (9999, 'later', 'x')")
    with pytest.raises(SchemaMismatch, match="9999"):
        await check(database_url)
    with pytest.raises(SchemaMismatch, match="9999"):
        await migrate(database_url)


async def test_a_migration_that_was_changed_afterwards_is_refused(database_url: str) -> None:
    await execute(database_url, "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    with pytest.raises(SchemaMismatch, match=NAMES[0]):
        await check(database_url)


async def test_no_server_is_store_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await migrate("postgresql://gomatch@127.0.0.1:1/gomatch")

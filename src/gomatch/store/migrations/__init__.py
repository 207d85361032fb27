"""Numbered SQL migrations, applied in order, each in a transaction of its own.

Safe when several start it at once: an advisory lock lets one go first, and the others find
nothing left to do. An applied file must not change afterwards; its checksum is kept.

Programs of several versions share a database while one replaces the other. So a migration whose
first line is ``-- Works with programs of schema N.`` leaves the database fit for programs that know
the migrations up to N; without that line only for those that know the migration itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import asyncpg

from gomatch.errors import SchemaMismatch
from gomatch.store.failures import Translated
from gomatch.store.pool import CONNECT_TIMEOUT, part_from

_LOCK = 0x676F6D61  # "goma"
_LOCK_TIMEOUT = 60.0
# Whoever waits for a table keeps everybody else waiting behind it: rather give up and be run again.
_TABLE_LOCK = "SET LOCAL lock_timeout = '3s'"
_WORKS_WITH = re.compile(r"-- Works with programs of schema (\d+)\.\n")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        return f"{self.version:04d}_{self.name}"

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def works_with(self) -> int | None:
        """The oldest schema whose programs work on the database afterwards; None: its own."""
        stated = _WORKS_WITH.match(self.sql)
        return int(stated[1]) if stated else None


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration as the database has it; ``works_with`` is the oldest schema it is fit for."""

    version: int
    checksum: str
    works_with: int


def packaged() -> list[Migration]:
    """The migrations of this build, in order."""
    found = []
    for entry in files(__package__).iterdir():
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


async def migrate(url: str) -> list[str]:
    """Apply what is missing; returns the names of what was applied.

    Raises SchemaMismatch when the database is too new for this build or an applied migration has
    changed, and StoreUnavailable.
    """
    with Translated(writing=True):
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT, server_settings={"application_name": "gomatch migrate"}
        )
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_LOCK_TIMEOUT)
            await connection.execute(_TABLE)
            missing = _missing(await _applied(connection))
            for migration in missing:
                async with connection.transaction():
                    await _apply(connection, migration)
            return [migration.label for migration in missing]
        finally:
            await part_from(connection, timeout=2)


async def check_schema(pool: asyncpg.Pool) -> None:
    """Raises SchemaMismatch unless the database has this build's schema or a newer one that this
    build works with, and StoreUnavailable."""
    with Translated():
        exists = await pool.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        applied = await _applied(pool) if exists else {}
    if missing := _missing(applied):
        raise SchemaMismatch(
            f"the database lacks migration {missing[0].label}; run `gomatch migrate`"
        )


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(_TABLE_LOCK)
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        migration.version,
        migration.name,
        migration.checksum,
    )
    if migration.works_with is not None:
        await connection.execute(
            "UPDATE schema_migrations SET works_with = $2 WHERE version = $1",
            migration.version,
            migration.works_with,
        )


async def _applied(connection: asyncpg.Connection | asyncpg.Pool) -> dict[int, Applied]:
    # As JSON, because the column is not there before the first migration that fills it.
    rows = await connection.fetch(
        "SELECT version, checksum, (to_jsonb(m) ->> 'works_with')::integer"
        " FROM schema_migrations AS m"
    )
    return {row[0]: Applied(row[0], row[1], row[0] if row[2] is None else row[2]) for row in rows}


def _missing(applied: dict[int, Applied]) -> list[Migration]:
    known = packaged()
    for migration in known:
        found = applied.get(migration.version)
        if found is not None and found.checksum != migration.checksum:
            raise SchemaMismatch(
                f"migration {migration.label} was changed after it was "
                "applied here; this build does not fit the database"
            )
    newest = known[-1].version
    needed = max((one.works_with for one in applied.values()), default=0)
    if needed > newest:
        raise SchemaMismatch(
            f"the database is at schema {max(applied)}, which needs programs of schema {needed} or "
            f"newer; this one knows schema {newest}: install a newer gomatch"
        )
    return [migration for migration in known if migration.version not in applied]

"""Numbered SQL migrations, applied in order, each in a transaction of its own.

Safe when several start it at once: an advisory lock lets one go first, and the others find
nothing left to do. An applied file must not change afterwards; its checksum is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import asyncpg

from gomatch.errors import SchemaMismatch
from gomatch.store.failures import Translated
from gomatch.store.pool import CONNECT_TIMEOUT

_LOCK = 0x676F6D61  # "goma"
_LOCK_TIMEOUT = 60.0
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
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


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

    Raises SchemaMismatch when the database is newer than this build or an applied migration has
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
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO schema_migrations (version, name, checksum)"
                        " VALUES ($1, $2, $3)",
                        migration.version,
                        migration.name,
                        migration.checksum,
                    )
            return [f"{migration.version:04d}_{migration.name}" for migration in missing]
        finally:
            await connection.close(timeout=2)


async def check_schema(pool: asyncpg.Pool) -> None:
    """Raises SchemaMismatch unless the database has exactly this build's schema, and
    StoreUnavailable."""
    with Translated():
        exists = await pool.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        applied = await _applied(pool) if exists else {}
    if missing := _missing(applied):
        raise SchemaMismatch(
            f"the database lacks migration {missing[0].version:04d}_{missing[0].name}; "
            "run `gomatch migrate`"
        )


async def _applied(connection: asyncpg.Connection | asyncpg.Pool) -> dict[int, str]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _missing(applied: dict[int, str]) -> list[Migration]:
    known = packaged()
    for migration in known:
        checksum = applied.get(migration.version)
        if checksum is not None and checksum != migration.checksum:
            raise SchemaMismatch(
                f"migration {migration.version:04d}_{migration.name} was changed after it was "
                "applied here; this build does not fit the database"
            )
    newest = known[-1].version
    if applied and max(applied) > newest:
        raise SchemaMismatch(
            f"the database has migration {max(applied)}, this build knows {newest}; install a "
            "newer gomatch"
        )
    return [migration for migration in known if migration.version not in applied]

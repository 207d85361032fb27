"""Commits that stand still on the server, inside COMMIT, for as long as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_LOCK = 4711
_TRIGGER = f"""
CREATE FUNCTION held_commit() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER held_commit AFTER INSERT ON journal
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION held_commit();
"""


class HeldCommits:
    """A deferred trigger on the journal waits in COMMIT for a lock that the test holds."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self.admin = admin

    async def hold(self) -> None:
        """From now on commits of batches do not end."""
        await self.admin.execute("SELECT pg_advisory_lock($1)", _LOCK)

    async def release(self) -> None:
        """Those that stand still end, and new ones pass."""
        await self.admin.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async def session_inside(self) -> int:
        """Wait for a session that stands inside COMMIT; its process id."""
        async with asyncio.timeout(60):
            while True:
                pid: int | None = await self.admin.fetchval(
                    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                    " AND database = (SELECT oid FROM pg_database"
                    "                  WHERE datname = current_database())"
                )
                if pid is not None:
                    return pid
                await asyncio.sleep(0.01)

    async def sequence(self) -> int:
        """The head's, as committed."""
        sequence: int = await self.admin.fetchval("SELECT sequence FROM heads")
        return sequence

    async def moved_from(self, sequence: int) -> None:
        """Wait until the head has left ``sequence``."""
        async with asyncio.timeout(60):
            while await self.sequence() == sequence:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def held_commits(database_url: str) -> AsyncIterator[HeldCommits]:
    admin = await asyncpg.connect(database_url)
    try:
        await admin.execute(_TRIGGER)
        yield HeldCommits(admin)
    finally:
        await admin.close()

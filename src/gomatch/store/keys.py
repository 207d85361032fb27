"""Users and their API keys. A key's secret is derived from its id and never stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from gomatch.store.pool import PoolUser
from gomatch.store.records import ApiKeyRecord

_COLUMNS = """
k.key_id, k.user_id, u.name, k.scopes, k.label, k.rate_limit, k.created_at, k.revoked_at
"""
_SELECT = f"SELECT {_COLUMNS} FROM api_keys AS k JOIN users AS u ON u.id = k.user_id "  # noqa: S608
# The update in the conflict changes nothing; it makes the row come back.
_CREATE = f"""
WITH u AS (
    INSERT INTO users (name, created_at) VALUES ($2, gomatch_now())
        ON CONFLICT (name) DO UPDATE SET name = excluded.name
    RETURNING id, name
), k AS (
    INSERT INTO api_keys (key_id, user_id, scopes, label, rate_limit, created_at)
    SELECT $1, u.id, $3, $4, $5, gomatch_now() FROM u
    RETURNING *
)
SELECT {_COLUMNS} FROM k JOIN u ON u.id = k.user_id
"""  # noqa: S608


class ApiKeys(PoolUser):
    async def create(
        self,
        user_name: str,
        scopes: Iterable[str],
        *,
        label: str = "",
        rate_limit: float | None = None,
    ) -> ApiKeyRecord:
        """A new key; the user is made when there is none of that name."""
        row = await self._fetchrow(
            _CREATE,
            f"gk_{secrets.token_hex(10)}",
            user_name,
            sorted(set(scopes)),
            label,
            rate_limit,
            writing=True,
        )
        return _record(row)

    async def get(self, key_id: str) -> ApiKeyRecord | None:
        row = await self._fetchrow(_SELECT + "WHERE k.key_id = $1", key_id)
        return None if row is None else _record(row)

    async def all_active(self) -> list[ApiKeyRecord]:
        rows = await self._fetch(_SELECT + "WHERE k.revoked_at IS NULL ORDER BY k.created_at")
        return [_record(row) for row in rows]

    async def active(self, after: str, *, limit: int) -> list[ApiKeyRecord]:
        """At most ``limit`` keys that are not revoked, by id, from behind the id ``after``."""
        rows = await self._fetch(
            _SELECT + "WHERE k.revoked_at IS NULL AND k.key_id > $1 ORDER BY k.key_id LIMIT $2",
            after,
            limit,
        )
        return [_record(row) for row in rows]

    async def now(self) -> int:
        """PostgreSQL's time, in which keys are revoked (microseconds)."""
        row = await self._fetchrow("SELECT gomatch_now()")
        assert row is not None
        now: int = row[0]
        return now

    async def revoke(self, key_id: str) -> bool:
        """True when the key exists; revoking twice keeps the first time."""
        row = await self._fetchrow(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, gomatch_now())"
            " WHERE key_id = $1 RETURNING key_id",
            key_id,
            writing=True,
        )
        return row is not None

    async def revoked_since(self, time: int) -> list[ApiKeyRecord]:
        """Keys revoked at ``time`` (microseconds) or later. A transaction may end a moment after
        the time it noted, so ask again from some seconds before the last answer."""
        rows = await self._fetch(_SELECT + "WHERE k.revoked_at >= $1 ORDER BY k.revoked_at", time)
        return [_record(row) for row in rows]

    async def list(self) -> list[ApiKeyRecord]:
        """All keys, revoked ones too, by age."""
        rows = await self._fetch(_SELECT + "ORDER BY k.created_at, k.key_id")
        return [_record(row) for row in rows]


def _record(row: Any) -> ApiKeyRecord:
    key_id, user_id, user_name, scopes, label, rate_limit, created_at, revoked_at = row
    return ApiKeyRecord(
        key_id=key_id,
        user_id=user_id,
        user_name=user_name,
        scopes=frozenset(scopes),
        label=label,
        rate_limit=rate_limit,
        created_at=created_at,
        revoked_at=revoked_at,
    )

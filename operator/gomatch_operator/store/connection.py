"""The operator's way to PostgreSQL: a pool that is made when it is first asked for, so that the
operator starts, and serves the cluster, while the database is away."""

from __future__ import annotations

import asyncio

import asyncpg

from gomatch.credentials import Endpoint
from gomatch.store import Claims, check_schema, close_pool, connect_pool

_SIZE = 8


class ClaimsSource:
    """``timeout`` in seconds limits each statement."""

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._pool: asyncpg.Pool | None = None
        self._checked = False
        self._connecting = asyncio.Lock()

    async def claims(self) -> Claims:
        """Raises StoreUnavailable, and SchemaMismatch until the schema fits."""
        async with self._connecting:
            if self._pool is None:
                self._pool = await connect_pool(
                    self._endpoint,
                    size=_SIZE,
                    timeout=self._timeout,
                    application="gomatch-operator",
                )
            if not self._checked:
                await check_schema(self._pool)
                self._checked = True
        return Claims(self._pool, timeout=self._timeout)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await close_pool(pool)

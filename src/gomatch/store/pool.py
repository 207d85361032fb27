"""Connections to PostgreSQL: session settings, the pool, and connections of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from gomatch.credentials import Endpoint
from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch.store.failures import Translated

_log = logs.get(__name__)
CONNECT_TIMEOUT = 5.0
_LOST_PEER_SECONDS = 5


def statement_milliseconds(timeout: float) -> int:
    """`statement_timeout` for a client that waits ``timeout`` seconds: a little less."""
    return max(100, int(timeout * 900))


def session_settings(
    application: str, *, timeout: float, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What every session sets at its start; ``timeout`` in seconds limits a statement.

    The server gives up shortly before the client does, so that a slow statement is reported as
    cancelled (nothing written) and not as an answer that never came. A client that vanished is
    noticed within seconds, so that its locks go.
    """
    milliseconds = statement_milliseconds(timeout)
    return {
        "application_name": application,
        "timezone": "UTC",
        "jit": "off",
        "statement_timeout": str(milliseconds),
        "lock_timeout": str(milliseconds),
        "idle_in_transaction_session_timeout": str(milliseconds),
        "tcp_keepalives_idle": str(_LOST_PEER_SECONDS),
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": str(_LOST_PEER_SECONDS * 1000),
        **(extra or {}),
    }


async def connect_pool(
    server: str | Endpoint, *, size: int, timeout: float, application: str
) -> asyncpg.Pool:
    """A pool of at most ``size`` connections; ``timeout`` (seconds) limits every statement.

    Raises StoreUnavailable when no connection can be made.
    """
    endpoint = Endpoint.of(server)

    async def connect(_: object, **options: Any) -> asyncpg.Connection:
        return await asyncpg.connect(endpoint.current_url(), **options)

    with Translated():
        return await asyncpg.create_pool(
            connect=connect,
            min_size=1,
            max_size=size,
            timeout=min(timeout, CONNECT_TIMEOUT),
            command_timeout=timeout,
            server_settings=session_settings(application, timeout=timeout),
            # Our statements leave no session state behind, so the default reset, a round trip
            # at every release, would be paid for nothing.
            reset=_keep,
        )


async def close_pool(pool: asyncpg.Pool, *, timeout: float = 5.0) -> None:
    """Wait at most ``timeout`` seconds for connections that are in use, then cut them."""
    try:
        async with asyncio.timeout(timeout):
            await pool.close()
    except TimeoutError:
        _log.warning("pool_not_closed", why=f"its connections were in use for {timeout} s more")
        pool.terminate()


async def _keep(_connection: object) -> None:
    return None


class PoolUser:
    """Base of everything that reads or writes through the pool.

    ``timeout`` (seconds) limits waiting for a free connection; the pool's own limits each
    statement.
    """

    def __init__(self, pool: asyncpg.Pool, *, timeout: float = 10.0) -> None:
        self._pool = pool
        self._timeout = timeout

    async def _fetch(self, sql: str, *arguments: Any, writing: bool = False) -> list[Any]:
        async with self._connection(writing=writing) as connection:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows

    async def _fetchrow(self, sql: str, *arguments: Any, writing: bool = False) -> Any | None:
        rows = await self._fetch(sql, *arguments, writing=writing)
        return rows[0] if rows else None

    @asynccontextmanager
    async def _connection(self, *, writing: bool = False) -> AsyncIterator[Any]:
        """A connection of the pool; what fails inside raises as of ``Translated``.

        What becomes of the connection afterwards never changes what the caller is told: one
        that fell silent is cut, not waited for.
        """
        with Translated():
            connection = await self._pool.acquire(timeout=self._timeout)
        try:
            with Translated(writing=writing):
                yield connection
        except StoreUnavailable:
            _cut(connection)
            raise
        finally:
            await self._release(connection)

    async def _release(self, connection: Any) -> None:
        try:
            await self._pool.release(connection, timeout=self._timeout)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("connection_not_released", why=repr(error))
            _cut(connection)


def _cut(connection: Any) -> None:
    """Without a word to the server. The pool may have parted from a lost one already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


class Probe(PoolUser):
    """Whether this server takes what has to be written."""

    async def check(self) -> None:
        """Raises StoreUnavailable when it does not answer, or answers and is read-only, as a
        primary is that was demoted."""
        row = await self._fetchrow("SHOW transaction_read_only")
        assert row is not None
        if row[0] != "off":
            raise StoreUnavailable("PostgreSQL is read-only: it is not the primary")


class OwnConnection:
    """One connection outside any pool, for what must not wait behind other work.

    It does not reconnect by itself: after a failure ``connected`` is False and the owner decides.
    """

    def __init__(
        self,
        server: str | Endpoint,
        *,
        timeout: float,
        application: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._endpoint = Endpoint.of(server)
        self._timeout = timeout
        self._settings = session_settings(application, timeout=timeout, extra=settings)
        self._connection: Any = None

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def connect(self) -> int:
        """Connect (again) and return the process id of the session at the server."""
        await self.close()
        with Translated():
            self._connection = await asyncpg.connect(
                self._endpoint.current_url(),
                timeout=min(self._timeout, CONNECT_TIMEOUT),
                command_timeout=self._timeout,
                server_settings=self._settings,
            )
        pid: int = self._connection.get_server_pid()
        return pid

    def connection(self) -> Any:
        """The live asyncpg connection. Raises StoreUnavailable when there is none."""
        if not self.connected:
            raise StoreUnavailable("not connected to PostgreSQL")
        return self._connection

    def drop(self) -> None:
        """Cut the connection at once, without a word to the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            await part_from(connection, timeout=1.0)


async def part_from(connection: Any, *, timeout: float) -> None:
    """Close ``connection``, or cut it when the server does not answer within ``timeout`` seconds:
    what was done on it is done."""
    try:
        await connection.close(timeout=timeout)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def durability_warnings(pool: asyncpg.Pool) -> Sequence[str]:
    """Why an acknowledged command could be lost with this server's settings; empty: it cannot.

    Raises StoreUnavailable.
    """
    with Translated():
        rows = await pool.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
            ["fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names"],
        )
    settings = {row["name"]: row["setting"] for row in rows}
    warnings = []
    if settings["fsync"] != "on":
        warnings.append("fsync is off: a crash of the machine loses acknowledged commands")
    if settings["full_page_writes"] != "on":
        warnings.append("full_page_writes is off: a crash can leave torn pages")
    if settings["synchronous_commit"] in ("off", "local"):
        warnings.append(
            f"synchronous_commit is {settings['synchronous_commit']}: a crash or failover loses "
            "acknowledged commands"
        )
    if not settings["synchronous_standby_names"]:
        warnings.append(
            "no synchronous standby: a failover to a replica loses acknowledged commands"
        )
    return warnings

"""One connection pool to Redis or Valkey, with limits on every call and our own errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

import hiredis
from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from gomatch.credentials import Endpoint
from gomatch.errors import CacheError, ConfigurationError, CredentialsMissing

Argument = str | bytes | int
_FAILURES = (RedisError, OSError, TimeoutError)
_IDLE_BEFORE_PING = 15
"""Seconds without use after which a connection is asked whether it still lives."""


class _PackedByHiredis:
    """Redis-py packs the arguments of asyncio connections in Python, at 2 to 4 µs for each
    argument; hiredis does it in C."""

    def pack_command(self, *args: Any) -> list[bytes]:
        command = args[0]
        if " " in command:
            args = (*command.split(), *args[1:])
        return [hiredis.pack_command(args)]


class _TcpConnection(_PackedByHiredis, Connection):
    pass


class _TlsConnection(_PackedByHiredis, SSLConnection):
    pass


class _UnixConnection(_PackedByHiredis, UnixDomainSocketConnection):
    pass


_CONNECTIONS: dict[type, type] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class _FromFiles(CredentialProvider):
    """Asked for each new connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            credentials = self._endpoint.credentials()
        except CredentialsMissing as error:
            # After an error that is none of its own, redis-py keeps the connection and uses it
            # later without a user.
            raise AuthenticationError(str(error)) from error
        assert credentials is not None
        if credentials.username:
            return credentials.username, credentials.password
        return (credentials.password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class Script:
    """A Lua script of this package and its digest."""

    def __init__(self, name: str) -> None:
        self.source = files("gomatch.cache").joinpath("lua", f"{name}.lua").read_text("utf-8")
        self.digest = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@cache
def script(name: str) -> Script:
    """The script of this name, read once."""
    return Script(name)


class RedisClient:
    """``timeout`` seconds bound each call, connecting and one retry on a lost connection
    included; whatever goes wrong is a CacheError."""

    def __init__(self, server: str | Endpoint, *, timeout: float) -> None:
        """Raises ConfigurationError on a URL that cannot be one."""
        self._timeout = timeout
        endpoint = Endpoint.of(server)
        try:
            self._redis: Redis = Redis.from_url(
                endpoint.url if endpoint.folder is None else endpoint.anonymous_url(),
                credential_provider=None if endpoint.folder is None else _FromFiles(endpoint),
                protocol=2,
                # Every call has a limit here. With one of redis-py's own each command goes through
                # asyncio.wait_for, which before Python 3.12 loses a cancellation that comes in
                # the same moment as the result.
                socket_timeout=None,
                socket_connect_timeout=timeout,
                socket_keepalive=True,
                health_check_interval=_IDLE_BEFORE_PING,
                # Every call here may be sent twice: a write that was applied is recognised.
                retry=Retry(
                    ExponentialWithJitterBackoff(base=0.01, cap=timeout / 4),
                    retries=2,
                    supported_errors=(RedisConnectionError,),
                ),
                client_name="gomatch",
            )
            pool = self._redis.connection_pool
            pool.connection_class = _CONNECTIONS[pool.connection_class]
            self._execute: Callable[..., Awaitable[Any]] = self._redis.execute_command
        except ValueError as error:
            raise ConfigurationError(f"redis_url: {error}") from error

    async def evaluate(self, name: str, keys: Sequence[str], arguments: Iterable[Argument]) -> Any:
        """Run a script, loading it when the server does not know it."""
        code = script(name)
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._execute("EVALSHA", code.digest, len(keys), *keys, *arguments)
                except NoScriptError:
                    return await self._execute("EVAL", code.source, len(keys), *keys, *arguments)
        except _FAILURES as error:
            raise _cache_error(error) from error

    async def pipeline(
        self, commands: Iterable[Sequence[Argument]], *, transaction: bool
    ) -> list[Any]:
        """Run all ``commands`` in one round trip, as one MULTI when ``transaction``."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._redis.pipeline(transaction=transaction) as pipeline,
            ):
                for command in commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute()
        except _FAILURES as error:
            raise _cache_error(error) from error

    async def answers(self, commands: Iterable[Sequence[Argument]]) -> list[Any]:
        """As `pipeline` in one MULTI, with a command's error in place of its answer."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._redis.pipeline(transaction=True) as pipeline,
            ):
                for command in commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute(raise_on_error=False)
        except _FAILURES as error:
            raise _cache_error(error) from error

    async def close(self) -> None:
        await self._redis.aclose()


def _cache_error(error: Exception) -> CacheError:
    if isinstance(error, TimeoutError):
        return CacheError("Redis did not answer in time")
    if isinstance(error.__cause__, CredentialsMissing):
        return CacheError(f"credentials of Redis missing: {error}")
    if isinstance(error, AuthenticationError):
        return CacheError(f"credentials refused by Redis: {error}")
    return CacheError(f"Redis failed: {error or type(error).__name__}")

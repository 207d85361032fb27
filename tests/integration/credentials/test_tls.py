"""Each URL names a certificate authority, and only servers that it vouches for are spoken to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gomatch.cache import BookMirror
from gomatch.errors import CacheError, StoreUnavailable
from gomatch.store import connect_pool
from gomatch.transport import RabbitMQTransport

_CERTIFICATES = Path(__file__).parents[2] / "fixtures" / "certificates"
_SSL_REQUEST_BYTES = 8


class TlsServer:
    """Takes a connection to the end of its handshake, and the first bytes after it."""

    def __init__(self, *, postgres: bool) -> None:
        self._postgres = postgres
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(_CERTIFICATES / "server.pem", _CERTIFICATES / "server.key")
        self.port = 0
        self.heard: list[bytes] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TlsServer]:
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=None if self._postgres else self._context
        )
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._postgres:
                await reader.readexactly(_SSL_REQUEST_BYTES)
                writer.write(b"S")
                await writer.start_tls(self._context)
            first = await reader.read(100)
            if first:
                self.heard.append(first)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def postgres(port: int, authority: Path) -> None:
    url = f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=verify-full&sslrootcert={authority}"
    with pytest.raises(StoreUnavailable):
        await connect_pool(url, size=1, timeout=30, application="tests")


async def rabbitmq(port: int, authority: Path) -> None:
    transport = RabbitMQTransport(f"amqps://u:p@127.0.0.1:{port}/?cafile={authority}")
    assert await transport.depth("BTC-USDT") is None
    await transport.close()


async def redis(port: int, authority: Path) -> None:
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}"
    mirror = BookMirror(url, "BTC-USDT", timeout=30)
    with pytest.raises(CacheError):
        await mirror.load()
    await mirror.close()


@pytest.mark.parametrize("connect", [postgres, rabbitmq, redis])
async def test_a_server_is_spoken_to_when_the_named_authority_vouches_for_it(
    connect: Callable[[int, Path], Awaitable[None]],
) -> None:
    async with TlsServer(postgres=connect is postgres).running() as server:
        await connect(server.port, _CERTIFICATES / "stranger.pem")
        assert server.heard == []
        await connect(server.port, _CERTIFICATES / "server.pem")
        assert server.heard

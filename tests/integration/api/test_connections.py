"""Connections that clients and balancers keep between their requests."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from gomatch.settings import Settings
from tests.integration.api.conftest import Starter


async def test_an_idle_connection_ends_after_the_time_that_is_set(start: Starter) -> None:
    replica = await start(keep_alive=1)
    address = urlsplit(replica.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async with asyncio.timeout(20):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: gomatch\r\n\r\n")
        answer = await reader.read()  # to the end of the connection

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" not in answer.lower()
    writer.close()
    await writer.wait_closed()


def test_connections_are_kept_longer_than_balancers_keep_theirs() -> None:
    """60 s with nginx and with most clouds."""
    assert Settings().keep_alive > 60

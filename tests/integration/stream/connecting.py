"""Streams of API replicas that are processes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.fixtures.venue import Part


@asynccontextmanager
async def stream(part: Part, token: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        part.url.replace("http", "ws", 1) + "/v1/stream",
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=20,
        close_timeout=1,
        **options,
    ) as connection:
        yield connection

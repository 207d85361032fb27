"""`gomatch up` leaves the API its port."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gomatch.cli import up
from gomatch.cli.local.folder import DataFolder
from gomatch.settings import Settings

URLS = ("GOMATCH_POSTGRES_URL", "GOMATCH_REDIS_URL", "GOMATCH_AMQP_URL")


async def test_no_server_is_given_the_port_of_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens there only once they all run."""
    kept: list[Collection[int]] = []

    class Server:
        url = "somewhere"

        def __init__(self, data: Path, *, besides: Collection[int] = ()) -> None:
            kept.append(besides)

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

    for name in ("PostgresServer", "RedisServer", "RabbitServer"):
        monkeypatch.setattr(up, name, Server)
    for variable in URLS:
        monkeypatch.delenv(variable, raising=False)
    settings = Settings(api_port=23_456)
    async with AsyncExitStack() as stack:
        started = await up._servers(settings, DataFolder(tmp_path), stack, real=True)

    assert started == dict.fromkeys(URLS, "somewhere")
    assert all(23_456 in besides for besides in kept)

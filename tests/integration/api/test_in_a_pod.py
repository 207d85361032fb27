"""A replica that cannot open its services in a pod stays up, says why, and serves once it can."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from gomatch.cli.servers.ports import free_port
from tests.fixtures.venue import SERVER_KEY, Part


def part(database_url: str, folder: Path, **variables: str) -> Part:
    port = free_port()
    return Part(
        name="api",
        argv=[sys.executable, "-m", "gomatch_api"],
        environment={
            "GOMATCH_POSTGRES_URL": database_url,
            # Nobody listens there; a replica serves without a broker.
            "GOMATCH_AMQP_URL": "amqp://127.0.0.1:1/",
            "GOMATCH_SERVER_KEY": SERVER_KEY,
            "GOMATCH_API_PORT": str(port),
            "GOMATCH_CALLBACK_PORT": "0",
            **variables,
        },
        log=folder / "api.log",
        port=port,
    )


@asynccontextmanager
async def running(api: Part) -> AsyncIterator[None]:
    api.start()
    try:
        yield
    finally:
        await api.stop()


async def until_not_ready(api: Part, why: str) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        while True:
            assert api.running
            try:
                answer = await client.get("/readyz")
            except httpx.TransportError:
                # It does not listen yet.
                await asyncio.sleep(0.02)
                continue
            if why in answer.json()["why"]:
                assert answer.status_code == 503
                assert answer.json()["missing"] == ["database"]
                break
            await asyncio.sleep(0.02)
        assert (await client.get("/healthz")).status_code == 200
        refused = await client.post("/v1/orders", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")


async def test_refused_credentials_are_tried_again_as_the_files_say_then(
    database_url: str, tmp_path: Path
) -> None:
    right = database_url.partition("://")[2].partition("@")[0].partition(":")[2]
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "username").write_text("gomatch")
    (credentials / "password").write_text("wrong-secret")
    api = part(
        database_url,
        tmp_path,
        GOMATCH_POD_NAME="api-0",
        GOMATCH_POSTGRES_CREDENTIALS=str(credentials),
    )
    async with running(api):
        await until_not_ready(api, "credentials_refused")
        (credentials / "password").write_text(right + "\n")
        await api.ready()
    log = api.log.read_text()
    assert log.count('"credentials_refused"') == 1
    assert "wrong-secret" not in log


async def test_a_database_without_the_schema_is_waited_for(
    empty_database_url: str, tmp_path: Path
) -> None:
    api = part(empty_database_url, tmp_path, GOMATCH_POD_NAME="api-0")
    async with running(api):
        await until_not_ready(api, "schema_mismatch")
        migrated = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gomatch.cli", "migrate"],
            env={"GOMATCH_POSTGRES_URL": empty_database_url},
            timeout=60,
            check=True,
            capture_output=True,
        )
        assert migrated.returncode == 0
        await api.ready()


async def test_it_ends_in_order_while_it_waits(empty_database_url: str, tmp_path: Path) -> None:
    api = part(empty_database_url, tmp_path, GOMATCH_POD_NAME="api-0")
    async with running(api):
        await until_not_ready(api, "schema_mismatch")
    assert "Traceback" not in api.log.read_text()


async def test_outside_of_a_pod_it_ends_and_says_why(
    empty_database_url: str, tmp_path: Path
) -> None:
    api = part(empty_database_url, tmp_path)
    async with running(api):
        await api.ended()
    assert "gomatch_api: the database lacks migration 0001" in api.log.read_text()

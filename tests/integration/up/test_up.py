"""`gomatch up` as a new user runs it: in an empty folder, then again on the same data."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess


class Up:
    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._log = folder / f"up-{self.port}.log"
        self._process = ServerProcess(
            [
                sys.executable,
                "-m",
                "gomatch.cli",
                "up",
                "--data",
                str(folder / "data"),
                "--port",
                str(self.port),
                *options,
            ],
            log=self._log,
            environment={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
            folder=folder,
        )

    async def greeting(self) -> str:
        async with asyncio.timeout(90):
            while "A first order" not in self._log.read_text():
                assert self._process.running, self._log.read_text()
                await asyncio.sleep(0.05)
        return self._log.read_text()

    async def stop(self) -> None:
        await asyncio.to_thread(self._process.stop, 60)
        assert "Traceback" not in self._log.read_text(), self._log.read_text()


@pytest.fixture
def folder(server_folder: Path, tmp_path: Path) -> Path:
    """Where another account may search, since PostgreSQL does not run as root."""
    found = server_folder / f"up-{tmp_path.name}"
    found.mkdir(mode=0o711)
    return found


@pytest.mark.parametrize("options", [[], ["--real"]])
async def test_a_new_user_trades_and_finds_it_again(options: list[str], folder: Path) -> None:
    up = Up(folder, *options)
    try:
        match = re.search(r"GOMATCH_TOKEN=(\S+)", await up.greeting())
        assert match is not None
        headers = {"Authorization": f"Bearer {match[1]}"}
        order = {"market": "BTC-USDT", "type": "limit", "price": "50000.00", "quantity": "0.01"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{up.port}", headers=headers, timeout=20
        ) as client:
            placed = await client.post("/v1/orders", json={**order, "side": "sell"})
            assert placed.status_code == 202, placed.text
            filled = await client.post(
                "/v1/orders?wait=result",
                json={**order, "side": "buy", "self_trade_prevention": "none"},
            )
            assert filled.json()["order"]["status"] == "filled", filled.text
    finally:
        await up.stop()
    again = Up(folder, *options)
    try:
        assert "GOMATCH_TOKEN=" not in await again.greeting()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{again.port}", headers=headers, timeout=20
        ) as client:
            trades = (await client.get("/v1/markets/BTC-USDT/trades")).json()["trades"]
            assert [trade["price"] for trade in trades] == ["50000"]
    finally:
        await again.stop()

"""`gomatch up` as a new user runs it: in an empty folder, then again on the same data."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess, is_alive, process_tree
from tests.fixtures.pasted import code_blocks, indented_lines, paste, start_program
from tests.fixtures.scraping import scrape_until
from tests.unit.observability.test_metrics_page import described

pytestmark = pytest.mark.timeout(480)


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
            environment={
                "PATH": os.environ["PATH"],
                "GOMATCH_DATA": str(folder / "data"),
                # A busy machine may take some seconds over a result.
                "GOMATCH_RESULT_TIMEOUT": "20",
            },
            folder=folder,
        )

    async def greeting(self) -> str:
        async with asyncio.timeout(120):
            while "A first order" not in self._log.read_text():
                assert self._process.running, self._log.read_text()
                await asyncio.sleep(0.05)
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def said(self, text: str) -> str:
        """Wait until it ended by itself; what it said."""
        async with asyncio.timeout(60):
            while self._process.running:
                await asyncio.sleep(0.05)
        assert text in self._log.read_text()
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
        greeting = await up.greeting()
        export = indented_lines(greeting, "export GOMATCH_TOKEN=")
        first_order = indented_lines(greeting, "curl")
        (placed,) = await asyncio.to_thread(paste, export + first_order, port=up.port)
        assert (placed["status"], placed["market"]) == ("accepted", "BTC-USDT")

        token = export.strip().partition("=")[2]
        (readme,) = [each for each in code_blocks("README.md", "sh") if "curl" in each]
        placed, filled, traded = await asyncio.to_thread(paste, readme, port=up.port, token=token)
        assert placed["status"] == "accepted"
        assert filled["order"]["status"] == "filled"
        (trade,) = traded["trades"]
        assert (trade["price"], trade["quantity"], trade["side"]) == ("50000", "0.01", "buy")

        (block,) = code_blocks("docs/api.md", "sh")
        export += f"export GOMATCH_URL=http://127.0.0.1:{up.port}\n"
        (placed,) = await asyncio.to_thread(paste, export + block, port=up.port)
        assert (placed["status"], placed["client_order_id"]) == ("accepted", "my-1")

        await follow_the_example(folder, up.port, token)
        if not options:
            # One process: the API shows the matchers' metrics too, each market with its label.
            seen = await scrape_until(
                f"http://127.0.0.1:{up.port}",
                lambda seen: all(
                    seen("gomatch_matcher_leader", market=market) == 1
                    for market in ("BTC-USDT", "ETH-USDT")
                ),
            )
            assert seen("gomatch_matcher_trades_total", market="BTC-USDT") == 1
            assert seen("gomatch_matcher_trades_total", market="ETH-USDT") == 0
            # The operator is a program of its own.
            here = {each for each in described() if not each.startswith("gomatch_operator_")}
            assert seen.families == here
    finally:
        await up.stop()
    again = Up(folder, *options)
    try:
        assert "GOMATCH_TOKEN=" not in await again.greeting()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{again.port}", timeout=20
        ) as client:
            trades = (await client.get("/v1/markets/BTC-USDT/trades")).json()["trades"]
            assert [trade["price"] for trade in trades] == ["50000"]
    finally:
        await again.stop()


async def follow_the_example(folder: Path, port: int, token: str) -> None:
    """The client of docs/streams.md places its order and hears of it."""
    (program,) = code_blocks("docs/streams.md", "python")
    example = start_program(program, folder, port=port, GOMATCH_TOKEN=token)
    log = folder / "example.log"
    expected = (
        *("'type': 'subscribed'", "'type': 'ack', 'results'", "'id': 'first'"),
        *("'event': 'accepted'", "'event': 'rested'"),
    )
    try:
        async with asyncio.timeout(60):
            while not all(each in log.read_text() for each in expected):
                assert example.running, log.read_text()
                await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(example.stop, 10)


async def test_a_second_one_on_the_same_folder_says_which_runs(folder: Path) -> None:
    first, second = Up(folder), None
    try:
        await first.greeting()
        second = Up(folder)
        await second.said(f"another `gomatch up` (process {first.pid}) runs")
    finally:
        await first.stop()
        if second is not None:
            await second.stop()


async def test_a_taken_port_is_said_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = Up(folder, "--port", str(taken.getsockname()[1]))
        await up.said("give another with --port")
        await up.stop()
    assert not (folder / "data" / "postgres").exists()


async def test_a_market_made_meanwhile_is_served_within_seconds(folder: Path) -> None:
    up = Up(folder)
    try:
        match = re.search(r"GOMATCH_TOKEN=(\S+)", await up.greeting())
        assert match is not None
        # The command finds the venue by the folder's environment file.
        await run_gomatch(folder, "markets", "create", "SOL-USDT", "--tick", "0.01", "--lot", "0.1")
        order = {
            "market": "SOL-USDT",
            "side": "buy",
            "type": "limit",
            "price": "9.00",
            "quantity": "1",
        }
        async with (
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{up.port}",
                headers={"Authorization": f"Bearer {match[1]}"},
                timeout=60,
            ) as client,
            asyncio.timeout(60),
        ):
            while (answer := await client.post("/v1/orders", json=order)).status_code != 202:
                await asyncio.sleep(0.1)
            placed = f"/v1/orders/{answer.json()['id']}"
            while (await client.get(placed)).json()["status"] != "open":
                await asyncio.sleep(0.1)
    finally:
        await up.stop()


async def test_nothing_stays_behind_when_it_is_killed_and_the_data_is_there_again(
    folder: Path,
) -> None:
    up = Up(folder, "--real")
    await up.greeting()
    family = process_tree(up.pid)
    assert len(family) > 10
    os.kill(up.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while any(is_alive(pid) for pid in family):
            await asyncio.sleep(0.1)
    again = Up(folder, "--real")
    try:
        assert "GOMATCH_TOKEN=" not in await again.greeting()
    finally:
        await up.stop()
        await again.stop()


async def run_gomatch(folder: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gomatch.cli",
        *arguments,
        env={"PATH": os.environ["PATH"], "GOMATCH_DATA": str(folder / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()

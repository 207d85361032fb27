"""Orders a second through everything: REST batches to PostgreSQL (fsync on), RabbitMQ, the matcher,
Redis, gRPC and WebSocket, all on this machine.

    python bench/throughput.py [--seconds 60] [--warm-up 10] [--batch 100] [--write]

Eight users send batches of 60 % resting, 25 % crossing orders and 15 % cancels in a closed loop
(one request of each user in flight) and read every private event of theirs; one more connection
reads the depth. Printed: commands applied a second, CPU by process, and whether the audit is clean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from websockets.asyncio.client import connect

from gomatch.audit import audit
from gomatch.cli.servers import PostgresServer, RabbitServer, RedisServer
from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess, process_tree
from gomatch.load.http import HttpConnection
from gomatch.messages.credentials import derive_secret
from gomatch.messages.market import MarketDefinition
from gomatch.store import ApiKeys, MarketHead, Markets, connect_pool, migrate

USERS = 8
MARKET = "BTC-USDT"
KEY = "5a" * 32


def cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants, those that ended too."""
    ticks = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


class User:
    """Sends batches and follows its own stream."""

    def __init__(self, url: str, token: str, index: int, batch: int) -> None:
        self._http = HttpConnection(url, token=token, timeout=30)
        self._url = url
        self._token = token
        self._draw = random.Random(index)
        self._batch = batch
        self._open: list[str] = []
        self.acknowledged = 0
        self.bytes_seen = 0

    def _items(self) -> bytes:
        draw = self._draw
        items: list[dict[str, str]] = []
        for _ in range(self._batch):
            kind = draw.random()
            if kind < 0.15 and self._open:
                items.append({"action": "cancel", "id": self._open.pop(0)})
                continue
            side = draw.choice(("buy", "sell"))
            away = draw.randint(1, 200) if kind < 0.75 else -draw.randint(0, 3)
            price = 50_000 - away if side == "buy" else 50_000 + away
            items.append(
                {
                    "action": "new",
                    "market": MARKET,
                    "side": side,
                    "type": "limit",
                    "price": f"{price}.00",
                    "quantity": f"0.{draw.randint(1, 9):03d}",
                    "time_in_force": "gtc" if kind < 0.75 else "ioc",
                }
            )
        return json.dumps({"items": items}).encode()

    async def send(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            body = self._items()
            answer = await self._http.request(b"POST", b"/v1/orders/batch", body)
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
            for result in json.loads(answer.body)["results"]:
                if result["status"] == 202:
                    self.acknowledged += 1
                    if self._draw.random() < 0.15:
                        self._open.append(result["order"]["id"])
        await self._http.close()

    async def follow(self, channel: str) -> None:
        url = self._url.replace("http", "ws", 1) + "/v1/stream"
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            url, additional_headers=headers, max_size=None, compression=None
        ) as stream:
            subscribe = {"op": "subscribe", "channel": channel, "market": MARKET}
            await stream.send(json.dumps(subscribe))
            async for message in stream:
                self.bytes_seen += len(message)


async def head_of(url: str) -> MarketHead:
    pool = await connect_pool(url, size=1, timeout=30, application="bench")
    try:
        head = await Markets(pool).head(MARKET)
    finally:
        await pool.close()
    assert head is not None
    return head


async def prepare(url: str) -> list[str]:
    await migrate(url)
    pool = await connect_pool(url, size=2, timeout=30, application="bench")
    try:
        base, quote = MARKET.split("-")
        await Markets(pool).create(
            MarketDefinition(base=base, quote=quote, tick_size="0.01", lot_size="0.001")
        )
        keys = [await ApiKeys(pool).create(f"user{n}", ("read", "trade")) for n in range(USERS + 1)]
    finally:
        await pool.close()
    return [f"{k.key_id}.{derive_secret(bytes.fromhex(KEY), k.key_id)}" for k in keys]


async def listening(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


async def measure(options: argparse.Namespace, folder: Path) -> str:
    servers = {
        "postgresql": PostgresServer(folder / "postgres"),
        "redis": RedisServer(folder / "redis"),
        "rabbitmq": RabbitServer(folder / "rabbitmq"),
    }
    processes: dict[str, ServerProcess] = {}
    try:
        for server in servers.values():
            await server.start()
        postgres = servers["postgresql"].url
        tokens = await prepare(postgres)
        port, callback = free_port(), free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "GOMATCH_POSTGRES_URL": postgres,
            "GOMATCH_REDIS_URL": servers["redis"].url,
            "GOMATCH_AMQP_URL": servers["rabbitmq"].url,
            "GOMATCH_SERVER_KEY": KEY,
            "GOMATCH_API_PORT": str(port),
            "GOMATCH_CALLBACK_PORT": str(callback),
            "GOMATCH_CALLBACK_TARGETS": f"127.0.0.1:{callback}",
            "GOMATCH_MARKET": MARKET,
            "GOMATCH_LOG_LEVEL": "warning",
        }
        for name in ("api", "matcher"):
            processes[name] = ServerProcess(
                [sys.executable, "-m", f"gomatch_{name}"],
                log=folder / f"{name}.log",
                environment=environment,
                folder=folder,
            )
        await listening(port)
        pids = {name: server.pid for name, server in servers.items()}
        pids |= {name: process.pid for name, process in processes.items()}
        pids["load generator"] = os.getpid()
        return await run(options, f"http://127.0.0.1:{port}", tokens, postgres, servers, pids)
    finally:
        for process in reversed(processes.values()):
            await asyncio.to_thread(process.stop, 30)
        for server in servers.values():
            await server.stop()


async def run(
    options: argparse.Namespace,
    url: str,
    tokens: list[str],
    postgres: str,
    servers: Mapping[str, object],
    pids: dict[str, int],
) -> str:
    users = [User(url, token, n, options.batch) for n, token in enumerate(tokens)]
    readers = [asyncio.create_task(user.follow("orders")) for user in users[:USERS]]
    readers.append(asyncio.create_task(users[USERS].follow("depth")))
    stop = asyncio.Event()
    sending = [asyncio.create_task(user.send(stop)) for user in users[:USERS]]
    await asyncio.sleep(options.warm_up)
    began, first = time.monotonic(), await head_of(postgres)
    cpu = {name: cpu_seconds(pid) for name, pid in pids.items() if name != "load generator"}
    own = time.process_time()
    await asyncio.sleep(options.seconds)
    last, seconds = await head_of(postgres), time.monotonic() - began
    used = {name: cpu_seconds(pids[name]) - before for name, before in cpu.items()}
    used["load generator"] = time.process_time() - own
    stop.set()
    await asyncio.gather(*sending)
    async with asyncio.timeout(60):
        while (head := await head_of(postgres)).applied < head.accepted:
            await asyncio.sleep(0.1)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    redis = servers["redis"]
    assert isinstance(redis, RedisServer)
    report = await audit(postgres, redis.url)
    applied = last.applied - first.applied
    rows = "\n".join(
        f"| {name} | {value:.1f} | {value / applied * 1e6:.1f} |" for name, value in used.items()
    )
    return "\n".join(
        (
            "# Throughput by batch REST, one market",
            "",
            f"Load: {USERS} users, one request of {options.batch} commands each in flight,",
            f"60 % resting, 25 % crossing, 15 % cancels; {USERS} private streams and one depth",
            f"stream read; {seconds:.0f} s after {options.warm_up:.0f} s of warm-up;",
            "PostgreSQL with fsync on;",
            f"everything on the same {os.cpu_count()} cores.",
            "",
            f"**{applied / seconds:,.0f} commands/s applied**; backlog (accepted - applied)",
            f"{first.accepted - first.applied:,} at the start and",
            f"{last.accepted - last.applied:,} at the end;",
            f"audit {'clean' if report.clean else 'NOT clean'}.",
            "",
            "| process | CPU s | CPU µs a command |",
            "|---|---|---|",
            rows,
            "",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=10)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="keep the result in bench/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gomatch-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        text = asyncio.run(measure(options, folder))
    print(text)
    if options.write:
        (Path(__file__).parent / "results" / "throughput.md").write_text(text)


if __name__ == "__main__":
    main()

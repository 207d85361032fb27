"""What PostgreSQL costs: CPU of its session and of the driver for a command, by batch size, and
what each index adds.

    python -m bench.store [--commands 40000] [--url postgresql://...]

Without a URL it starts a server of its own, fsync on. The flow of a commit of 100 commands: 85 new
orders, 45 updates of orders that have a row, 30 trades, events of 60 bytes each. CPU of
the server is that of the one session (its user and system time), that of the client the process
time of this program inside the calls; both in microseconds a command.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import asyncpg

from gomatch.cli.servers import PostgresServer
from gomatch.engine import TradingState
from gomatch.messages.market import MarketDefinition
from gomatch.store import (
    Batch,
    ClientClaim,
    Commits,
    Intake,
    Leadership,
    Markets,
    connect_pool,
    migrate,
)

_TICKS = os.sysconf("SC_CLK_TCK")
_USERS = 500
_NO_LIMIT = 1 << 60


def _session_cpu(pid: int) -> float:
    """Seconds of CPU of the server's process ``pid``."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Meter:
    """CPU and wall time of the calls that are measured; the first tenth only warms up."""

    pid: int
    rounds: int
    commands: int = 0
    client: float = 0.0
    seconds: list[float] = field(default_factory=list)
    server: float = 0.0

    @contextmanager
    def call(self, step: int, commands: int) -> Iterator[None]:
        if step == self.rounds // 10:
            self.server = -_session_cpu(self.pid)
        client, wall = time.process_time(), time.perf_counter()
        yield
        if step >= self.rounds // 10:
            self.client += time.process_time() - client
            self.seconds.append(time.perf_counter() - wall)
            self.commands += commands

    def line(self, name: str) -> str:
        server = (self.server + _session_cpu(self.pid)) / self.commands * 1e6
        client = self.client / self.commands * 1e6
        rate = self.commands / sum(self.seconds)
        return (
            f"{name:<40} {server:8.1f} {client:8.1f} {rate:12,.0f} "
            f"{median(self.seconds) * 1e3:10.2f}"
        )


@dataclass
class Flow:
    """Rows like a matcher's. Which orders are updated is drawn from those that have a row."""

    market_id: int
    epoch: int
    applied: int = 0
    sequence: int = 0
    chain: bytes = bytes(32)

    def __post_init__(self) -> None:
        self.random = random.Random(7)
        self.resting: list[int] = []

    def batch(self, commands: int) -> Batch:
        first, first_sequence = self.applied + 1, self.sequence + 1
        events = commands * 2
        now = time.time_ns() // 1000
        draw = self.random.randrange
        news = [n for n in range(first, first + commands) if (n * 37) % 100 < 85]
        changed = [
            self.resting.pop(draw(len(self.resting)))
            for _ in range(min(len(self.resting), int(commands * 0.45 + self.random.random())))
        ]
        orders = [
            (self.market_id, n, draw(_USERS), f"client-{n:012d}", 1, 1, 1, 100_000 + draw(999),
             0, 0, 0, 1000, 0, 1000, 0, 1, "", 1, False, now, now, first_sequence + events - 1)
            for n in news
        ]  # fmt: skip
        updates = [
            (n, 100_500, 0, 0, 0, 1000, 400, 600, 40_200_000, 2, "", now, first_sequence)
            if draw(5) == 0
            else (n, 100_500, 0, 0, 0, 1000, 0, 0, 0, 4, "user", now, first_sequence)
            for n in changed
        ]
        trades = [
            (self.market_id, first_sequence + 3 * index, first, draw(_USERS), first + 1,
             draw(_USERS), 1, 100_500, 10, 5, 9, now)
            for index in range(int(commands * 0.3 + self.random.random()))
        ]  # fmt: skip
        batch = Batch(
            market_id=self.market_id,
            epoch=self.epoch,
            previous_sequence=self.sequence,
            previous_chain=self.chain,
            first_number=first,
            last_number=first + commands - 1,
            first_sequence=first_sequence,
            last_sequence=first_sequence + events - 1,
            time=now,
            rules_version=1,
            events=self.random.randbytes(60 * commands),
            chain=self.random.randbytes(32),
            state=TradingState.RUNNING,
            last_price=100_500,
            new_orders=orders,
            order_updates=updates,
            trades=trades,
        )
        self.resting += news
        self.applied, self.sequence, self.chain = (
            batch.last_number, batch.last_sequence, batch.chain,
        )  # fmt: skip
        return batch


async def measure_accept(url: str, *, batch: int, commands: int, with_ids: bool) -> str:
    async with await connect_pool(url, size=1, timeout=30, application="bench") as pool:
        intake = Intake(pool)
        # As long as new orders are.
        bodies = random.Random(1).randbytes(75 * batch)
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
        rounds = max(10, commands // batch)
        meter = Meter(pid, rounds)
        run = time.time_ns()
        for step in range(rounds):
            claims: Sequence[ClientClaim] = ()
            if with_ids:
                claims = [
                    ClientClaim(n % _USERS, 1, f"{run}-{step * batch + n}", n, bytes(16))
                    for n in range(batch)
                ]
            with meter.call(step, batch):
                await intake.accept(
                    1, bodies=bodies, count=batch, claims=claims, backlog_limit=_NO_LIMIT
                )
        return meter.line(f"accept {batch} {'with client ids' if with_ids else ''}")


async def measure_commit(url: str, *, batch: int, commands: int, name: str) -> str:
    leadership, commits = Leadership(url, timeout=30), Commits(url, timeout=30)
    try:
        leader = await leadership.acquire(1, "bench", 600)
        assert leader is not None
        pid = await commits.connect()
        await leadership.register_backend(1, leader.epoch, pid)
        flow = Flow(1, leader.epoch)
        rounds = max(10, commands // batch)
        meter = Meter(pid, rounds)
        for step in range(rounds):
            rows = flow.batch(batch)
            with meter.call(step, batch):
                await commits.commit(rows)
        return meter.line(f"commit {batch} {name}")
    finally:
        await commits.close()
        await leadership.close()


@asynccontextmanager
async def database(server_url: str, *statements: str) -> AsyncIterator[str]:
    """A migrated database with one market, changed by ``statements``, and dropped at the end."""
    name = f"bench_{time.time_ns()}"
    server = await asyncpg.connect(server_url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        base, _, _ = server_url.rpartition("/")
        url = f"{base}/{name}"
        await migrate(url)
        async with await connect_pool(url, size=1, timeout=30, application="bench") as pool:
            await Markets(pool).create(
                MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
            )
            for statement in statements:
                await pool.execute(statement)
        yield url
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def run(server_url: str, commands: int, only: str) -> None:
    print(f"{'':40} {'server':>8} {'client':>8} {'commands/s':>12} {'batch, ms':>10}")
    for with_ids in (False, True):
        for batch in (1, 10, 100, 500):
            if only in "accept":
                async with database(server_url) as url:
                    count = min(commands, batch * 2000)
                    print(await measure_accept(url, batch=batch, commands=count, with_ids=with_ids))
    for batch in (1, 10, 100, 1000):
        if only in "commit":
            async with database(server_url) as url:
                count = min(commands, batch * 2000)
                print(await measure_commit(url, batch=batch, commands=count, name=""))
    for index in ("orders_user", "orders_open", "trades_maker", "trades_taker", "journal_numbers"):
        if only in "index":
            async with database(server_url, f"DROP INDEX {index}") as url:
                name = f"without {index}"
                print(await measure_commit(url, batch=100, commands=commands, name=name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="of an account that may create databases")
    parser.add_argument("--commands", type=int, default=40_000, help="of each run, at most")
    parser.add_argument("--only", choices=["accept", "commit", "index"], default="")
    options = parser.parse_args()
    if options.url:
        asyncio.run(run(options.url, options.commands, options.only))
        return
    with tempfile.TemporaryDirectory(prefix="gomatch-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(Path(folder) / "postgres")
        server.start_now()
        try:
            asyncio.run(run(server.url_of("postgres"), options.commands, options.only))
        finally:
            server.stop_now()


if __name__ == "__main__":
    main()

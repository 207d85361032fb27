"""A whole venue of real processes to measure: PostgreSQL with fsync on, Valkey, RabbitMQ, one API
process and a matcher process for each market, all on 127.0.0.1."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx

from bench.cpu import CpuMeter
from gomatch.audit import audit
from gomatch.cli.servers import PostgresServer, RabbitServer, RedisServer
from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess
from gomatch.messages.credentials import derive_secret, token
from gomatch.messages.market import MarketDefinition
from gomatch.store import ApiKeys, MarketHead, Markets, connect_pool, migrate

REPOSITORY = Path(__file__).resolve().parents[1]
_KEY = "5a" * 32
_READY_SECONDS = 60.0
_DRAIN_SECONDS = 120.0


class Program:
    """One process of ours; its port stays the same when it is started again."""

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._module = module
        self._folder = folder
        self.port = free_port()
        self._environment = environment
        self._count = 0
        self.process: ServerProcess | None = None

    def start(self) -> None:
        """The log of each start is a file of its own."""
        self._count += 1
        self.process = ServerProcess(
            [sys.executable, "-m", self._module],
            log=self._folder / f"{self._module}-{self.port}-{self._count}.log",
            environment=self._environment,
            folder=self._folder,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def kill(self) -> None:
        assert self.process is not None
        await asyncio.to_thread(self.process.kill)

    async def stop(self) -> None:
        if self.process is not None:
            await asyncio.to_thread(self.process.stop, 60)

    async def status(self) -> dict[str, object] | None:
        """The body of /readyz once it says 200; None before."""
        async with httpx.AsyncClient(timeout=5) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
            except httpx.HTTPError:
                return None
        body: dict[str, object] = answer.json()
        return body if answer.status_code == httpx.codes.OK else None

    async def ready(self) -> dict[str, object]:
        """Wait for it, polling often: recovery times are measured with this."""
        async with asyncio.timeout(_READY_SECONDS):
            while (status := await self.status()) is None:
                if self.process is None or not self.process.running:
                    log = self.process.log_tail(30) if self.process else ""
                    raise RuntimeError(f"{self._module} ended:\n{log}")
                await asyncio.sleep(0.01)
        return status

    async def metric(self, name: str) -> float:
        """The value of a gauge or counter that has no labels."""
        async with httpx.AsyncClient(timeout=5) as client:
            text = (await client.get(f"http://127.0.0.1:{self.port}/metrics")).text
        for line in text.splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.rpartition(" ")[2])
        raise LookupError(name)


async def listening(port: int) -> None:
    """Wait until something accepts connections there."""
    async with asyncio.timeout(_READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


class BenchVenue:
    """Made by ``bench_venue``. ``tokens`` has one token a user."""

    def __init__(
        self,
        postgres: PostgresServer,
        redis: RedisServer,
        rabbitmq: RabbitServer,
        *,
        symbols: Sequence[str],
        folder: Path,
        settings: Mapping[str, str],
    ) -> None:
        self.postgres, self.redis, self.rabbitmq = postgres, redis, rabbitmq
        self.symbols = symbols
        self.tokens: list[str] = []
        self._folder = folder
        callback = free_port()
        self._environment = {
            "PATH": os.environ["PATH"],
            "GOMATCH_POSTGRES_URL": postgres.url,
            "GOMATCH_REDIS_URL": redis.url,
            "GOMATCH_AMQP_URL": rabbitmq.url,
            "GOMATCH_SERVER_KEY": _KEY,
            "GOMATCH_CALLBACK_PORT": str(callback),
            "GOMATCH_CALLBACK_TARGETS": f"127.0.0.1:{callback}",
            **settings,
        }
        self.api = Program("gomatch_api", folder, self._environment)
        self._environment["GOMATCH_API_PORT"] = str(self.api.port)
        self.matchers = {symbol: self.new_matcher(symbol) for symbol in symbols}
        self._pool: asyncpg.Pool | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"

    @property
    def pool(self) -> asyncpg.Pool:
        assert self._pool is not None
        return self._pool

    @property
    def pids(self) -> dict[str, int]:
        """Of every process that serves, by name."""
        pids = {
            "postgresql": self.postgres.pid,
            "rabbitmq": self.rabbitmq.pid,
            "valkey": self.redis.pid,
            "api": self.api.pid,
        }
        return pids | {f"matcher {name}": part.pid for name, part in self.matchers.items()}

    def new_matcher(self, symbol: str) -> Program:
        """A further matcher process, not started."""
        environment = {**self._environment, "GOMATCH_MARKET": symbol}
        program = Program("gomatch_matcher", self._folder, environment)
        environment["GOMATCH_MATCHER_PORT"] = str(program.port)
        return program

    def meter(self) -> CpuMeter:
        return CpuMeter(self.pids)

    async def start(self, users: int) -> None:
        await migrate(self.postgres.url)
        self._pool = await connect_pool(
            self.postgres.url, size=2, timeout=60, application="gomatch bench"
        )
        markets, keys = Markets(self._pool), ApiKeys(self._pool)
        for symbol in self.symbols:
            base, quote = symbol.split("-")
            definition = MarketDefinition(
                base=base,
                quote=quote,
                tick_size="0.01",
                lot_size="0.001",
                # The users of one flow would otherwise cancel what they should trade.
                self_trade_prevention="none",
            )
            await markets.create(definition)
        for number in range(users):
            key = await keys.create(
                f"user-{number}", ("read", "trade"), label="bench", rate_limit=0
            )
            self.tokens.append(token(key.key_id, derive_secret(bytes.fromhex(_KEY), key.key_id)))
        for program in (self.api, *self.matchers.values()):
            program.start()
        for program in (self.api, *self.matchers.values()):
            await program.ready()

    async def stop(self) -> None:
        for program in (*self.matchers.values(), self.api):
            await program.stop()
        if self._pool is not None:
            await self._pool.close()

    async def heads(self) -> list[MarketHead]:
        return await Markets(self.pool).heads()

    async def applied(self) -> int:
        """Commands applied in all markets."""
        return sum(head.applied for head in await self.heads())

    async def backlog(self) -> int:
        """Commands accepted and not yet applied, in all markets."""
        return sum(head.accepted - head.applied for head in await self.heads())

    async def drained(self) -> None:
        """Wait until everything accepted is applied."""
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await self.backlog():
                await asyncio.sleep(0.05)

    async def audit_text(self) -> str:
        """`clean`, or what differs."""
        report = await audit(self.postgres.url, self.redis.url)
        if report.clean:
            return "clean"
        return f"NOT clean: {report.findings[:3]}"


@asynccontextmanager
async def bench_venue(
    *, symbols: Sequence[str], users: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[BenchVenue]:
    """Servers in a new folder, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gomatch-bench-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)
        postgres = PostgresServer(folder / "postgres")
        redis = RedisServer(folder / "redis")
        rabbitmq = RabbitServer(folder / "rabbitmq", tools=REPOSITORY / ".tools")
        defaults = {
            "GOMATCH_LOG_LEVEL": "warning",
            "GOMATCH_STREAM_MESSAGES_PER_SECOND": "100000",
        }
        try:
            for server in (postgres, redis, rabbitmq):
                await server.start()
            venue = BenchVenue(
                postgres,
                redis,
                rabbitmq,
                symbols=symbols,
                folder=folder,
                settings={**defaults, **(settings or {})},
            )
            try:
                await venue.start(users)
                yield venue
            finally:
                await venue.stop()
        finally:
            for server in (rabbitmq, redis, postgres):
                await server.stop()

"""The floor under the venue: the same rows, by a script that does nothing else.

A real flow goes through the real engine beforehand. Then only its rows are written: accepting
(100 commands a call of ``gomatch_accept``) on one connection, committing (100 commands a
transaction: head, journal, orders, trades) on another, both at once, fsync on. No HTTP, no queue,
no matching, no Redis, no results.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import msgspec

from bench.cpu import cpu_seconds
from gomatch.cli.servers import PostgresServer
from gomatch.engine import CancelOrder, Command, Configure, Engine, NewOrder, OrderType, Side
from gomatch.load.flow import BENCH_MIX, FlowMarket, Kind, OrderFlow
from gomatch.load.histogram import LatencyHistogram, LatencySummary
from gomatch.load.tracking import OpenOrders
from gomatch.messages.codec import GENESIS_CHAIN, pack_commands
from gomatch.messages.market import MarketDefinition
from gomatch.store import Batch, Commits, Intake, Leadership, Markets, connect_pool, migrate
from gomatch_matcher.matched import Segment, Taken
from gomatch_matcher.matching import Matching

BATCH = 100
_USERS = 8
_DATABASE = "bare"
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, kw_only=True)
class BareResult:
    """CPU in microseconds a command."""

    commands: int
    seconds: float
    server_cpu: float
    client_cpu: float

    @property
    def rate(self) -> float:
        return self.commands / self.seconds

    def markdown(self) -> str:
        return (
            f"Bare asyncpg script, the same rows in batches of {BATCH}: **{self.rate:,.0f} "
            f"orders/s**; CPU µs an order: PostgreSQL {self.server_cpu:.1f}, script "
            f"{self.client_cpu:.1f} ({self.commands:,} commands in {self.seconds:.1f} s)."
        )


class _NewOrderJson(msgspec.Struct):
    side: str
    price: str
    quantity: str


def flow_commands(count: int, definition: MarketDefinition) -> list[Command]:
    """Commands of the benches' mix with numbers from 2 (1 is the market's Configure)."""
    market = FlowMarket(
        symbol=definition.symbol, tick=definition.tick, lot=definition.lot, mid=50_000
    )
    flow = OrderFlow(market, BENCH_MIX, seed=1)
    resting = OpenOrders(seed=1)
    decoder = msgspec.json.Decoder(_NewOrderJson)
    commands: list[Command] = []
    users = itertools.cycle(range(1, _USERS + 1))
    owners: dict[int, int] = {}
    while len(commands) < count:
        number = len(commands) + 2
        user = next(users)
        operation = next(flow)
        if operation.kind is Kind.CANCEL:
            target = resting.take()
            if target is not None:
                commands.append(CancelOrder(owners[int(target)], int(target)))
            continue
        order = decoder.decode(b"{" + operation.members + b"}")
        commands.append(
            NewOrder(
                user=user,
                side=Side[order.side.upper()],
                type=OrderType.LIMIT,
                quantity=definition.lots(order.quantity),
                price=definition.ticks(order.price),
            )
        )
        if operation.deep:
            owners[number] = user
            resting.add(str(number))
    return commands


def matched_batches(
    commands: Sequence[Command], definition: MarketDefinition, *, market_id: int, epoch: int
) -> list[Batch]:
    """The rows of each 100 commands, as a matcher writes them."""
    matching = Matching(
        Engine(definition.config()), market_id=market_id, epoch=epoch, chain=GENESIS_CHAIN
    )
    now = time.time_ns() // 1000
    first = Taken([Segment(1, [Configure(definition.config())], now)])
    pending = [first] + [
        Taken([Segment(start + 2, commands[start : start + BATCH], now)])
        for start in range(0, len(commands), BATCH)
    ]
    batches = []
    for taken in pending:
        done = matching.match(taken, now=now)
        assert done is not None
        applied = done.applied
        batches.append(
            Batch(
                market_id=market_id,
                epoch=epoch,
                previous_sequence=done.previous_sequence,
                previous_chain=done.previous_chain,
                first_number=done.first_number,
                last_number=applied.applied,
                first_sequence=applied.first_sequence,
                last_sequence=applied.last_sequence,
                time=applied.time,
                rules_version=done.rules_version,
                events=applied.packed,
                chain=done.chain,
                state=applied.summary.state,
                last_price=applied.summary.last_price,
                new_orders=done.new_orders,
                order_updates=done.order_updates,
                trades=done.trades,
            )
        )
    return batches


async def measure(server: PostgresServer, *, commands: int) -> BareResult:
    """In a database of its own on ``server``, which nothing else uses meanwhile."""
    await asyncio.to_thread(server.run_sql, f"CREATE DATABASE {_DATABASE}")
    url = server.url_of(_DATABASE)
    await migrate(url)
    definition = MarketDefinition(
        base="BTC",
        quote="USDT",
        tick_size="0.01",
        lot_size="0.001",
        self_trade_prevention="none",
    )
    leadership, commits = Leadership(url, timeout=30), Commits(url, timeout=30)
    pool = await connect_pool(url, size=2, timeout=30, application="bare")
    try:
        market_id = (await Markets(pool).create(definition)).market_id
        leader = await leadership.acquire(market_id, "bare", 3600)
        assert leader is not None
        pid = await commits.connect()
        await leadership.register_backend(market_id, leader.epoch, pid)
        flow = flow_commands(commands, definition)
        batches = matched_batches(flow, definition, market_id=market_id, epoch=leader.epoch)
        bodies = [
            pack_commands(flow[start : start + BATCH]) for start in range(0, len(flow), BATCH)
        ]
        await commits.commit(batches[0])
        server_cpu, client_cpu = cpu_seconds(server.pid), time.process_time()
        began = time.perf_counter()
        accepted = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(_accept_all(Intake(pool), market_id, bodies, accepted))
            group.create_task(_commit_all(commits, batches[1:], accepted))
        seconds = time.perf_counter() - began
        return BareResult(
            commands=len(flow),
            seconds=seconds,
            server_cpu=(cpu_seconds(server.pid) - server_cpu) / len(flow) * 1e6,
            client_cpu=(time.process_time() - client_cpu) / len(flow) * 1e6,
        )
    finally:
        await commits.close()
        await leadership.close()
        await pool.close()
        await asyncio.to_thread(server.run_sql, f"DROP DATABASE {_DATABASE} WITH (FORCE)")


async def single_commits(url: str, *, count: int) -> LatencySummary:
    """Latency of ``count`` transactions of one small row, one after another: what the disk and
    the driver alone take."""
    connection = await asyncpg.connect(url, timeout=30)
    histogram = LatencyHistogram()
    try:
        await connection.execute("CREATE TABLE bare_commit (body bytea NOT NULL)")
        body = bytes(100)
        for _ in range(count):
            began = time.perf_counter()
            await connection.execute("INSERT INTO bare_commit VALUES ($1)", body)
            histogram.record(time.perf_counter() - began)
        await connection.execute("DROP TABLE bare_commit")
    finally:
        await connection.close()
    return histogram.summary()


async def _accept_all(
    intake: Intake, market_id: int, bodies: Sequence[bytes], accepted: asyncio.Semaphore
) -> None:
    for body in bodies:
        await intake.accept(market_id, bodies=body, count=BATCH, claims=(), backlog_limit=_NO_LIMIT)
        accepted.release()


async def _commit_all(
    commits: Commits, batches: Sequence[Batch], accepted: asyncio.Semaphore
) -> None:
    for batch in batches:
        await accepted.acquire()
        await commits.commit(batch)

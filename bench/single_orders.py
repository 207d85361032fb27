"""One order a request: orders per second of server CPU on 64 connections, against a bare FastAPI
POST on the same connections in the same run.

Server CPU of the venue is that of all its processes: an order is accepted, queued, matched,
stored, mirrored and reported. That of FastAPI is its one process.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cpu import GENERATOR, CpuMeter, server_seconds
from bench.venue import REPOSITORY, BenchVenue, bench_venue, listening
from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess
from gomatch.load.flow import BENCH_MIX, FlowMarket, FlowMix, Kind, OrderFlow
from gomatch.load.http import HttpConnection
from gomatch.load.plan import LoadPlan
from gomatch.load.runner import LoadRun
from gomatch.load.statistics import LoadReport
from gomatch.load.venue import load_markets

CONNECTIONS = 64
USERS = 8
_SYMBOL = "BTC-USDT"
_RING = 20_000


@dataclass(frozen=True, kw_only=True)
class SingleOrders:
    """Orders a second of server CPU, and of wall time."""

    seconds: float
    orders: int
    cpu: Mapping[str, float]
    report: LoadReport
    bare_orders: int
    bare_cpu: float
    bare_rate: float

    @property
    def per_cpu_second(self) -> float:
        return self.orders / server_seconds(self.cpu)

    @property
    def bare_per_cpu_second(self) -> float:
        return self.bare_orders / self.bare_cpu

    def markdown(self) -> str:
        api = self.orders / self.cpu["api"]
        hops = ", ".join(
            f"{name} {seconds / self.orders * 1e6:.0f}"
            for name, seconds in self.cpu.items()
            if name != GENERATOR
        )
        own = self.cpu[GENERATOR] / self.orders * 1e6
        acknowledgement = self.report.acknowledgement
        text = (
            f"One order a request on {CONNECTIONS} connections of {USERS} users, the same mix, "
            f"{self.seconds:.0f} s: **{self.per_cpu_second:,.0f} orders per second of server CPU** "
            f"(all processes), against {self.bare_per_cpu_second:,.0f} of a bare FastAPI POST with "
            f"pydantic: **{self.per_cpu_second / self.bare_per_cpu_second:.2f}** of it. The API "
            f"process alone: {api:,.0f} per CPU second, {api / self.bare_per_cpu_second:.2f} of it."
        )
        detail = (
            f"{self.orders / self.seconds:,.0f} orders/s (bare FastAPI {self.bare_rate:,.0f}); "
            f"acknowledged in p50 {acknowledgement.p50:.1f}, p99 {acknowledgement.p99:.1f} ms. "
            f"CPU µs an order: {hops}; load generator {own:.0f}."
        )
        return f"{text}\n\n{detail}\n"


async def measure(*, seconds: float, warm_up: float) -> SingleOrders:
    """The bare server first, then the venue; never both at once."""
    bare_orders, bare_cpu, bare_seconds = await _bare(seconds / 2)
    async with bench_venue(symbols=[_SYMBOL], users=USERS) as venue:
        orders, cpu, report, took = await _venue(venue, seconds=seconds, warm_up=warm_up)
    return SingleOrders(
        seconds=took,
        orders=orders,
        cpu=cpu,
        report=report,
        bare_orders=bare_orders,
        bare_cpu=bare_cpu,
        bare_rate=bare_orders / bare_seconds,
    )


async def _venue(
    venue: BenchVenue, *, seconds: float, warm_up: float
) -> tuple[int, dict[str, float], LoadReport, float]:
    plan = LoadPlan(
        url=venue.url,
        tokens=venue.tokens,
        markets=await load_markets(venue.url, venue.symbols),
        orders=0,
        seconds=warm_up + seconds + 30,
        window=CONNECTIONS // USERS,
        until_seen=True,
        batch=1,
        mix=BENCH_MIX,
        ring=_RING,
    )
    run = LoadRun(plan)
    running = asyncio.create_task(run.run())
    try:
        await run.begun(running)
        await asyncio.sleep(warm_up)
        run.statistics.reset()
        meter, before = venue.meter(), await venue.applied()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        orders = await venue.applied() - before
        cpu, took = meter.used(), time.perf_counter() - began
        report = run.statistics.report()
    finally:
        run.stop()
        await running
    return orders, cpu, report, took


async def _bare(seconds: float) -> tuple[int, float, float]:
    """Orders, CPU seconds of the server and seconds."""
    port = free_port()
    with TemporaryDirectory(prefix="gomatch-bench-") as folder:
        server = ServerProcess(
            [sys.executable, "-m", "bench.bare_fastapi", str(port)],
            log=Path(folder) / "fastapi.log",
            environment={"PATH": "/usr/bin:/bin"},
            folder=REPOSITORY,
        )
        try:
            await listening(port)
            mix = FlowMix(resting=0.7, crossing=0.3, market=0, cancel=0)
            market = FlowMarket(symbol=_SYMBOL, tick=10_000_000, lot=1_000_000, mid=50_000)
            flow = OrderFlow(market, mix, seed=1)
            bodies = [
                b"{" + operation.members + b"}"
                for operation in itertools.islice(flow, _RING)
                if operation.kind is not Kind.CANCEL
            ]
            orders = itertools.cycle(bodies)
            url = f"http://127.0.0.1:{port}"
            await _post(url, orders, 1.0)
            meter = CpuMeter({"fastapi": server.pid})
            began = time.perf_counter()
            count = await _post(url, orders, seconds)
            return count, meter.used()["fastapi"], time.perf_counter() - began
        finally:
            await asyncio.to_thread(server.stop, 10)


async def _post(url: str, bodies: Iterator[bytes], seconds: float) -> int:
    deadline = time.perf_counter() + seconds
    count = 0

    async def lane() -> None:
        nonlocal count
        connection = HttpConnection(url)
        try:
            while time.perf_counter() < deadline:
                answer = await connection.request(b"POST", b"/v1/orders", next(bodies))
                if answer.status != 202:
                    raise RuntimeError(f"{answer.status}: {answer.body[:200]!r}")
                count += 1
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(lane())
    return count

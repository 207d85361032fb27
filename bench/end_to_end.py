"""Throughput from the order to its result on the owner's stream, through every hop.

Eight users send batches of 100 in the mix of all benches, read every private event of theirs over
WebSocket and keep ``window`` batches in flight: a batch is in flight until its results were seen,
so nobody sends faster than the venue matches. One more connection reads public depth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.cpu import GENERATOR, server_seconds
from bench.venue import BenchVenue, bench_venue
from gomatch.load.flow import BENCH_MIX
from gomatch.load.plan import LoadPlan, Via
from gomatch.load.runner import LoadRun
from gomatch.load.statistics import LoadReport
from gomatch.load.venue import load_markets

USERS = 8
BATCH = 100
_RING = 50_000


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """``backlog`` is accepted - applied, sampled through the measured time; ``cpu`` seconds of
    each process in it; ``applied`` commands in it."""

    via: Via
    markets: int
    seconds: float
    warm_up: float
    window: int
    applied: int
    events: int
    backlog: list[int] = field(default_factory=list)
    cpu: Mapping[str, float] = field(default_factory=dict)
    report: LoadReport
    audit: str

    @property
    def rate(self) -> float:
        return self.applied / self.seconds

    @property
    def server_microseconds(self) -> float:
        """Server CPU of one command."""
        return server_seconds(self.cpu) / self.applied * 1e6

    def markdown(self, bare_rate: float) -> str:
        """``bare_rate`` are the commands a second of the bare script in the same run."""
        report = self.report
        lines = [
            f"### {self.via.upper()}, {self.markets} market{'s' * (self.markets > 1)}",
            "",
            f"**{self.rate:,.0f} orders/s** applied and seen ({self.rate / bare_rate:.2f} of the "
            f"bare script), {self.seconds:.0f} s after {self.warm_up:.0f} s of warm-up; batches of "
            f"{BATCH}, {USERS} users with {self.window} batches in flight in each market, {USERS} "
            f"private streams and 1 depth subscriber: {report.private_events:,} private events in "
            f"{report.private_messages:,} messages, {report.public_messages:,} depth messages, "
            f"{report.stream_gaps} gaps.",
            "",
            f"Backlog (accepted - applied): {', '.join(f'{value:,}' for value in self.backlog)}. "
            f"Refused: {dict(report.refused) or 'none'}; failed: "
            f"{dict(report.failed_requests) or 'none'}. Audit: {self.audit}.",
            "",
            f"Latency of a batch to its acknowledgement p50 {report.acknowledgement.p50:.1f}, p99 "
            f"{report.acknowledgement.p99:.1f} ms; of a crossing order to its fill p50 "
            f"{report.fill.p50:.1f}, p99 {report.fill.p99:.1f} ms.",
            "",
            "| process | CPU s | CPU µs an order |",
            "|---|---:|---:|",
        ]
        for name, seconds in self.cpu.items():
            if name != GENERATOR:
                lines.append(f"| {name} | {seconds:.1f} | {seconds / self.applied * 1e6:.1f} |")
        total = server_seconds(self.cpu)
        lines.append(f"| **all servers** | {total:.1f} | {self.server_microseconds:.1f} |")
        own = self.cpu[GENERATOR]
        lines.append(f"| load generator | {own:.1f} | {own / self.applied * 1e6:.1f} |")
        return "\n".join([*lines, ""])


async def measure(
    *, via: Via, markets: int, seconds: float, warm_up: float, window: int
) -> Throughput:
    """One run on a venue of its own."""
    symbols = ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"][:markets]
    async with bench_venue(symbols=symbols, users=USERS) as venue:
        return await _measured(venue, via=via, seconds=seconds, warm_up=warm_up, window=window)


async def _measured(
    venue: BenchVenue, *, via: Via, seconds: float, warm_up: float, window: int
) -> Throughput:
    plan = LoadPlan(
        url=venue.url,
        tokens=venue.tokens,
        markets=await load_markets(venue.url, venue.symbols),
        orders=0,
        seconds=warm_up + seconds + 60,
        window=window,
        until_seen=True,
        batch=BATCH,
        via=via,
        mix=BENCH_MIX,
        ring=_RING,
        depth_subscribers=1,
        timeout=30,
    )
    run = LoadRun(plan)
    running = asyncio.create_task(run.run())
    try:
        await run.begun(running)
        await asyncio.sleep(warm_up)
        run.statistics.reset()
        meter, before = venue.meter(), await venue.applied()
        events = sum(head.sequence for head in await venue.heads())
        loop = asyncio.get_running_loop()
        began = loop.time()
        backlog = [await venue.backlog()]
        for _ in range(6):
            await asyncio.sleep(seconds / 6)
            backlog.append(await venue.backlog())
        applied = await venue.applied() - before
        cpu, took = meter.used(), loop.time() - began
        events = sum(head.sequence for head in await venue.heads()) - events
        report = run.statistics.report()
    finally:
        run.stop()
        await running
    await venue.drained()
    for matcher in venue.matchers.values():
        await matcher.stop()
    return Throughput(
        via=via,
        markets=len(venue.symbols),
        seconds=took,
        warm_up=warm_up,
        window=window,
        applied=applied,
        events=events,
        backlog=backlog,
        cpu=cpu,
        report=report,
        audit=await venue.audit_text(),
    )

"""Latency at 1,000 orders a second: from the POST of a crossing order to its fill on its owner's
WebSocket. Arrivals are Poisson; a late request counts from when it was due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bench.bare_asyncpg import single_commits
from bench.cpu import GENERATOR
from bench.venue import bench_venue
from gomatch.load.flow import BENCH_MIX
from gomatch.load.histogram import LatencySummary
from gomatch.load.plan import LoadPlan
from gomatch.load.runner import LoadRun
from gomatch.load.statistics import LoadReport
from gomatch.load.venue import load_markets

RATE = 1_000
USERS = 8
_WINDOW = 8


@dataclass(frozen=True, kw_only=True)
class Latency:
    """``commit_before`` is of bare commits before the load, ``commit_under`` of the same beside
    the load."""

    seconds: float
    report: LoadReport
    cpu: Mapping[str, float]
    commit_before: LatencySummary
    commit_under: LatencySummary

    def markdown(self) -> str:
        report = self.report
        rows = [
            ("POST to fill on the owner's WebSocket", report.fill),
            ("POST to acknowledgement", report.acknowledgement),
            ("of these: sent later than it was due", report.late),
            ("bare commit of one row, idle server", self.commit_before),
            ("bare commit of one row, beside the load", self.commit_under),
        ]
        lines = [
            f"{report.orders_per_second:,.0f} orders/s for {self.seconds:.0f} s, one order a "
            f"request, Poisson arrivals, {USERS} users with their private streams and one depth "
            f"subscriber; refused {dict(report.refused) or 'none'}, failed "
            f"{dict(report.failed_requests) or 'none'}, {report.stream_gaps} gaps.",
            "",
            "| ms | count | p50 | p90 | p99 | p99.9 | max |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {name} | {summary.count:,} | {summary.p50:.1f} | {summary.p90:.1f} | "
            f"**{summary.p99:.1f}** | {summary.p999:.1f} | {summary.maximum:.1f} |"
            for name, summary in rows
        ]
        cores = ", ".join(f"{name} {used / self.seconds:.0%}" for name, used in self.cpu.items())
        return "\n".join([*lines, "", f"CPU of one core: {cores} ({GENERATOR} apart).", ""])


async def measure(*, seconds: float, warm_up: float) -> Latency:
    async with bench_venue(symbols=["BTC-USDT"], users=USERS) as venue:
        commit_before = await single_commits(venue.postgres.url, count=2_000)
        plan = LoadPlan(
            url=venue.url,
            tokens=venue.tokens,
            markets=await load_markets(venue.url, venue.symbols),
            orders=0,
            seconds=warm_up + seconds + 60,
            rate=RATE,
            window=_WINDOW,
            mix=BENCH_MIX,
            ring=20_000,
            depth_subscribers=1,
        )
        run = LoadRun(plan)
        running = asyncio.create_task(run.run())
        try:
            await run.begun(running)
            await asyncio.sleep(warm_up)
            run.statistics.reset()
            meter = venue.meter()
            await asyncio.sleep(seconds)
            report, cpu = run.statistics.report(), meter.used()
            commit_under = await single_commits(venue.postgres.url, count=500)
        finally:
            run.stop()
            await running
    return Latency(
        seconds=seconds,
        report=report,
        cpu=cpu,
        commit_before=commit_before,
        commit_under=commit_under,
    )

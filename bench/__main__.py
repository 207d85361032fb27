"""Run the venue's benches and keep what they measured: `python -m bench [NAME ...]`.

Each writes ``bench/results/NAME.md``. ``--quick`` measures for seconds, to see that all runs, and
writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench import bare_asyncpg, end_to_end, latency, recovery, single_orders
from bench import markets as many_markets
from gomatch.cli.servers import PostgresServer
from gomatch.load.plan import Via

RESULTS = Path(__file__).parent / "results"
_WINDOW = 2
_VENUE = (
    "PostgreSQL with fsync on, Valkey, RabbitMQ, one API process, a matcher process for each market"
)
_OPERATOR = (
    "PostgreSQL with fsync on, Valkey, RabbitMQ, a Kubernetes API without nodes (its etcd does not "
    "wait for the disk), one operator"
)


def _header(title: str, servers: str, began: float) -> str:
    return (
        f"# {title}\n\n{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores for everything, the load generator included; load average "
        f"{began:.1f} before the run. {servers}. Made by `python -m bench`.\n\n"
    )


async def throughput(quick: bool) -> str:
    """Batches of 100 by REST and by WebSocket, one market and four, beside the bare script."""
    bare = await _bare(20_000 if quick else 200_000)
    parts = [bare.markdown()]
    seconds, warm_up = (8.0, 3.0) if quick else (60.0, 10.0)
    ways: list[tuple[Via, int]] = [("rest", 1), ("ws", 1), ("rest", 4), ("ws", 4)]
    for via, number in ways:
        measured = await end_to_end.measure(
            via=via,
            markets=number,
            seconds=seconds,
            warm_up=warm_up,
            window=max(1, _WINDOW // number),
        )
        parts.append(measured.markdown(bare.rate))
        print(parts[-1], flush=True)
    return "\n".join(parts)


async def _bare(commands: int) -> bare_asyncpg.BareResult:
    with tempfile.TemporaryDirectory(prefix="gomatch-bench-") as name:
        folder = Path(name)
        await asyncio.to_thread(folder.chmod, 0o711)
        server = PostgresServer(folder / "postgres")
        await server.start()
        try:
            return await bare_asyncpg.measure(server, commands=commands)
        finally:
            await server.stop()


async def single(quick: bool) -> str:
    seconds, warm_up = (5.0, 2.0) if quick else (30.0, 5.0)
    return (await single_orders.measure(seconds=seconds, warm_up=warm_up)).markdown()


async def notification_latency(quick: bool) -> str:
    seconds, warm_up = (5.0, 2.0) if quick else (60.0, 10.0)
    return (await latency.measure(seconds=seconds, warm_up=warm_up)).markdown()


async def restart(quick: bool) -> str:
    count = 10_000 if quick else 100_000
    return (await recovery.measure(open_orders=count, tail=count)).markdown()


async def markets(quick: bool) -> str:
    count, idle = (50, 60.0) if quick else (1_000, 300.0)
    return (await many_markets.measure(count=count, idle=idle)).markdown()


BENCHES: dict[str, tuple[str, str, Callable[[bool], Coroutine[None, None, str]]]] = {
    "throughput": (
        "Throughput from the order to its result on the owner's stream",
        _VENUE,
        throughput,
    ),
    "single": ("One order a request", _VENUE, single),
    "latency": ("Latency at 1,000 orders a second", _VENUE, notification_latency),
    "recovery": ("Restart and takeover", _VENUE, restart),
    "markets": ("The operator with many Markets", _OPERATOR, markets),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], help="all when none is named")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    # As in the programs that are measured: a pause of the generator's own would be put down to
    # them.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    for name in options.names or BENCHES:
        title, servers, run = BENCHES[name]
        text = _header(title, servers, os.getloadavg()[0]) + uvloop.run(run(options.quick))
        print(text, flush=True)
        if not options.quick:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()

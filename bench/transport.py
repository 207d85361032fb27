"""What RabbitMQ costs for a batch: publishing with confirms and consuming with acknowledgements.

    python -m bench.transport [--batches 20000] [--commands 100] [--in-flight 64]

A publisher keeps ``--in-flight`` batches unconfirmed, as the API does; one consumer takes, decodes
and acknowledges them as a matcher does, both on one event loop beside the broker. The figures:
batches a second and CPU for a command, of the broker (all its processes, from /proc) and of this
program (both ends, decoding twice included).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import uvloop

from gomatch.cli.servers import RabbitServer
from gomatch.cli.servers.process import process_tree
from gomatch.engine import NewOrder, OrderType, Side
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.transport import RabbitMQTransport
from gomatch.transport.rabbitmq import topology

_MARKET = "BTC-USDT"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    batches: int
    commands: int
    seconds: float
    broker_cpu: float
    client_cpu: float

    def __str__(self) -> str:
        total = self.batches * self.commands
        return (
            f"{self.batches / self.seconds:8,.0f} batches/s of {self.commands:4d}"
            f"  {total / self.seconds:11,.0f} commands/s"
            f"   CPU a command: broker {self.broker_cpu / total * 1e6:6.2f} µs,"
            f" client {self.client_cpu / total * 1e6:6.2f} µs"
        )


async def measure(
    transport: RabbitMQTransport, server: RabbitServer, *, batches: int, commands: int, window: int
) -> Result:
    bodies = pack_commands(
        [
            NewOrder(
                user=n % 97,
                side=Side(1 + n % 2),
                type=OrderType.LIMIT,
                quantity=100 + n,
                price=5_000_000 + n,
                client_order_id=f"client-{n}",
            )
            for n in range(commands)
        ]
    )
    publisher = await transport.publisher()
    consumer = await transport.consumer(_MARKET, prefetch=100)
    slots = asyncio.Semaphore(window)

    async def publish(first: int) -> None:
        try:
            await publisher.publish(
                CommandBatch(_MARKET, first, first + commands - 1, 1, bodies), timeout=30
            )
        finally:
            slots.release()

    async def consume() -> None:
        left = batches
        while left:
            taken = await consumer.take(limit=100, timeout=30)
            for delivery in taken:
                delivery.batch.commands()
            if taken:
                await consumer.ack(taken[-1])
            left -= len(taken)

    cpu, broker, started = time.process_time(), _cpu_of(server.pid), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(consume())
        for number in range(batches):
            await slots.acquire()
            group.create_task(publish(1 + number * commands))
    seconds = time.perf_counter() - started
    result = Result(
        batches,
        commands,
        seconds,
        _cpu_of(server.pid) - broker,
        time.process_time() - cpu,
    )
    await consumer.close()
    await publisher.close()
    return result


def _cpu_of(root: int) -> float:
    """Seconds of CPU of a process and all below it."""
    total = 0
    for pid in process_tree(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


async def run(arguments: argparse.Namespace, server: RabbitServer) -> None:
    transport = RabbitMQTransport(server.url)
    async with await aio_pika.connect(server.url) as connection:
        await topology.ensure(connection, _MARKET)
    version = server.control("version").strip()
    print(f"RabbitMQ {version}, quorum queue, one node, {os.cpu_count()} cores")
    for commands in (1, 10, arguments.commands, 500):
        batches = arguments.batches if commands <= arguments.commands else arguments.batches // 4
        result = await measure(
            transport, server, batches=batches, commands=commands, window=arguments.in_flight
        )
        print(result, flush=True)
    await transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--commands", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gomatch-bench-") as folder:
        server = RabbitServer(Path(folder) / "rabbitmq", tools=Path(".tools"))
        server.start_now()
        try:
            uvloop.run(run(arguments, server))
        finally:
            server.stop_now()


if __name__ == "__main__":
    main()

"""What the Redis mirror costs: CPU of client and server for an order, and the large operations.

    python -m bench.cache [--batches 500] [--batch 100] [--orders 100000]

The flow: of 100 commands 60 rest, 25 trade (with 20 resting orders that they fill and 5 that
they reduce), 15 cancel; a book of 2,000 orders stands before it. CPU of the server is its own
count (`INFO cpu`), that of the client the process time of this program. "Blocked" is the
longest that another connection waited for a PING meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import deque
from collections.abc import Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gomatch.cache import BookEntry, BookMirror, MirrorImage, MirrorUpdate
from gomatch.cli.servers import RedisServer
from gomatch.engine import (
    ImageHeader,
    MarketConfig,
    OrderImage,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
    TradingState,
)
from gomatch.messages.codec import CHAIN_LENGTH, pack_header, pack_order

_CHAIN = bytes(CHAIN_LENGTH)


@dataclass
class Book:
    """Just enough of a book to know what a batch changes in the mirror."""

    levels: int
    orders: dict[int, OrderImage] = field(default_factory=dict)
    depth: dict[int, dict[int, int]] = field(default_factory=lambda: {1: {}, 2: {}})
    number: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def rest(self) -> OrderImage:
        self.number += 1
        side = Side(1 + self.number % 2)
        offset = self.random.randrange(self.levels)
        price = 5_000_000 - offset if side is Side.BUY else 5_000_001 + offset
        order = OrderImage(
            number=self.number,
            user=self.number % 97,
            side=side,
            type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            self_trade=SelfTrade.DEFAULT,
            post_only=False,
            price=price,
            stop_price=0,
            display=0,
            expiry=0,
            quantity=1_000,
            remaining=1_000,
            filled=0,
            displayed=1_000,
            value=0,
            priority=self.number,
            triggered=False,
            client_order_id=f"order-{self.number}",
        )
        self.orders[order.number] = order
        self.depth[side][price] = self.depth[side].get(price, 0) + 1_000
        return order

    def remove(self, number: int) -> OrderImage:
        order = self.orders.pop(number)
        left = self.depth[order.side][order.price] - order.displayed
        if left:
            self.depth[order.side][order.price] = left
        else:
            del self.depth[order.side][order.price]
        return order

    def header(self) -> bytes:
        return pack_header(
            ImageHeader(
                time=self.number,
                applied=self.number,
                sequence=self.number,
                state=TradingState.RUNNING,
                last_price=5_000_000,
                next_priority=self.number + 1,
                config=MarketConfig(),
            )
        )

    def image(self) -> MirrorImage:
        return MirrorImage(
            epoch=1,
            sequence=self.number,
            chain=_CHAIN,
            applied=self.number,
            header=self.header(),
            state=TradingState.RUNNING,
            last_price=5_000_000,
            orders={number: pack_order(order) for number, order in self.orders.items()},
            book=[entry(order) for order in self.orders.values()],
            bids=dict(self.depth[1]),
            asks=dict(self.depth[2]),
        )

    def batch(self, size: int) -> MirrorUpdate:
        before = self.number
        removed: list[OrderImage] = []
        touched: deque[OrderImage] = deque()
        for _ in range(size * 60 // 100):
            touched.append(self.rest())
        closed = self.random.sample(range(before - 1_500, before), size * 35 // 100 + 1)
        removed += (self.remove(number) for number in closed if number in self.orders)
        reduced = [self.orders[order.number] for order in list(touched)[: size * 5 // 100]]
        touched += reduced
        levels: dict[int, dict[int, int]] = {1: {}, 2: {}}
        for order in (*touched, *removed):
            levels[order.side][order.price] = self.depth[order.side].get(order.price, 0)
        taken = range(self.number + 1, self.number + 1 + size * 25 // 100)
        self.number += len(taken)
        return MirrorUpdate(
            epoch=1,
            expected_sequence=before,
            expected_chain=_CHAIN,
            sequence=self.number,
            chain=_CHAIN,
            applied=self.number,
            header=self.header(),
            state=TradingState.RUNNING,
            last_price=5_000_000,
            orders_set={order.number: pack_order(order) for order in touched},
            orders_removed=[*(order.number for order in removed), *taken],
            book_set=[entry(order) for order in touched],
            book_removed=[entry(order) for order in removed],
            bids=levels[1],
            asks=levels[2],
        )


def entry(order: OrderImage) -> BookEntry:
    return order.side, order.price, order.priority, order.number


@asynccontextmanager
async def server(binary: Path | None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        running = RedisServer(Path(folder) / "redis", binary=binary)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


class Probe:
    """Measures one operation: wall time, CPU on both sides, how long others were blocked."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)

    async def measure(self, name: str, operation: Awaitable[Any]) -> None:
        server_before, wall, cpu = await self.cpu(), time.perf_counter(), time.process_time()
        await operation
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        used = await self.cpu() - server_before
        print(
            f"{name:44} {wall * 1e3:8.1f} ms   client {cpu * 1e3:7.1f} ms CPU   "
            f"server {used * 1e3:7.1f} ms CPU"
        )

    async def cpu(self) -> float:
        """Of the server, in seconds."""
        usage = await self._redis.info("cpu")
        return float(usage["used_cpu_sys_main_thread"] + usage["used_cpu_user_main_thread"])

    async def slowest(self) -> float:
        """The longest command since the last call, in milliseconds."""
        entries = await self._redis.slowlog_get(128)
        await self._redis.slowlog_reset()
        return max((entry["duration"] for entry in entries), default=0) / 1e3

    async def close(self) -> None:
        await self._redis.aclose()


async def steady(mirror: BookMirror, probe: Probe, *, batches: int, batch: int) -> None:
    book = Book(levels=200)
    for _ in range(2_000):
        book.rest()
    await mirror.rebuild(book.image())
    updates = [book.batch(batch) for _ in range(batches)]
    server_before, cpu, wall = await probe.cpu(), time.process_time(), time.perf_counter()
    for update in updates:
        await mirror.write(update)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    used = await probe.cpu() - server_before
    each = 1e6 / (batches * batch)
    print(
        f"batches of {batch:5}: {cpu * each:6.2f} µs client + {used * each:6.2f} µs server CPU an "
        f"order, {wall / batches * 1e3:.2f} ms a batch"
    )


async def large(mirror: BookMirror, probe: Probe, orders: int) -> None:
    book = Book(levels=500)
    for _ in range(orders):
        book.rest()
    image = book.image()
    await probe.slowest()
    for name, operation in (
        ("rebuild", mirror.rebuild(image)),
        ("load", mirror.load()),
        ("contents", mirror.contents()),
        ("cancel all, one write", mirror.write(cancel_all(image))),
    ):
        await probe.measure(f"{name}, {orders} orders", operation)
        print(f"{'':44} longest command {await probe.slowest():.1f} ms")


def cancel_all(image: MirrorImage) -> MirrorUpdate:
    return MirrorUpdate(
        epoch=1,
        expected_sequence=image.sequence,
        expected_chain=image.chain,
        sequence=image.sequence + len(image.orders),
        chain=image.chain,
        applied=image.applied + 1,
        header=image.header,
        state=TradingState.RUNNING,
        last_price=image.last_price,
        orders_set={},
        orders_removed=list(image.orders),
        book_set=[],
        book_removed=image.book,
        bids=dict.fromkeys(image.bids, 0),
        asks=dict.fromkeys(image.asks, 0),
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--server", type=Path, help="another redis-server or valkey-server")
    options = parser.parse_args()
    async with server(options.server) as running:
        mirror = BookMirror(running.url, "BTC-USDT", timeout=10)
        probe = Probe(running.url)
        for batch in (100, 1_000):
            await mirror.delete()
            batches = max(1, options.batches * 100 // batch)
            await steady(mirror, probe, batches=batches, batch=batch)
        await mirror.delete()
        await large(mirror, probe, options.orders)
        await probe.close()
        await mirror.close()


if __name__ == "__main__":
    asyncio.run(main())

"""Recovery: a book of 100,000 open orders whose newest image lies 100,000 commands back.

The matcher is killed with -9 and its lease left to run out. Then a new process is started, once
with Redis as it was and once with Redis emptied, and measured from its start until its first
result; so the start of Python and its libraries is inside. Takeover is measured from the kill -9
of a leader until the first result of the standby that waited, so the lease is inside.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import redis.asyncio

from bench.venue import BenchVenue, Program, bench_venue
from gomatch.engine import CancelOrder, Command, NewOrder, OrderType, Side
from gomatch.messages.codec import pack_commands
from gomatch.store import Intake, Leadership, Markets

_SYMBOL = "BTC-USDT"
_BATCH = 1_000
_USER = 1
_NO_LIMIT = 1 << 60
_MID = 50_000


@dataclass(frozen=True, kw_only=True)
class Restart:
    """``seconds`` from the start of the process until the result of the first command after it;
    ``own`` what the matcher itself says its recovery took; ``source`` where from."""

    seconds: float
    own: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Recovery:
    open_orders: int
    tail: int
    from_redis: Restart
    from_postgres: Restart
    takeover: Restart
    audit: str

    def markdown(self) -> str:
        lines = [
            f"{self.open_orders:,} open orders; {self.tail:,} commands journaled after the newest "
            f"image. Audit: {self.audit}.",
            "",
            "| what | until the first result, s | recovery itself, s | loaded from |",
            "|---|---:|---:|---|",
        ]
        lines += [
            f"| {name} | **{each.seconds:.2f}** | {each.own:.2f} | {each.source} |"
            for name, each in (
                ("restart, Redis as it was", self.from_redis),
                ("restart, Redis emptied", self.from_postgres),
                ("takeover by a waiting standby after kill -9", self.takeover),
            )
        ]
        return "\n".join([*lines, ""])


async def measure(*, open_orders: int, tail: int) -> Recovery:
    async with bench_venue(symbols=[_SYMBOL], users=1) as venue:
        intake = Intake(venue.pool)
        record = await Markets(venue.pool).get(_SYMBOL)
        assert record is not None
        market_id = record.market_id
        await _accept(intake, market_id, [_resting(number) for number in range(open_orders)])
        await venue.drained()
        matcher = venue.matchers[_SYMBOL]
        # An orderly stop writes the image.
        await matcher.stop()
        matcher.start()
        await matcher.ready()
        await _accept(intake, market_id, _tail(await venue.applied(), tail))
        await venue.drained()

        await matcher.kill()
        from_redis = await _restarted(venue, matcher, intake, market_id)
        await matcher.kill()
        client = redis.asyncio.Redis.from_url(venue.redis.url)
        await client.flushall()
        await client.aclose()
        from_postgres = await _restarted(venue, matcher, intake, market_id)

        standby = venue.new_matcher(_SYMBOL)
        standby.start()
        try:
            await standby.ready()
            began = time.perf_counter()
            await matcher.kill()
            takeover = await _first_result(venue, standby, intake, market_id, began)
            audit = await venue.audit_text()
        finally:
            await standby.stop()
    return Recovery(
        open_orders=open_orders,
        tail=tail,
        from_redis=from_redis,
        from_postgres=from_postgres,
        takeover=takeover,
        audit=audit,
    )


async def _restarted(
    venue: BenchVenue, matcher: Program, intake: Intake, market_id: int
) -> Restart:
    leadership = Leadership(venue.postgres.url, timeout=30)
    try:
        async with asyncio.timeout(30):
            while (holder := await leadership.holder(market_id)) and holder.expires_in > 0:
                await asyncio.sleep(0.05)
    finally:
        await leadership.close()
    began = time.perf_counter()
    matcher.start()
    return await _first_result(venue, matcher, intake, market_id, began)


async def _first_result(
    venue: BenchVenue, matcher: Program, intake: Intake, market_id: int, began: float
) -> Restart:
    accepted = await intake.accept(
        market_id,
        bodies=pack_commands([_resting(1)]),
        count=1,
        claims=(),
        backlog_limit=_NO_LIMIT,
    )
    async with asyncio.timeout(60):
        while await venue.applied() < accepted.last:
            await asyncio.sleep(0.005)
    seconds = time.perf_counter() - began
    status = await matcher.ready()
    return Restart(
        seconds=seconds,
        own=await matcher.metric("gomatch_matcher_recovery_seconds"),
        source=str(status["recovered_from"]),
    )


def _resting(index: int) -> NewOrder:
    """Orders on 500 prices of each side that never meet."""
    buys = index % 2 == 0
    distance = 1 + index // 2 % 500
    return NewOrder(
        user=_USER,
        side=Side.BUY if buys else Side.SELL,
        type=OrderType.LIMIT,
        quantity=10 + index % 90,
        price=_MID - distance if buys else _MID + distance,
    )


def _tail(applied: int, count: int) -> list[Command]:
    """As many new orders as cancels of them, so that the book keeps its size."""
    commands: list[Command] = []
    while len(commands) < count:
        number = applied + 1 + len(commands)
        commands += [_resting(number), CancelOrder(_USER, number)]
    return commands[:count]


async def _accept(intake: Intake, market_id: int, commands: list[Command] | list[NewOrder]) -> None:
    for start in range(0, len(commands), _BATCH):
        part = commands[start : start + _BATCH]
        await intake.accept(
            market_id,
            bodies=pack_commands(part),
            count=len(part),
            claims=(),
            backlog_limit=_NO_LIMIT,
        )

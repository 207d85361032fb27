"""Lanes under a given rate: what is due is sent by whichever lane is free."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gomatch.load.actions import Action
from gomatch.load.flow import BENCH_MIX, FlowMarket, OrderFlow
from gomatch.load.lane import Composer, Lane
from gomatch.load.pacing import Budget, PoissonPacer
from gomatch.load.senders import Reply
from gomatch.load.statistics import Statistics
from gomatch.load.tracking import FillTimes, OpenOrders, Results
from gomatch.load.wire import Acknowledged, ItemAnswer


class Venue:
    """Answers at once, but for the first request, which waits for ``release``."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.requests = 0

    async def send(self, actions: Sequence[Action]) -> Reply:
        self.requests += 1
        number = self.requests
        if number == 1:
            await self.release.wait()
        return Reply([ItemAnswer(order=Acknowledged(f"BTC-USDT-{number}")) for _ in actions])

    async def close(self) -> None:
        pass


def lanes(count: int, venue: Venue, statistics: Statistics, *, orders: int) -> list[Lane]:
    market = FlowMarket(symbol="BTC-USDT", tick=10_000_000, lot=1_000_000, mid=50_000)
    open_orders = OpenOrders(seed=1)
    composer = Composer(OrderFlow(market, BENCH_MIX, seed=1), open_orders)
    pacer = PoissonPacer(rate=2_000, seed=1)
    budget = Budget(orders=orders, seconds=60)
    return [
        Lane(
            composer=composer,
            open_orders=open_orders,
            fills=FillTimes(),
            sender=venue,
            pacer=pacer,
            budget=budget,
            batch=1,
            statistics=statistics,
            results=Results(),
        )
        for _ in range(count)
    ]


async def test_a_slow_answer_delays_no_other_request() -> None:
    venue, statistics = Venue(), Statistics()
    two = lanes(2, venue, statistics, orders=50)
    running = [asyncio.create_task(lane.run()) for lane in two]
    async with asyncio.timeout(10):
        while venue.requests < 50:
            await asyncio.sleep(0.001)
    assert statistics.acknowledged == 49, "one lane has sent everything but the first"
    venue.release.set()
    await asyncio.gather(*running)
    assert statistics.acknowledged == 50
    assert statistics.late.count == 50


async def test_what_waits_for_a_lane_counts_from_when_it_was_due() -> None:
    venue, statistics = Venue(), Statistics()
    (only,) = lanes(1, venue, statistics, orders=20)
    running = asyncio.create_task(only.run())
    async with asyncio.timeout(10):
        while not venue.requests:
            await asyncio.sleep(0.001)
    # All are due within some 10 ms, and all but the first wait for the lane.
    await asyncio.sleep(0.1)
    venue.release.set()
    await running
    assert statistics.acknowledgement.count == 20
    assert statistics.late.count == 20
    assert statistics.acknowledgement.quantile(0.5) >= statistics.late.quantile(0.5)

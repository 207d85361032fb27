"""Runs a plan: streams that listen, lanes that send, and the report at the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

from gomatch.load.flow import Operation, OrderFlow
from gomatch.load.http import HttpConnection
from gomatch.load.lane import Composer, Lane
from gomatch.load.listening import Listening
from gomatch.load.pacing import Budget, PoissonPacer
from gomatch.load.plan import LoadPlan
from gomatch.load.senders import (
    RestBatches,
    RestSingles,
    Sender,
    StreamBatches,
    StreamSingles,
)
from gomatch.load.statistics import LoadReport, Statistics
from gomatch.load.stream import StreamClient
from gomatch.load.tracking import OpenOrders


class LoadRun:
    """One run of a plan. ``statistics`` may be read, and reset after a warm-up, while it runs."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self.statistics = Statistics()
        self._budget = Budget(orders=plan.orders, seconds=plan.seconds)
        self.started = asyncio.Event()
        """Set when every stream is subscribed and sending begins."""

    async def begun(self, running: asyncio.Task[LoadReport]) -> None:
        """Wait until sending begins. ``running`` is the task of ``run``; raises what it raises
        when it ends before."""
        starting = asyncio.create_task(self.started.wait())
        await asyncio.wait([starting, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            starting.cancel()
            running.result()

    def stop(self) -> None:
        """End early; ``run`` then returns in its usual way."""
        self._budget.stop()

    async def run(self) -> LoadReport:
        """Raises LoadError when the streams cannot be subscribed within the plan's timeout."""
        async with Listening(self._plan, self.statistics) as listening:
            lanes = self._lanes(listening)
            self.statistics.reset()
            self._budget.begin()
            self.started.set()
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(lane.run())
            self.statistics.finish()
            await listening.settle()
            return self.statistics.report()

    def _lanes(self, listening: Listening) -> list[Lane]:
        plan = self._plan
        rate = plan.rate / plan.batch / (len(plan.tokens) * len(plan.markets))
        lanes: list[Lane] = []
        for market in plan.markets:
            flow: Iterator[Operation] = OrderFlow(market, plan.mix, seed=plan.seed)
            if plan.ring:
                flow = itertools.cycle(list(itertools.islice(flow, plan.ring)))
            for token, stream, results in zip(
                plan.tokens, listening.users, listening.results, strict=True
            ):
                open_orders = OpenOrders(seed=plan.seed + len(lanes))
                pacer = PoissonPacer(rate=rate, seed=plan.seed + len(lanes))
                for _ in range(plan.window):
                    number = len(lanes)
                    prefix = f"{plan.client_ids}-{number}-" if plan.client_ids else ""
                    lanes.append(
                        Lane(
                            composer=Composer(
                                flow,
                                open_orders,
                                client_ids=prefix,
                                alone=plan.alone,
                            ),
                            open_orders=open_orders,
                            fills=listening.fills,
                            sender=self._sender(token, stream),
                            pacer=pacer,
                            budget=self._budget,
                            batch=plan.batch,
                            statistics=self.statistics,
                            results=results[market.symbol],
                            until_seen=plan.until_seen,
                            timeout=plan.timeout,
                        )
                    )
        return lanes

    def _sender(self, token: str, stream: StreamClient) -> Sender:
        plan = self._plan
        if plan.via == "ws":
            return StreamBatches(stream) if plan.batch > 1 else StreamSingles(stream)
        connection = HttpConnection(plan.url, token=token, timeout=plan.timeout)
        return RestBatches(connection) if plan.batch > 1 else RestSingles(connection)

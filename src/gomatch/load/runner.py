"""Runs a plan: streams that listen, lanes that send, and the report at the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

from gomatch.errors import LoadError
from gomatch.load.flow import Operation, OrderFlow
from gomatch.load.http import HttpConnection
from gomatch.load.lane import Composer, Lane
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
from gomatch.load.stream import StreamClient, Subscription
from gomatch.load.tracking import FillTimes, OpenOrders
from gomatch.load.wire import StreamMessage

_SETTLE_STEP = 0.1
_SETTLE_LIMIT = 5.0


class LoadRun:
    """One run of a plan. ``statistics`` may be read, and reset after a warm-up, while it runs."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self.statistics = Statistics()
        self._budget = Budget(orders=plan.orders, seconds=plan.seconds)
        self._fills = FillTimes()
        self.started = asyncio.Event()
        """Set when every stream is subscribed and sending begins."""

    def stop(self) -> None:
        """End early; ``run`` then returns in its usual way."""
        self._budget.stop()

    async def run(self) -> LoadReport:
        """Raises LoadError when the streams cannot be subscribed within the plan's timeout."""
        plan = self._plan
        symbols = [market.symbol for market in plan.markets]
        users = [
            self._stream(token, [Subscription("orders", symbol) for symbol in symbols])
            for token in plan.tokens
        ]
        readers = [
            self._stream("", [Subscription("depth", symbol) for symbol in symbols])
            for _ in range(plan.depth_subscribers)
        ]
        lanes = self._lanes(users)
        streams = [asyncio.create_task(stream.run()) for stream in (*users, *readers)]
        try:
            await self._subscribed([*users, *readers])
            self.statistics.reset()
            self._budget.begin()
            self.started.set()
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(lane.run())
            self.statistics.finish()
            await self._settle()
            return self.statistics.report()
        finally:
            for task in streams:
                task.cancel()
            await asyncio.gather(*streams, return_exceptions=True)

    def _stream(self, token: str, subscriptions: list[Subscription]) -> StreamClient:
        return StreamClient(
            self._plan.url,
            token=token,
            subscriptions=subscriptions,
            statistics=self.statistics,
            on_message=self._on_private if token else self._on_public,
            timeout=self._plan.timeout,
        )

    def _lanes(self, users: list[StreamClient]) -> list[Lane]:
        plan = self._plan
        seeds = itertools.count(plan.seed)
        rate = plan.rate / plan.batch / plan.lanes
        lanes: list[Lane] = []
        for market in plan.markets:
            flow: Iterator[Operation] = OrderFlow(market, plan.mix, seed=plan.seed)
            if plan.ring:
                flow = itertools.cycle(list(itertools.islice(flow, plan.ring)))
            for token, stream in zip(plan.tokens, users, strict=True):
                open_orders = OpenOrders(seed=next(seeds))
                lanes.extend(
                    Lane(
                        composer=Composer(
                            flow, open_orders, client_ids=self._prefix(len(lanes) + n)
                        ),
                        open_orders=open_orders,
                        fills=self._fills,
                        sender=self._sender(token, stream),
                        pacer=PoissonPacer(rate=rate, seed=next(seeds)),
                        budget=self._budget,
                        batch=plan.batch,
                        statistics=self.statistics,
                    )
                    for n in range(plan.window)
                )
        return lanes

    def _prefix(self, lane: int) -> str:
        return f"{self._plan.client_ids}-{lane}-" if self._plan.client_ids else ""

    def _sender(self, token: str, stream: StreamClient) -> Sender:
        plan = self._plan
        if plan.via == "ws":
            return StreamBatches(stream) if plan.batch > 1 else StreamSingles(stream)
        connection = HttpConnection(plan.url, token=token, timeout=plan.timeout)
        return RestBatches(connection) if plan.batch > 1 else RestSingles(connection)

    async def _subscribed(self, streams: list[StreamClient]) -> None:
        try:
            async with asyncio.timeout(self._plan.timeout):
                for stream in streams:
                    await stream.ready.wait()
        except TimeoutError as error:
            causes = ", ".join(self.statistics.failed) or "no confirmation"
            raise LoadError(f"cannot subscribe to {self._plan.url}: {causes}") from error

    async def _settle(self) -> None:
        """Wait until no private event has come for a moment: the last fills belong to the run."""
        limit = time.perf_counter() + _SETTLE_LIMIT
        seen = -1
        while seen != self.statistics.private_events and time.perf_counter() < limit:
            seen = self.statistics.private_events
            await asyncio.sleep(_SETTLE_STEP)

    def _on_private(self, message: StreamMessage, now: float) -> None:
        statistics = self.statistics
        statistics.private_messages += 1
        statistics.private_events += len(message.events)
        for event in message.events:
            if event.event == "fill" and event.role == "taker" and event.order_id is not None:
                self._fills.seen(event.order_id, now, statistics.fill)

    def _on_public(self, message: StreamMessage, now: float) -> None:
        self.statistics.public_messages += 1

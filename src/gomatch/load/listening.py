"""The streams beside a run: each user's private events and public depth, read and counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from gomatch.errors import LoadError
from gomatch.load.plan import LoadPlan
from gomatch.load.statistics import Statistics
from gomatch.load.stream import StreamClient, Subscription
from gomatch.load.tracking import FillTimes, Results
from gomatch.load.wire import StreamMessage

_SETTLE_STEP = 0.1


class Listening:
    """``async with`` subscribes everything and ends with every stream closed."""

    def __init__(self, plan: LoadPlan, statistics: Statistics) -> None:
        self._plan = plan
        self._statistics = statistics
        self._tasks: list[asyncio.Task[None]] = []
        self.fills = FillTimes()
        self.users: Sequence[StreamClient] = ()
        self.results = [{market.symbol: Results() for market in plan.markets} for _ in plan.tokens]
        """By user, in the order of the plan's tokens, and market."""

    async def __aenter__(self) -> Self:
        """Raises LoadError when a subscription is refused, or not confirmed within the plan's
        timeout."""
        plan = self._plan
        self.users = [
            self._stream("orders", self._private(results), token)
            for token, results in zip(plan.tokens, self.results, strict=True)
        ]
        readers = [self._stream("depth", self._public) for _ in range(plan.depth_subscribers)]
        streams = [*self.users, *readers]
        self._tasks = [asyncio.create_task(stream.run()) for stream in streams]
        try:
            async with asyncio.timeout(plan.timeout):
                for stream, task in zip(streams, self._tasks, strict=True):
                    await _until_ready(stream, task)
        except BaseException as error:
            await self._close()
            if isinstance(error, TimeoutError):
                causes = ", ".join(self._statistics.failed) or "no confirmation"
                raise LoadError(f"cannot subscribe to {plan.url}: {causes}") from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def settle(self) -> None:
        """Wait until the results of all acknowledged orders were seen and no private event has
        come for a moment, at most for the plan's timeout: the last fills belong to the run."""
        limit = time.perf_counter() + self._plan.timeout
        seen = -1
        while time.perf_counter() < limit:
            if self._complete and seen == self._statistics.private_events:
                return
            seen = self._statistics.private_events
            await asyncio.sleep(_SETTLE_STEP)

    @property
    def _complete(self) -> bool:
        return all(each.complete for results in self.results for each in results.values())

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stream(
        self, channel: str, on_message: Callable[[StreamMessage, float], None], token: str = ""
    ) -> StreamClient:
        return StreamClient(
            self._plan.url,
            token=token,
            subscriptions=[Subscription(channel, market.symbol) for market in self._plan.markets],
            statistics=self._statistics,
            on_message=on_message,
            timeout=self._plan.timeout,
        )

    def _private(self, results: Mapping[str, Results]) -> Callable[[StreamMessage, float], None]:
        statistics, fills = self._statistics, self.fills

        def on_message(message: StreamMessage, now: float) -> None:
            statistics.private_messages += 1
            statistics.private_events += len(message.events)
            newest = None
            for event in message.events:
                if event.role == "taker" and event.order_id is not None:
                    fills.seen(event.order_id, now, statistics.fill)
                elif event.event == "accepted":
                    newest = event.order_id
                elif event.event == "rejected" and event.order_id is not None:
                    results[message.market].saw(event.order_id)
            if newest is not None:
                results[message.market].saw(newest)

        return on_message

    def _public(self, message: StreamMessage, now: float) -> None:
        self._statistics.public_messages += 1


async def _until_ready(stream: StreamClient, running: asyncio.Task[None]) -> None:
    """``running`` is the task of the stream's ``run``; raises what it raises."""
    waiting = asyncio.create_task(stream.ready.wait())
    try:
        await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if running.done():
        running.result()

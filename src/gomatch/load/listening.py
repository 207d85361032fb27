"""The streams beside a run: each user's private events and public depth, read and counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from gomatch.errors import LoadError
from gomatch.load.plan import LoadPlan
from gomatch.load.statistics import Statistics
from gomatch.load.stream import StreamClient, Subscription
from gomatch.load.tracking import FillTimes
from gomatch.load.wire import StreamMessage

_SETTLE_STEP = 0.1
_SETTLE_LIMIT = 5.0


class Listening:
    """``async with`` subscribes everything and ends with every stream closed."""

    def __init__(self, plan: LoadPlan, statistics: Statistics) -> None:
        self._plan = plan
        self._statistics = statistics
        self._tasks: list[asyncio.Task[None]] = []
        self.fills = FillTimes()
        self.users: Sequence[StreamClient] = ()

    async def __aenter__(self) -> Self:
        """Raises LoadError when a subscription is not confirmed within the plan's timeout."""
        plan = self._plan
        self.users = [self._stream(token, "orders") for token in plan.tokens]
        streams = [*self.users, *(self._stream("", "depth") for _ in range(plan.depth_subscribers))]
        self._tasks = [asyncio.create_task(stream.run()) for stream in streams]
        try:
            async with asyncio.timeout(plan.timeout):
                for stream in streams:
                    await stream.ready.wait()
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
        """Wait until no private event has come for a moment: the last fills belong to the run."""
        limit = time.perf_counter() + _SETTLE_LIMIT
        seen = -1
        while seen != self._statistics.private_events and time.perf_counter() < limit:
            seen = self._statistics.private_events
            await asyncio.sleep(_SETTLE_STEP)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stream(self, token: str, channel: str) -> StreamClient:
        return StreamClient(
            self._plan.url,
            token=token,
            subscriptions=[Subscription(channel, market.symbol) for market in self._plan.markets],
            statistics=self._statistics,
            on_message=self._on_private if token else self._on_public,
            timeout=self._plan.timeout,
        )

    def _on_private(self, message: StreamMessage, now: float) -> None:
        statistics = self._statistics
        statistics.private_messages += 1
        statistics.private_events += len(message.events)
        for event in message.events:
            if event.role == "taker" and event.order_id is not None:
                self.fills.seen(event.order_id, now, statistics.fill)

    def _on_public(self, message: StreamMessage, now: float) -> None:
        self._statistics.public_messages += 1

"""A subscription to one's private events: replayed from the journal, then live, no gap, no double.

It is fed live by the market's view once the journal has been walked up to where the view stands;
when the view misses events, it walks the journal again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from gomatch.errors import StoreUnavailable
from gomatch.messages.codec import unpack_events
from gomatch.observability import logs
from gomatch_api.feeds.private import PrivateEvent, private_events
from gomatch_api.feeds.view import MarketView
from gomatch_api.markets import Market
from gomatch_api.stream.messages import (
    OrdersMessage,
    ResyncMessage,
    SubscribedMessage,
    Tag,
    heartbeat_text,
    text,
)
from gomatch_api.stream.outbox import Outbox
from gomatch_api.stream.ports import OpenOrders, OrderView, ReplayJournal, ReplayRow

_log = logs.get(__name__)

EVENTS_PER_MESSAGE = 500
ORDERS_PER_MESSAGE = 500
PAGE_ROWS = 20
SLICE = 2_000
"""Events that a replay looks at before other tasks get their turn."""


class PastHorizon(Exception):
    """What is missing is too much to walk through, or no longer in the journal."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReplayTools:
    """Shared by all private subscriptions of a replica. ``slots`` bounds how many read the
    journal at once (nobody holds one while a client reads); ``horizon`` is in events."""

    journal: ReplayJournal
    open_orders: OpenOrders
    order_view: OrderView
    slots: asyncio.Semaphore
    horizon: int
    replayed: Callable[[int], None]
    resynced: Callable[[], None]


class OrdersSubscription:
    """``through`` is the sequence up to which the client has been sent everything. ``spawn`` runs
    a task that belongs to the connection."""

    def __init__(
        self,
        *,
        user: int,
        market: Market,
        view: MarketView,
        outbox: Outbox,
        tools: ReplayTools,
        start: int,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.through = start
        self._sequence = start
        self._user = user
        self._market = market
        self._view = view
        self._outbox = outbox
        self._tools = tools
        self._spawn = spawn
        self._live = False
        self._closed = False
        self._replay: asyncio.Task[None] | None = None

    def open(self, tag: Tag) -> None:
        confirmed = SubscribedMessage(
            "orders", self._view.symbol, self._sequence, self.through, tag
        )
        self._outbox.put(text(confirmed))
        if not self._go_live():
            self._walk()

    def on_events(self, events: list[PrivateEvent], *, through: int) -> None:
        if through <= self.through:
            return
        if events[0].sequence <= self.through:
            events = [event for event in events if event.sequence > self.through]
        self._deliver(events, through)

    def on_restart(self, *, through: int) -> None:
        # Heartbeats have said so already; what others did in between needs no second look.
        self.through = max(self.through, through)
        self._view.remove_orders(self._user, self)
        self._live = False
        self._walk()

    def heartbeat(self) -> None:
        through = max(self.through, self._view.sequence) if self._live else self.through
        self._outbox.put(
            heartbeat_text("orders", self._view.symbol, sequence=self._sequence, through=through)
        )

    def close(self) -> None:
        self._closed = True
        self._view.remove_orders(self._user, self)
        if self._replay is not None:
            self._replay.cancel()

    def _go_live(self) -> bool:
        """Join the view when nothing lies between; no task runs between the check and that."""
        if self._closed or not self._view.ready or self.through < self._view.sequence:
            return False
        self._live = True
        self._view.add_orders(self._user, self)
        return True

    def _deliver(self, events: list[PrivateEvent], through: int) -> None:
        """Queue the events, and say that everything up to ``through`` has been sent."""
        self.through = through
        start, count = 0, len(events)
        while start < count:
            end = start + EVENTS_PER_MESSAGE
            while end < count and events[end].sequence == events[end - 1].sequence:
                end += 1  # both sides of one's own trade stay together
            part = events[start:end]
            previous = self._sequence
            for event in part:
                event.prev = previous
                previous = event.sequence
            complete = through if end >= count else previous
            message = OrdersMessage(self._view.symbol, self._sequence, previous, complete, part)
            self._sequence = previous
            self._outbox.put(text(message))
            start = end

    def _walk(self) -> None:
        if not self._closed and (self._replay is None or self._replay.done()):
            self._replay = self._spawn(self._catch_up())

    async def _catch_up(self) -> None:
        """Walk the journal until live; while PostgreSQL is away, wait for it."""
        pause = 0.1
        while True:
            try:
                if await self._replay_journal():
                    return
                # The journal has no more and the view is empty or ahead: wait for either.
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                if self._go_live():
                    return
                pause = min(pause * 2, 2.0)
            except PastHorizon as error:
                self._tools.resynced()
                pause = await self._resync(error.reason, pause)
            except StoreUnavailable as error:
                _log.info("replay_waits", market=self._view.symbol, why=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, 2.0)

    async def _replay_journal(self) -> bool:
        """True once live; False when the journal ends before the view goes on.

        Raises PastHorizon, StoreUnavailable, TimeoutError when the client does not read.
        """
        tools, market_id = self._tools, self._view.market_id
        async with tools.slots:
            head = await tools.journal.head(market_id)
        if head.sequence - self.through > tools.horizon:
            raise PastHorizon("past_horizon")
        while True:
            async with tools.slots:
                rows = await tools.journal.rows(market_id, self.through, limit_rows=PAGE_ROWS)
            if rows and rows[0].first_sequence > self.through + 1:
                raise PastHorizon("past_horizon")
            for row in rows:
                await self._replay_row(row)
            if self._go_live():
                return True
            if not rows:
                return False

    async def _replay_row(self, row: ReplayRow) -> None:
        events = unpack_events(row.events)
        first = row.first_sequence
        if first <= self.through:
            events, first = events[self.through + 1 - first :], self.through + 1
        self._tools.replayed(len(events))
        for start in range(0, len(events), SLICE):
            part = events[start : start + SLICE]
            concerned = private_events(
                part,
                first_sequence=first + start,
                time=row.time,
                users=(self._user,),
                texts=self._view.texts,
            )
            through = first + start + len(part) - 1
            self._deliver(concerned.get(self._user, []), through)
            await asyncio.sleep(0)
            await self._outbox.room()

    async def _resync(self, reason: str, pause: float) -> float:
        """Tell the open orders at one sequence and go on from there. Returns the next pause."""
        try:
            sequence, orders = await self._tools.open_orders.open_at_head(
                self._user, self._view.market_id
            )
        except StoreUnavailable as error:
            _log.info("resync_waits", market=self._view.symbol, why=str(error))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            return min(pause * 2, 2.0)
        previous, self._sequence, self.through = self._sequence, sequence, sequence
        for start in range(0, max(1, len(orders)), ORDERS_PER_MESSAGE):
            end = start + ORDERS_PER_MESSAGE
            views = [self._tools.order_view(order, self._market) for order in orders[start:end]]
            self._outbox.put(
                text(
                    ResyncMessage(
                        channel="orders",
                        market=self._view.symbol,
                        reason=reason,
                        prev=previous,
                        sequence=sequence,
                        through=sequence,
                        orders=views,
                        more=end < len(orders),
                    )
                )
            )
            await self._outbox.room()
        return pause

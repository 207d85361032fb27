"""A connection's parts without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from gomatch.engine import Side, TradingState
from gomatch.messages.codec import GENESIS_CHAIN
from gomatch.store.records import MarketHead, MarketRecord, OrderRecord
from gomatch_api.feeds import MarketView
from gomatch_api.markets import Market
from gomatch_api.stream.orders import OrdersSubscription, ReplayTools
from gomatch_api.stream.outbox import Outbox
from tests.unit.feeds.scripted import DEFINITION, SYMBOL, ScriptedMarket

RECORD = MarketRecord(
    market_id=1, symbol=SYMBOL, definition=DEFINITION, created_at=0, managed_by="test"
)
HEAD = MarketHead(
    market_id=1,
    symbol=SYMBOL,
    accepted=0,
    applied=0,
    sequence=0,
    epoch=1,
    chain=GENESIS_CHAIN,
    state=TradingState.RUNNING,
    last_price=0,
)


def market() -> Market:
    return Market(RECORD, HEAD)


class Reader:
    """Reads what an outbox sends, at once unless ``gate`` is cleared."""

    def __init__(self, *, limit: int = 10_000, write_timeout: float = 5.0) -> None:
        self.texts: list[str] = []
        self.overflowed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.outbox = Outbox(
            limit=limit,
            limit_bytes=1 << 30,
            write_timeout=write_timeout,
            on_overflow=self._overflow,
        )
        self._tasks = [asyncio.create_task(self.outbox.run(self._send))]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(text) for text in self.texts]

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        return task

    async def idle(self) -> None:
        """Everything queued so far has been read."""
        await asyncio.sleep(0)
        await self.outbox.flushed()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, text: str) -> None:
        await self.gate.wait()
        self.texts.append(text)

    def _overflow(self) -> None:
        self.overflowed = True


class NoOpenOrders:
    """Open orders at the head of a scripted market."""

    def __init__(self, scripted: ScriptedMarket) -> None:
        self._scripted = scripted

    async def open_at_head(self, user: int, market_id: int) -> tuple[int, list[OrderRecord]]:
        return self._scripted.engine.sequence, []


class ReplayCounters:
    def __init__(self) -> None:
        self.replayed = 0
        self.resyncs = 0

    def count(self, events: int) -> None:
        self.replayed += events

    def resync(self) -> None:
        self.resyncs += 1


def subscribe_orders(
    reader: Reader,
    view: MarketView,
    scripted: ScriptedMarket,
    *,
    user: int,
    start: int,
    horizon: int = 1_000_000,
    counters: ReplayCounters | None = None,
) -> OrdersSubscription:
    counters = counters or ReplayCounters()
    subscription = OrdersSubscription(
        user=user,
        market=market(),
        view=view,
        outbox=reader.outbox,
        tools=ReplayTools(
            journal=scripted,
            open_orders=NoOpenOrders(scripted),
            order_view=lambda order, _: order.number,
            slots=asyncio.Semaphore(2),
            horizon=horizon,
            replayed=counters.count,
            resynced=counters.resync,
        ),
        start=start,
        spawn=reader.spawn,
    )
    subscription.open(None)
    return subscription


class ChainChecker:
    """A client that trusts nothing: ``prev`` must be what came before, ``through`` never goes
    back, and no event comes twice or late."""

    def __init__(self, start: int) -> None:
        self.sequence = start
        self.through = start
        self.events: list[int] = []

    def read(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "subscribed":
            assert message["sequence"] == self.sequence
        elif kind in ("orders", "heartbeat", "resync_required"):
            assert message["prev"] == self.sequence
            assert message["through"] >= self.through
            assert message["sequence"] <= message["through"]
            for event in message.get("events", ()):
                assert event["prev"] == self.sequence
                assert self.through < event["sequence"] <= message["through"]
                self.sequence = event["sequence"]
                self.events.append(event["sequence"])
            self.sequence = message["sequence"]
            self.through = message["through"]


class Book:
    """A client's copy of the book, kept by the rules of docs/streams.md."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.sequence = -1
        self.parts: list[dict[str, Any]] = []

    def read(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "depth_snapshot":
            if not self.parts:
                self.bids, self.asks = {}, {}
            self.parts = [message] if message.get("more") else []
        elif kind == "depth":
            assert message["prev"] == self.sequence
            assert message["first"] == message["prev"] + 1
            assert message["first"] <= message["last"]
        else:
            return
        self.sequence = message["sequence"]
        for side, levels in ((self.bids, message["bids"]), (self.asks, message["asks"])):
            for price, quantity in levels:
                if quantity == "0":
                    side.pop(price, None)
                else:
                    side[price] = quantity

    def assert_equals(self, market: ScriptedMarket) -> None:
        for mine, side in ((self.bids, Side.BUY), (self.asks, Side.SELL)):
            assert mine == {
                DEFINITION.price_text(price): DEFINITION.quantity_text(lots)
                for price, lots in market.engine.depth(side)
            }

"""A market whose matcher is a script: batches, journal and book as a real matcher makes them."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.engine import Command, Engine, Event, MarketConfig, Side
from gomatch.messages.applied import AppliedBatch, Summary
from gomatch.messages.callback import batch_messages, depth_image_messages, parse_request
from gomatch.messages.codec import GENESIS_CHAIN, pack_events
from gomatch.messages.market import MarketDefinition
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch.store.records import JournalRow, MarketHead

DEFINITION = MarketDefinition(
    base="BTC",
    quote="USDT",
    tick_size="0.01",
    lot_size="0.001",
    maker_fee="0.001",
    taker_fee="0.002",
)
SYMBOL = DEFINITION.symbol


class ScriptedMarket:
    """Implements the matcher's BacklogSource and the API's journal."""

    def __init__(self, config: MarketConfig | None = None) -> None:
        self.engine = Engine(config or MarketConfig(maker_fee=1_000_000, taker_fee=2_000_000))
        self.epoch = 1
        self.time = 1_700_000_000_000_000
        self.log: list[JournalRow] = []
        self.events: list[Event] = []
        self.forgotten = 0
        """Rows that retention has removed."""

    def step(self, commands: Sequence[Command]) -> AppliedBatch:
        """Apply and commit one batch."""
        engine = self.engine
        first_number, before = engine.applied + 1, engine.sequence
        self.time += 1_000
        events: list[Event] = []
        engine.advance(self.time, events)
        for command in commands:
            engine.apply(engine.applied + 1, command, events)
        changes = engine.drain()
        self.events += events
        packed = pack_events(events)
        batch = AppliedBatch(
            epoch=self.epoch,
            first_sequence=before + 1,
            last_sequence=engine.sequence,
            applied=engine.applied,
            time=self.time,
            events=events,
            packed=packed,
            bids=changes.bids,
            asks=changes.asks,
            summary=self.summary(),
        )
        self.log.append(
            JournalRow(
                first_number,
                engine.applied,
                before + 1,
                engine.sequence,
                self.epoch,
                1,
                self.time,
                packed,
                GENESIS_CHAIN,
                (),
            )
        )
        return batch

    def summary(self) -> Summary:
        price, volume = self.engine.indicative() or (0, 0)
        return Summary(
            state=self.engine.state,
            last_price=self.engine.last_price,
            indicative_price=price,
            indicative_volume=volume,
        )

    # BacklogSource

    def position(self) -> tuple[int, int, int]:
        return self.epoch, self.engine.sequence, self.engine.applied

    def depth_image(
        self,
    ) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]], Summary]:
        engine = self.engine
        bids, asks = engine.depth(Side.BUY), engine.depth(Side.SELL)
        return engine.sequence, engine.applied, bids, asks, self.summary()

    async def journal(self, after_sequence: int, limit_rows: int) -> list[JournalRow]:
        return await self.rows(1, after_sequence, limit_rows=limit_rows)

    # ReplayJournal and AppliedJournal

    async def rows(
        self, market_id: int, after_sequence: int, *, limit_rows: int
    ) -> list[JournalRow]:
        kept = self.log[self.forgotten :]
        return [row for row in kept if row.last_sequence > after_sequence][:limit_rows]

    async def rows_after_number(
        self, market_id: int, number: int, *, limit_rows: int
    ) -> list[JournalRow]:
        return [row for row in self.log if row.last_number > number][:limit_rows]

    async def head(self, market_id: int) -> MarketHead:
        engine = self.engine
        return MarketHead(
            market_id=market_id,
            symbol=SYMBOL,
            accepted=engine.applied,
            applied=engine.applied,
            sequence=engine.sequence,
            epoch=self.epoch,
            chain=GENESIS_CHAIN,
            state=engine.state,
            last_price=engine.last_price,
        )

    # Messages

    def image(self, *, restart: bool = True) -> list[pb.PublishRequest]:
        sequence, applied, bids, asks, summary = self.depth_image()
        return [
            parse_request(data)
            for data in depth_image_messages(
                epoch=self.epoch,
                sequence=sequence,
                applied=applied,
                bids=bids,
                asks=asks,
                summary=summary,
                restart=restart,
            )
        ]


def messages(batch: AppliedBatch) -> list[pb.PublishRequest]:
    """The parts of a batch as a replica reads them."""
    return [parse_request(data) for data in batch_messages(batch)]


class KnownMarket:
    """What Feeds asks of a market."""

    market_id = 1
    definition = DEFINITION


def lookup(symbol: str) -> KnownMarket | None:
    return KnownMarket() if symbol == SYMBOL else None

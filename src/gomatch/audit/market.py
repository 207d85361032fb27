"""The audit of one market: its journal, read once, goes by every check."""

from __future__ import annotations

from collections import deque

from gomatch.audit.accounts import Accounts
from gomatch.audit.commands import CommandReader
from gomatch.audit.journal import JournalCheck, span
from gomatch.audit.mirror import compare_mirror
from gomatch.audit.replay import Replay
from gomatch.audit.report import AuditReport, MarketFigures
from gomatch.audit.rows import OrderRows, TradeRows
from gomatch.audit.snapshot import DatabaseSnapshot, StoredImage, StoredMarket
from gomatch.cache import MirrorContents
from gomatch.engine import Engine, Event
from gomatch.errors import CodecError
from gomatch.messages.codec import GENESIS_CHAIN, pack_image, unpack_events, unpack_image
from gomatch.store import JournalRow


class MarketAudit:
    """``run`` once. Everything wrong goes into the report; nothing is written."""

    def __init__(
        self,
        snapshot: DatabaseSnapshot,
        market: StoredMarket,
        mirror: MirrorContents | None,
        audit: AuditReport,
    ) -> None:
        self._snapshot = snapshot
        self._market = market
        self._mirror = mirror
        self._audit = audit
        self._figures: MarketFigures = audit.markets[market.symbol]
        self._images: deque[StoredImage] = deque()

    async def run(self) -> None:
        if None in (self._market.accepted, self._market.applied):
            self._report("head", "its row in `intake` or `heads` is missing")
            self._unchecked("everything, as its row in `intake` or `heads` is missing")
            return
        start = await self._begin()
        engine = start or Engine()
        image = engine.image() if start else None
        engine.drain()
        self._first_number, self._first_sequence = engine.applied, engine.sequence
        market_id = self._market.market_id
        self._orders = OrderRows(self._snapshot, market_id, self._report, image=image)
        self._trades = TradeRows(self._snapshot, market_id, self._report, after=engine.sequence)
        commands = CommandReader(self._snapshot, self._market, self._report, after=engine.applied)
        self._replay = Replay(engine, commands, self._orders, self._report)
        self._accounts: Accounts | None = Accounts(self._report, image)
        self._compare_mirror()
        async for row in self._snapshot.journal(market_id, engine.sequence):
            await self._journal_row(row)
        await self._finish(commands)

    async def _begin(self) -> Engine | None:
        """None to begin at the market's genesis, when the journal reaches that far; else the
        state of the oldest image that can be read."""
        market_id = self._market.market_id
        self._journal = JournalCheck(self._report, applied=0, sequence=0, chain=GENESIS_CHAIN)
        self._images.extend(await self._snapshot.images(market_id))
        if await self._snapshot.first_sequence(market_id) in (None, 1):
            return None
        while self._images:
            stored = self._images.popleft()
            row = await self._snapshot.image(market_id, stored.sequence)
            try:
                engine = Engine.restore(unpack_image(row.image))
            except (CodecError, ValueError) as error:
                self._report("image_unreadable", f"the image at {stored.sequence}: {error}")
                continue
            if (engine.applied, engine.sequence) != (row.applied, row.sequence):
                self._report("image_place", f"the image at {row.sequence} is of {engine.sequence}")
                continue
            self._journal = JournalCheck(
                self._report, applied=row.applied, sequence=row.sequence, chain=row.chain
            )
            self._figures.images += 1
            self._audit.outside.append(
                f"{self._market.symbol}: everything up to sequence {row.sequence}, the oldest "
                "image's: the journal before it is not stored any more"
            )
            return engine
        return None

    async def _journal_row(self, row: JournalRow) -> None:
        previous = self._journal.sequence
        if not self._journal.take(row):
            self._lose(f"the journal has a gap after sequence {previous}", previous)
            await self._trades.flush(previous)
            self._trades.restart(row.first_sequence)
        self._figures.journal_rows += 1
        events = self._events(row)
        if events is None:
            self._lose(f"sequences {span(row)} cannot be read", row.first_sequence - 1)
            await self._trades.flush(row.first_sequence - 1)
            self._trades.restart(row.last_sequence + 1)
            return
        self._figures.events += len(events)
        if self._accounts is not None:
            for sequence, event in enumerate(events, row.first_sequence):
                self._accounts.take(sequence, event)
            self._accounts.settle(row.last_sequence)
        for sequence, event in enumerate(events, row.first_sequence):
            self._trades.noted(sequence, event, row.time)
        await self._trades.batch_done(row.last_sequence)
        if not self._replay.broken and not await self._replay.take(row, events):
            self._unchecked(
                f"orders, images and mirror after sequence {previous}, where the replay ended"
            )
        self._compare_mirror()
        await self._compare_images()

    def _events(self, row: JournalRow) -> list[Event] | None:
        try:
            events = unpack_events(row.events)
        except CodecError as error:
            self._report("events_unreadable", f"sequences {span(row)}: {error}")
            return None
        if len(events) != row.last_sequence - row.first_sequence + 1:
            self._report(
                "events_unreadable", f"{len(events)} events are stored as sequences {span(row)}"
            )
            return None
        return events

    def _lose(self, why: str, sequence: int) -> None:
        """What follows the events from the beginning cannot go on."""
        if self._accounts is not None or not self._replay.broken:
            self._unchecked(
                f"priority, quantities, orders, images and mirror after sequence {sequence}: {why}"
            )
        self._accounts = None
        self._replay.broken = True

    def _compare_mirror(self) -> None:
        mirror, engine = self._mirror, self._replay.engine
        if mirror is None or self._replay.broken or mirror.meta.sequence != engine.sequence:
            return
        self._mirror = None
        self._figures.mirror_sequence = mirror.meta.sequence
        compare_mirror(mirror, engine, self._journal.chain, self._report)

    async def _compare_images(self) -> None:
        while self._images and self._images[0].sequence <= self._journal.sequence:
            image = self._images.popleft()
            if image.sequence != self._journal.sequence:
                self._report("image_place", f"the image at {image.sequence} is inside a batch")
                continue
            if (image.chain, image.applied) != (self._journal.chain, self._journal.applied):
                self._report(
                    "image_chain", f"the image at {image.sequence} has another chain or number"
                )
            if self._replay.broken:
                continue
            stored = await self._snapshot.image(self._market.market_id, image.sequence)
            if stored.image != pack_image(self._replay.engine.image()):
                self._report(
                    "image_differs", f"the image at {image.sequence} is not the replayed state"
                )
            self._figures.images += 1

    async def _finish(self, commands: CommandReader) -> None:
        figures, replay = self._figures, self._replay
        await commands.finish()
        if commands.read != self._market.accepted:
            self._report(
                "commands_missing",
                f"{self._market.accepted} are accepted, the last one stored is {commands.read}",
            )
        await self._trades.flush(self._journal.sequence)
        if self._accounts is not None:
            self._accounts.finish(await self._snapshot.open_orders(self._market.market_id))
        await self._orders.finish(with_open=not replay.broken)
        figures.commands = replay.engine.applied - self._first_number
        figures.orders, figures.trades = self._orders.checked, self._trades.checked
        figures.sequence = self._journal.sequence
        self._check_head()
        await self._check_counts()
        self._check_mirror_place()
        for image in self._images:
            self._report("image_place", f"the image at {image.sequence} is beyond the journal")

    def _check_mirror_place(self) -> None:
        """The mirror that was not compared on the way."""
        if self._mirror is None or self._replay.broken:
            return
        sequence = self._mirror.meta.sequence
        if sequence < self._first_sequence:
            self._unchecked(f"the mirror, at sequence {sequence}, before the oldest image")
        else:
            self._report("mirror_sequence", f"the mirror stands at {sequence}, where no batch ends")

    def _check_head(self) -> None:
        market, journal, engine = self._market, self._journal, self._replay.engine
        expected: dict[str, object] = {
            "applied": journal.applied,
            "sequence": journal.sequence,
            "chain": journal.chain,
        }
        if not self._replay.broken:
            expected |= {"state": int(engine.state), "last_price": engine.last_price}
        for name, wanted in expected.items():
            stored = getattr(market, name)
            if stored != wanted:
                self._report("head", f"{name} is {stored!r}, by the journal {wanted!r}")
        if (market.applied or 0) > (market.accepted or 0):
            self._report("head", f"{market.applied} applied, only {market.accepted} accepted")
        if (market.epoch or 0) < journal.epoch:
            self._report("head", f"epoch is {market.epoch}, in the journal {journal.epoch}")

    async def _check_counts(self) -> None:
        orders, trades = await self._snapshot.counts(
            self._market.market_id, self._first_number, self._journal.sequence
        )
        if not self._replay.broken and orders != self._replay.new_orders:
            self._report("order_rows", f"{orders} rows for {self._replay.new_orders} orders")
        if trades:
            self._report("trade_invented", f"{trades} trades are beyond the journal")

    def _report(self, kind: str, detail: str) -> None:
        self._audit.add(self._market.symbol, kind, detail)

    def _unchecked(self, what: str) -> None:
        self._audit.unchecked.append(f"{self._market.symbol}: {what}")

"""One market's replay: its commands through the engine once more, against what was journaled."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from gomatch.audit.accounts import Accounts
from gomatch.audit.mirror import compare_mirror
from gomatch.audit.report import AuditReport, MarketFigures
from gomatch.audit.rows import OrderRows, TradeRows
from gomatch.audit.snapshot import DatabaseSnapshot
from gomatch.cache import MirrorContents
from gomatch.engine import RULES_VERSION, Command, Engine, Event, NewOrder
from gomatch.errors import CodecError
from gomatch.messages.codec import (
    GENESIS_CHAIN,
    next_chain,
    pack_events,
    pack_image,
    unpack_commands,
    unpack_events,
    unpack_image,
)
from gomatch.store import ClaimKind, JournalRow, MarketHead

_CLIENT_IDS_AT_ONCE = 5_000


class _Broken(Exception):
    """The replay cannot go on from here; what it means was reported."""


class MarketAudit:
    """``run`` once. Everything wrong goes into the report; nothing is written."""

    def __init__(
        self,
        snapshot: DatabaseSnapshot,
        head: MarketHead,
        mirror: MirrorContents | None,
        report: AuditReport,
    ) -> None:
        self._snapshot = snapshot
        self._head = head
        self._mirror = mirror
        self._audit = report
        self._figures = report.markets[head.symbol]
        self._chain = GENESIS_CHAIN
        self._engine = Engine()
        self._accounts = Accounts(self._report)
        self._orders = OrderRows(snapshot, head.market_id, self._report)
        self._trades = TradeRows(snapshot, head.market_id, self._report)
        self._images: deque[tuple[int, bytes]] = deque()
        self._waiting: dict[int, tuple[Command, int]] = {}
        self._read = 0
        self._new_orders = 0
        self._own_ids: dict[int, tuple[int, str]] = {}

    @property
    def figures(self) -> MarketFigures:
        return self._figures

    def _report(self, kind: str, detail: str) -> None:
        self._audit.add(self._head.symbol, kind, detail)

    async def run(self) -> None:
        start_number, start_sequence = await self._begin()
        commands = self._snapshot.commands(self._head.market_id, start_number)
        try:
            self._compare_mirror()
            async for row in self._snapshot.journal(self._head.market_id, start_sequence):
                await self._journal_row(row, commands)
            await self._end(start_number, start_sequence)
        except _Broken:
            self._audit.unchecked.append(
                f"{self._head.symbol}: everything after sequence {self._engine.sequence}, where "
                "the replay could not go on"
            )
        async for _ in self._command_rows(commands):
            pass
        await self._check_own_ids()
        if self._read != self._head.accepted:
            self._report(
                "commands_missing",
                f"{self._head.accepted} are accepted, the last one stored is {self._read}",
            )

    async def _begin(self) -> tuple[int, int]:
        """From genesis when the journal reaches that far, else from the oldest image."""
        market_id = self._head.market_id
        self._images.extend(await self._snapshot.images(market_id))
        async for row in self._snapshot.journal(market_id, 0):
            if row.first_sequence > 1 and self._images:
                await self._begin_from_image(self._images[0][0])
            break
        return self._engine.applied, self._engine.sequence

    async def _begin_from_image(self, sequence: int) -> None:
        stored = await self._snapshot.image(self._head.market_id, sequence)
        try:
            image = unpack_image(stored.image)
        except CodecError as error:
            self._report("image_unreadable", f"the image at {sequence}: {error}")
            return
        self._engine = Engine.restore(image)
        self._engine.drain()
        self._chain = stored.chain
        self._accounts = Accounts(self._report, image)
        self._orders.first_known = image.header.applied
        self._read = image.header.applied
        self._figures.images += 1
        self._images.popleft()

    async def _journal_row(self, row: JournalRow, commands: AsyncIterator[Any]) -> None:
        self._check_place(row)
        chain = next_chain(
            self._chain,
            first_number=row.first_number,
            last_number=row.last_number,
            first_sequence=row.first_sequence,
            last_sequence=row.last_sequence,
            epoch=row.epoch,
            rules_version=row.rules_version,
            time=row.time,
            events=row.events,
        )
        if chain != row.chain:
            self._report("chain", f"the chain breaks at sequences {_span(row)}")
        self._chain = row.chain
        try:
            journaled = unpack_events(row.events)
        except CodecError as error:
            self._report("events_unreadable", f"sequences {_span(row)}: {error}")
            raise _Broken from error
        await self._apply(row, journaled, commands)
        self._figures.journal_rows += 1
        self._figures.events += len(journaled)
        self._compare_mirror()
        await self._compare_images()

    def _check_place(self, row: JournalRow) -> None:
        engine = self._engine
        if (row.first_sequence, row.first_number) != (engine.sequence + 1, engine.applied + 1):
            self._report(
                "journal_gap",
                f"after sequence {engine.sequence} and command {engine.applied} the journal goes "
                f"on with sequence {row.first_sequence} and command {row.first_number}",
            )
            raise _Broken
        if row.rules_version > RULES_VERSION:
            self._report(
                "rules_version",
                f"sequences {_span(row)} follow rules {row.rules_version}, known are "
                f"{RULES_VERSION}",
            )
            raise _Broken

    async def _apply(
        self, row: JournalRow, journaled: list[Event], commands: AsyncIterator[Any]
    ) -> None:
        engine = self._engine
        await self._read_up_to(row.last_number, commands)
        out: list[Event] = []
        engine.advance(row.time, out)
        for number in range(row.first_number, row.last_number + 1):
            if number not in self._waiting:
                # Reported where the gap was read.
                raise _Broken
            command, accepted_at = self._waiting.pop(number)
            self._orders.entered(
                number, command, accepted_at, time=row.time, sequence=row.last_sequence
            )
            self._new_orders += isinstance(command, NewOrder)
            if number in row.skipped:
                engine.skip(number, command, out)
            else:
                try:
                    engine.apply(number, command, out)
                except Exception as error:
                    self._report("engine_raised", f"on command {number}: {error!r}")
                    raise _Broken from error
        self._figures.commands = engine.applied
        if pack_events(out) != row.events:
            self._report_events(row, journaled, out)
        if engine.sequence != row.last_sequence:
            raise _Broken
        for sequence, event in enumerate(journaled, row.first_sequence):
            self._accounts.take(sequence, event)
            self._orders.noted(event)
            self._trades.noted(sequence, event, row.time)
        self._accounts.settle(row.last_sequence)
        for order in engine.drain().orders.values():
            self._orders.touched(order, time=row.time, sequence=row.last_sequence)
        await self._orders.batch_done()
        await self._trades.batch_done(row.first_sequence, row.last_sequence)

    def _report_events(self, row: JournalRow, journaled: list[Event], out: list[Event]) -> None:
        for index in range(max(len(journaled), len(out))):
            stored = journaled[index] if index < len(journaled) else None
            replayed = out[index] if index < len(out) else None
            if stored != replayed:
                self._report(
                    "events_differ",
                    f"sequence {row.first_sequence + index}: journaled {stored!r}, replayed "
                    f"{replayed!r}",
                )
                return
        self._report("events_differ", f"the bytes of sequences {_span(row)} differ")

    async def _read_up_to(self, number: int, commands: AsyncIterator[Any]) -> None:
        while self._read < number:
            try:
                await anext(self._command_rows(commands))
            except StopAsyncIteration:
                self._report(
                    "command_missing", f"command {self._read + 1} is applied and not stored"
                )
                raise _Broken from None

    async def _command_rows(self, commands: AsyncIterator[Any]) -> AsyncIterator[None]:
        async for row in commands:
            if row.first > self._read + 1:
                self._report(
                    "command_missing",
                    f"commands {self._read + 1} to {row.first - 1} are not stored",
                )
                self._read = row.first - 1
            try:
                bodies = unpack_commands(row.bodies)
            except CodecError as error:
                self._report("commands_unreadable", f"{row.first} to {row.last}: {error}")
                raise _Broken from error
            if len(bodies) != row.last - row.first + 1:
                self._report("commands_unreadable", f"{row.first} to {row.last}: {len(bodies)}")
                raise _Broken
            for number, command in enumerate(bodies, row.first):
                if number > self._engine.applied:
                    self._waiting[number] = (command, row.accepted_at)
                if isinstance(command, NewOrder) and command.client_order_id:
                    self._own_ids[number] = (command.user, command.client_order_id)
            self._read = row.last
            if len(self._own_ids) >= _CLIENT_IDS_AT_ONCE:
                await self._check_own_ids()
            yield None

    async def _check_own_ids(self) -> None:
        """Client ids that point at orders point at the right ones."""
        if not self._own_ids:
            return
        first, last = min(self._own_ids), max(self._own_ids)
        stored = await self._snapshot.client_ids(self._head.market_id, first, last)
        for user, kind, client_id, number in stored:
            if kind == ClaimKind.ORDER and self._own_ids.get(number) != (user, client_id):
                self._report("client_id", f"{client_id!r} of user {user} points at {number}")
        self._own_ids.clear()

    def _compare_mirror(self) -> None:
        mirror = self._mirror
        if mirror is None or mirror.meta.sequence != self._engine.sequence:
            return
        self._mirror = None
        self._figures.mirror_sequence = mirror.meta.sequence
        compare_mirror(mirror, self._engine, self._chain, self._report)

    async def _compare_images(self) -> None:
        sequence = self._engine.sequence
        while self._images and self._images[0][0] <= sequence:
            at, chain = self._images.popleft()
            if at != sequence:
                self._report("image_place", f"the image at {at} stands inside a batch")
                continue
            stored = await self._snapshot.image(self._head.market_id, at)
            if stored.image != pack_image(self._engine.image()):
                self._report("image_differs", f"the image at {at} is not the replayed state")
            if chain != self._chain or stored.applied != self._engine.applied:
                self._report("image_chain", f"the image at {at} has another chain or number")
            self._figures.images += 1

    async def _end(self, start_number: int, start_sequence: int) -> None:
        engine, head = self._engine, self._head
        await self._orders.finish()
        await self._trades.batch_done(engine.sequence + 1, engine.sequence, flush=True)
        self._figures.orders, self._figures.trades = self._orders.checked, self._trades.checked
        self._figures.sequence = engine.sequence
        for name, stored, replayed in (
            ("applied", head.applied, engine.applied),
            ("sequence", head.sequence, engine.sequence),
            ("chain", head.chain.hex(), self._chain.hex()),
            ("state", head.state, engine.state),
            ("last_price", head.last_price, engine.last_price),
        ):
            if stored != replayed:
                self._report("head", f"{name} is {stored}, by the journal {replayed}")
        if head.applied > head.accepted:
            self._report("head", f"{head.applied} are applied, only {head.accepted} accepted")
        orders, trades = await self._snapshot.counts(head.market_id, start_number, start_sequence)
        if orders != self._new_orders:
            self._report("order_rows", f"{orders} rows for {self._new_orders} orders")
        if trades != self._figures.trades:
            self._report("trade_rows", f"{trades} rows for {self._figures.trades} trades")
        if self._mirror is not None:
            self._report(
                "mirror_sequence",
                f"the mirror stands at {self._mirror.meta.sequence}, where no batch ends",
            )
        for at, _ in self._images:
            self._report("image_place", f"the image at {at} is beyond the journal")


def _span(row: JournalRow) -> str:
    return f"{row.first_sequence} to {row.last_sequence}"

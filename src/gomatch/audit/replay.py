"""The commands through the engine once more, against the events that were journaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gomatch.audit.commands import CommandReader
from gomatch.audit.journal import span
from gomatch.audit.rows import OrderRows
from gomatch.engine import RULES_VERSION, Command, Engine, Event, NewOrder
from gomatch.messages.codec import pack_events
from gomatch.store import JournalRow


class Replay:
    """``take`` each journal row in order. Once the engine cannot follow any more, ``broken`` is
    True and nothing that needs it can be checked after ``engine.sequence``."""

    def __init__(
        self,
        engine: Engine,
        commands: CommandReader,
        orders: OrderRows,
        report: Callable[[str, str], None],
    ) -> None:
        self.engine = engine
        self.new_orders = 0
        self.broken = False
        self._commands = commands
        self._orders = orders
        self._report = report

    async def take(self, row: JournalRow, journaled: list[Event]) -> bool:
        """False when the engine could not follow."""
        out: list[Event] = []
        if not await self._apply(row, out):
            self.broken = True
            return False
        if pack_events(out) != row.events:
            self._report_difference(row, journaled, out)
        if self.engine.sequence != row.last_sequence:
            self.broken = True
            return False
        for event in out:
            self._orders.noted(event)
        for order in self.engine.drain().orders.values():
            self._orders.touched(order, time=row.time, sequence=row.last_sequence)
        await self._orders.batch_done()
        return True

    async def _apply(self, row: JournalRow, out: list[Event]) -> bool:
        engine = self.engine
        if row.rules_version > RULES_VERSION:
            self._report(
                "rules_version",
                f"sequences {span(row)} follow rules {row.rules_version}, this program knows "
                f"{RULES_VERSION}: use a newer one",
            )
            return False
        commands: list[Command] = []
        accepted: list[int] = []
        for number in range(row.first_number, row.last_number + 1):
            taken = await self._commands.take(number)
            if taken is None:
                self._report("command_missing", f"command {number} is applied and not stored")
                return False
            commands.append(taken[0])
            accepted.append(taken[1])
        try:
            self._match(row, commands, out)
        except Exception as error:  # noqa: BLE001  whatever the engine raises is a finding
            self._report("engine_raised", f"at command {engine.applied + 1}: {error!r}")
            return False
        self._enter(row, commands, accepted)
        if row.rules_version != engine.config.rules_version:
            self._report(
                "rules_version",
                f"sequences {span(row)} are marked with rules {row.rules_version}, the market is "
                f"configured for {engine.config.rules_version}",
            )
        return True

    def _enter(self, row: JournalRow, commands: Sequence[Command], accepted: Sequence[int]) -> None:
        """The orders among the commands, now that the engine has followed."""
        for place, command in enumerate(commands):
            if isinstance(command, NewOrder):
                self.new_orders += 1
                self._orders.entered(
                    row.first_number + place,
                    command,
                    accepted[place],
                    time=row.time,
                    sequence=row.last_sequence,
                )

    def _match(self, row: JournalRow, commands: Sequence[Command], out: list[Event]) -> None:
        engine = self.engine
        engine.advance(row.time, out)
        if not row.skipped:
            if commands:
                engine.apply_batch(row.first_number, commands, out)
            return
        for number, command in enumerate(commands, row.first_number):
            if number in row.skipped:
                engine.skip(number, command, out)
            else:
                engine.apply(number, command, out)

    def _report_difference(
        self, row: JournalRow, journaled: list[Event], replayed: list[Event]
    ) -> None:
        for index in range(max(len(journaled), len(replayed))):
            stored = journaled[index] if index < len(journaled) else None
            again = replayed[index] if index < len(replayed) else None
            if stored != again:
                self._report(
                    "events_differ",
                    f"sequence {row.first_sequence + index}: journaled {stored!r}, replayed "
                    f"{again!r}",
                )
                return
        self._report("events_differ", f"the bytes of sequences {span(row)} differ")

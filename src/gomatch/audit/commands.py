"""The accepted commands in order, and the client ids that point at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from gomatch.audit.client_ids import ClientIdCheck
from gomatch.audit.snapshot import DatabaseSnapshot, StoredMarket
from gomatch.engine import Command
from gomatch.errors import CodecError
from gomatch.messages.codec import unpack_commands
from gomatch.store import CommandRow

_BEFORE_ALL = -(1 << 62)


class CommandReader:
    """Reads `commands` once, in order, and only as far as asked.

    Reported: numbers without a command, numbers with two, bytes that cannot be read, and client
    ids that name another command than theirs.
    """

    def __init__(
        self,
        snapshot: DatabaseSnapshot,
        market: StoredMarket,
        report: Callable[[str, str], None],
        *,
        after: int,
    ) -> None:
        self.read = after
        """Number of the last command read."""
        self._market = market
        self._report = report
        self._rows: AsyncIterator[CommandRow] = snapshot.commands(market.market_id, after)
        self._client_ids = ClientIdCheck(
            snapshot, market, report, after=after if after else _BEFORE_ALL
        )
        self._begun = False
        self._waiting: dict[int, tuple[Command, int]] = {}

    async def take(self, number: int) -> tuple[Command, int] | None:
        """The command ``number`` and when it was accepted (microseconds); None when it is not
        stored or cannot be read. Asked for in order; those in between are passed over."""
        while self.read < number and await self._next_row(number):
            pass
        for passed in [waiting for waiting in self._waiting if waiting < number]:
            del self._waiting[passed]
        return self._waiting.pop(number, None)

    async def finish(self) -> None:
        """Read what is left."""
        self._waiting.clear()
        while await self._next_row(self.read + (1 << 62)):
            pass
        await self._client_ids.finish()

    async def _next_row(self, wanted: int) -> bool:
        """False when there are no more rows. Only commands from ``wanted`` on are kept."""
        try:
            row = await anext(self._rows)
        except StopAsyncIteration:
            return False
        self._check_place(row)
        try:
            commands = unpack_commands(row.bodies)
        except CodecError as error:
            self._report("commands_unreadable", f"{row.first} to {row.last}: {error}")
            commands = []
        else:
            if len(commands) != row.last - row.first + 1:
                self._report(
                    "commands_unreadable",
                    f"{len(commands)} commands are stored as {row.first} to {row.last}",
                )
        await self._client_ids.take(row.first, row.last, commands)
        for number, command in enumerate(commands, row.first):
            if wanted <= number <= row.last:
                self._waiting[number] = (command, row.accepted_at)
        self.read = max(self.read, row.last)
        return True

    def _check_place(self, row: CommandRow) -> None:
        """The first row may begin before where the audit does."""
        if row.first > self.read + 1:
            self._report(
                "command_missing", f"commands {self.read + 1} to {row.first - 1} are not stored"
            )
        elif row.first <= self.read and self._begun:
            self._report("command_twice", f"command {row.first} is stored again, after {self.read}")
        self._begun = True

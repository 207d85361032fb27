"""Client ids: each points at a command that carries it, with the digest of that command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from gomatch.audit.snapshot import ClientIdRow, DatabaseSnapshot, StoredMarket
from gomatch.engine import CancelAll, Command, NewOrder, SetState
from gomatch.messages.request_digest import request_digest
from gomatch.store import ClaimKind


class ClientIdCheck:
    """`client_ids` read by number, beside the commands. Ids that were removed are not missed:
    they may be past their retention."""

    def __init__(
        self,
        snapshot: DatabaseSnapshot,
        market: StoredMarket,
        report: Callable[[str, str], None],
        *,
        after: int,
    ) -> None:
        self._market = market
        self._report = report
        self._rows: AsyncIterator[ClientIdRow] = snapshot.client_ids(market.market_id, after)
        self._next: ClientIdRow | None = None
        self._at_end = False

    async def take(self, first: int, last: int, commands: Sequence[Command]) -> None:
        """The commands first..last, fewer when they could not be read."""
        await self._unclaimed_below(first)
        while (row := await self._peek()) is not None and row.number <= last:
            self._next = None
            place = row.number - first
            if place < len(commands):
                self._check(row, commands[place])

    async def finish(self) -> None:
        """All commands were taken."""
        await self._unclaimed_below(1 << 62)

    async def _unclaimed_below(self, number: int) -> None:
        while (row := await self._peek()) is not None and row.number < number:
            self._next = None
            self._differs(row, "which is not stored")

    async def _peek(self) -> ClientIdRow | None:
        if self._next is None and not self._at_end:
            self._next = await anext(self._rows, None)
            self._at_end = self._next is None
        return self._next

    def _check(self, row: ClientIdRow, command: Command) -> None:
        # A state change is the venue's own and names no user.
        user = getattr(command, "user", None)
        if row.kind == ClaimKind.DISCONNECT:
            if not isinstance(command, CancelAll) or user != row.user:
                self._differs(row, f"a {type(command).__name__} of user {user}")
        elif row.kind == ClaimKind.ORDER and (
            not isinstance(command, NewOrder) or command.client_order_id != row.client_id
        ):
            self._differs(row, "which does not carry it")
        elif user != row.user and not isinstance(command, SetState):
            self._differs(row, f"of user {user}")
        elif request_digest(command, self._market.symbol) != row.digest:
            self._differs(row, "which has another digest")

    def _differs(self, row: ClientIdRow, what: str) -> None:
        self._report(
            "client_id",
            f"{row.client_id!r} of user {row.user} points at command {row.number}, {what}",
        )

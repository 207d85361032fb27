"""Who waits for the result of a command: `?wait=result` and order entry that asks for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gomatch.engine import Event
from gomatch.messages.codec import unpack_events
from gomatch.observability import logs

_log = logs.get(__name__)

SequencedEvent = tuple[int, Event]
Part = tuple[int, bytes]
"""(first sequence, the compact form of the events): a tenth of the memory of the events, which are
needed only when somebody asks."""


class AppliedRow(Protocol):
    """What is read of a journal row."""

    @property
    def first_number(self) -> int: ...
    @property
    def last_number(self) -> int: ...
    @property
    def first_sequence(self) -> int: ...
    @property
    def events(self) -> bytes: ...


class AppliedReader(Protocol):
    async def rows_from_number(self, number: int, limit_rows: int) -> Sequence[AppliedRow]:
        """Journal rows with commands from ``number`` on. Raises GomatchError."""
        ...


def by_command(parts: Iterable[Part], *, after: int) -> dict[int, list[SequencedEvent]]:
    """Group a batch's events by the command they follow from. A command's first event carries
    its number; those without one, and with an older one, belong to the command before.

    Raises CodecError.
    """
    groups: dict[int, list[SequencedEvent]] = {}
    current = after
    group: list[SequencedEvent] = []
    for first, packed in parts:
        for sequence, event in enumerate(unpack_events(packed), first):
            number = getattr(event, "number", 0)
            if number > current:
                current = number
                group = groups[number] = []
            group.append((sequence, event))
    return groups


@dataclass(slots=True)
class _AppliedRange:
    """The batch that applied the commands after ``after`` up to ``last``."""

    after: int
    last: int
    parts: list[Part]
    size: int
    index: dict[int, list[SequencedEvent]] | None = None

    def find(self, number: int) -> list[SequencedEvent]:
        if self.index is None:
            self.index = by_command(self.parts, after=self.after)
        return self.index.get(number, [])


@dataclass(slots=True, eq=False)
class _Wait:
    done: asyncio.Future[None]
    open: set[int]
    found: dict[int, list[SequencedEvent]] = field(default_factory=dict)
    missed: list[int] = field(default_factory=list)


class ResultWaits:
    """Remembers the last ``recent_events`` events, so that a result that came before the wait
    began is found too; at most ``limit`` numbers are waited for at once."""

    def __init__(self, *, recent_events: int = 20_000, limit: int = 50_000) -> None:
        self.applied = 0
        self._recent_limit = recent_events
        self._limit = limit
        self._recent: deque[_AppliedRange] = deque()
        self._recent_size = 0
        self._parts: list[Part] = []
        self._parts_size = 0
        self._waiting: dict[int, list[_Wait]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, first_sequence: int, packed: bytes, *, count: int) -> None:
        """Events of the batch that is coming in; a part that comes again replaces itself."""
        while self._parts and self._parts[-1][0] >= first_sequence:
            self._parts.pop()
        self._parts.append((first_sequence, packed))
        self._parts_size += count

    def complete(self, applied: int) -> None:
        """The batch is whole: its commands up to ``applied`` have their results."""
        if applied > self.applied:
            done = _AppliedRange(self.applied, applied, self._parts, self._parts_size)
            self._recent.append(done)
            self._recent_size += done.size
            while self._recent_size > self._recent_limit and len(self._recent) > 1:
                self._recent_size -= self._recent.popleft().size
            self.applied = applied
            if self._waiting:
                self._resolve(done)
        self._parts = []
        self._parts_size = 0

    def restart(self, applied: int) -> None:
        """What was applied up to ``applied`` was not seen: who waits for it reads the journal."""
        self._recent.clear()
        self._recent_size = 0
        self._parts = []
        self._parts_size = 0
        self.applied = applied
        for number in [number for number in self._waiting if number <= applied]:
            for wait in self._waiting.pop(number):
                wait.missed.append(number)
                self._settle(wait, number)

    async def wait(
        self, numbers: Sequence[int], *, reader: AppliedReader | None, timeout: float
    ) -> list[list[SequencedEvent]]:
        """The events of each command, in the order of ``numbers``; an empty list for one that is
        not known to be applied after ``timeout`` seconds."""
        wait = _Wait(asyncio.get_running_loop().create_future(), set())
        for number in numbers:
            if number <= self.applied:
                found = self._find(number)
                if found is None:
                    wait.missed.append(number)
                else:
                    wait.found[number] = found
            elif len(self._waiting) < self._limit:
                wait.open.add(number)
                self._waiting.setdefault(number, []).append(wait)
        try:
            async with asyncio.timeout(timeout):
                if wait.open:
                    await wait.done
                if wait.missed and reader is not None:
                    await self._read(wait, reader)
        except TimeoutError:
            # Who asked is told "pending": the command is safe and will be applied.
            pass
        finally:
            self._forget(wait)
        return [wait.found.get(number, []) for number in numbers]

    def _find(self, number: int) -> list[SequencedEvent] | None:
        for batch in reversed(self._recent):
            if number > batch.after:
                return batch.find(number) if number <= batch.last else None
        return None

    def _resolve(self, done: _AppliedRange) -> None:
        numbers: Iterable[int]
        if len(self._waiting) < done.last - done.after:
            numbers = [number for number in self._waiting if done.after < number <= done.last]
        else:
            numbers = range(done.after + 1, done.last + 1)
        for number in numbers:
            for wait in self._waiting.pop(number, ()):
                wait.found[number] = done.find(number)
                self._settle(wait, number)

    @staticmethod
    def _settle(wait: _Wait, number: int) -> None:
        wait.open.discard(number)
        if not wait.open and not wait.done.done():
            wait.done.set_result(None)

    @staticmethod
    async def _read(wait: _Wait, reader: AppliedReader) -> None:
        for number in sorted(wait.missed):
            if number in wait.found:
                continue
            rows = await reader.rows_from_number(number, 1)
            for row in rows:
                part = (row.first_sequence, row.events)
                groups = by_command([part], after=row.first_number - 1)
                for missed in wait.missed:
                    if missed in groups:
                        wait.found[missed] = groups[missed]

    def _forget(self, wait: _Wait) -> None:
        for number in wait.open:
            waits = self._waiting.get(number)
            if waits is not None:
                waits.remove(wait)
                if not waits:
                    del self._waiting[number]
        wait.done.cancel()

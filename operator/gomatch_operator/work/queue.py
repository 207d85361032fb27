"""A keyed work queue: one entry for each Market however often it is added, one worker on it at a
time, changed Markets before the backlog.

The idea is that of the work queues of Kubernetes' own controllers: an entry says that somebody has
to look, never what to do, so that many changes cost one look.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gomatch.concurrency import Backoff
from gomatch_operator.market import MarketKey

_FIRST_RETRY = 0.5
_LONGEST_RETRY = 60.0


@dataclass(slots=True)
class _Entry:
    since: float
    urgent: bool
    queued: bool = False
    running: bool = False
    again: bool = False
    due: float | None = None
    backoff: Backoff = field(
        default_factory=lambda: Backoff(first=_FIRST_RETRY, limit=_LONGEST_RETRY)
    )
    failures: int = 0


class KeyedQueue:
    """Of one event loop. ``refused`` is called for each addition that finds the queue full, which a
    later sweep brings again; ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        *,
        limit: int,
        refused: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._refused = refused
        self._clock = clock
        self._entries: dict[MarketKey, _Entry] = {}
        self._urgent: dict[MarketKey, None] = {}
        self._backlog: dict[MarketKey, None] = {}
        self._due: list[tuple[float, MarketKey]] = []
        self._wake = asyncio.Event()

    def add(self, key: MarketKey, *, urgent: bool) -> None:
        """Have ``key`` looked at. One that waits stays where it is, unless it becomes urgent; one
        that is being worked on is looked at again afterwards."""
        entry = self._entry(key)
        if entry is None:
            return
        entry.due = None
        if entry.running:
            entry.again = True
            entry.urgent = entry.urgent or urgent
        else:
            self._enqueue(key, entry, urgent=urgent)

    def add_after(self, key: MarketKey, seconds: float) -> None:
        """Have ``key`` looked at in ``seconds``, or before, if something else asks for it."""
        entry = self._entry(key)
        if entry is None or entry.queued or (entry.running and entry.again):
            return
        due = self._clock() + seconds
        if entry.due is None or due < entry.due:
            entry.due = due
            heapq.heappush(self._due, (due, key))
            self._wake.set()

    def failed(self, key: MarketKey, *, at_least: float = 0.0) -> float:
        """Have ``key`` looked at again after a pause that grows; returns that pause in seconds.
        ``at_least`` is what somebody asks for, of which a minute at most is granted."""
        entry = self._entry(key)
        if entry is None:
            return _LONGEST_RETRY
        entry.failures += 1
        delay = max(entry.backoff.next_delay(), min(at_least, _LONGEST_RETRY))
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: MarketKey) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.failures = 0
            entry.backoff.reset()

    async def take(self) -> MarketKey:
        """The next key, which is this caller's until `done`."""
        while True:
            self._promote()
            for waiting in (self._urgent, self._backlog):
                if waiting:
                    key = next(iter(waiting))
                    del waiting[key]
                    entry = self._entries[key]
                    entry.queued = entry.urgent = False
                    entry.running = True
                    return key
            await self._wait()

    def done(self, key: MarketKey) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.running = False
        if entry.again:
            entry.again = False
            self._enqueue(key, entry, urgent=entry.urgent)
        elif entry.due is None and entry.failures == 0:
            del self._entries[key]

    @property
    def length(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._urgent) + len(self._backlog)

    def oldest_seconds(self) -> float:
        """How long the first of those has waited; 0 when none does."""
        waiting = [
            self._entries[next(iter(keys))].since for keys in (self._urgent, self._backlog) if keys
        ]
        return self._clock() - min(waiting) if waiting else 0.0

    def _entry(self, key: MarketKey) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._limit:
                self._refused()
                return None
            entry = self._entries[key] = _Entry(since=self._clock(), urgent=False)
        return entry

    def _enqueue(self, key: MarketKey, entry: _Entry, *, urgent: bool) -> None:
        if entry.queued and (entry.urgent or not urgent):
            return
        if entry.queued:
            del self._backlog[key]
        else:
            entry.since = self._clock()
        entry.queued, entry.urgent, entry.due = True, urgent, None
        (self._urgent if urgent else self._backlog)[key] = None
        self._wake.set()

    def _promote(self) -> None:
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            due, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is None or entry.due != due:
                continue
            entry.due = None
            if entry.running:
                entry.again = True
            else:
                self._enqueue(key, entry, urgent=False)

    async def _wait(self) -> None:
        self._wake.clear()
        delay = self._due[0][0] - self._clock() if self._due else None
        try:
            async with asyncio.timeout(None if delay is None else max(0.0, delay)):
                await self._wake.wait()
        except TimeoutError:
            return

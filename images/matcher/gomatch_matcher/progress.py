"""How far a market is, for metrics: accepted, applied, and how long the oldest command waits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch.store import Backlog, Journal
from gomatch.transport import Transport

_log = logs.get(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks: one query of a few rows, and one question to the broker."""


class Progress:
    """Of the market that this process leads, from ``begin`` to ``end``; all zero otherwise.
    ``accepted`` is as last seen and never behind ``applied``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.accepted = 0
        self.applied = 0
        self._clock = clock
        self._leading = False
        self._oldest = 0
        self._oldest_since = 0.0

    def begin(self, *, accepted: int, applied: int) -> None:
        self._leading = True
        self.accepted, self.applied, self._oldest = accepted, applied, 0

    def end(self) -> None:
        self._leading = False
        self.accepted = self.applied = self._oldest = 0

    def saw_accepted(self, number: int) -> None:
        if self._leading:
            self.accepted = max(self.accepted, number)

    def saw(self, backlog: Backlog) -> None:
        """What the database said a moment ago."""
        self.saw_accepted(backlog.accepted)
        self._oldest = backlog.oldest if self._leading else 0
        self._oldest_since = self._clock() - backlog.oldest_seconds

    def advance(self, applied: int) -> None:
        """A commit up to ``applied`` is confirmed."""
        self.applied = applied
        self.saw_accepted(applied)

    def oldest_seconds(self) -> float:
        """Age of the oldest command that was seen and is not applied; 0 without one. It goes on
        growing while nothing can be looked up."""
        if self._oldest <= self.applied:
            return 0.0
        return max(0.0, self._clock() - self._oldest_since)


class ProgressWatch:
    """Looks at the database and at the queue while this process leads. ``depth`` is called with
    the batches that wait there, or NaN when that cannot be learnt."""

    def __init__(
        self,
        progress: Progress,
        *,
        journal: Journal,
        transport: Transport,
        market_id: int,
        symbol: str,
        depth: Callable[[float], None],
    ) -> None:
        self._progress = progress
        self._journal = journal
        self._transport = transport
        self._market_id = market_id
        self._symbol = symbol
        self._depth = depth

    async def run(self) -> None:
        """Until it is cancelled. Servers that are away are asked again. Raises UnknownMarket."""
        while True:
            try:
                self._progress.saw(await self._journal.backlog(self._market_id))
            except StoreUnavailable as error:
                _log.debug("backlog_unknown", market=self._symbol, why=str(error))
            depth = await self._transport.depth(self._symbol)
            self._depth(math.nan if depth is None else depth)
            await asyncio.sleep(LOOK_EVERY)

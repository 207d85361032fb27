"""Writes images to PostgreSQL now and then, and one at an orderly stop."""

from __future__ import annotations

import asyncio

from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch.store import Snapshots
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.metrics import MatcherMetrics

_log = logs.get(__name__)


class ImageWriter:
    """Counts applied commands; after ``every`` of them ``run`` writes the committed state, and
    ``interval`` seconds after the last image (0: never) if any were applied since.

    The orders of an image are packed already and put together in slices, so that one of 100,000
    orders holds up the event loop for some milliseconds at a time.
    """

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        committed: CommittedState,
        market_id: int,
        every: int,
        interval: float,
        metrics: MatcherMetrics,
    ) -> None:
        self._snapshots = snapshots
        self._committed = committed
        self._market_id = market_id
        self._every = every
        self._interval = interval or None
        self._metrics = metrics
        self._since = 0
        self._changed = False
        self._due = asyncio.Event()
        self._written_sequence: int | None = None

    def count(self, commands: int) -> None:
        self._since += commands
        self._changed = True
        if self._since >= self._every:
            self._due.set()

    async def run(self, stopped: asyncio.Event) -> None:
        """Write whenever one is due until ``stopped``, then once more if anything changed."""
        stopping = asyncio.create_task(stopped.wait())
        try:
            while not stopped.is_set():
                due = asyncio.create_task(self._due.wait())
                try:
                    done, _ = await asyncio.wait(
                        (stopping, due),
                        return_when=asyncio.FIRST_COMPLETED,
                        timeout=self._interval,
                    )
                finally:
                    due.cancel()
                    await asyncio.gather(due, return_exceptions=True)
                if self._due.is_set() or (not done and self._changed):
                    await self.write()
            await self.write()
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def write(self) -> None:
        """One image now. A failure is counted: recovery only gets slower by it."""
        self._due.clear()
        self._since = 0
        committed = self._committed
        sequence, applied = committed.sequence, committed.applied
        chain, time = committed.chain, committed.time
        if sequence in (self._written_sequence, 0):
            self._changed = False
            return
        image = await committed.image()
        try:
            await self._snapshots.write(
                self._market_id,
                applied=applied,
                sequence=sequence,
                chain=chain,
                image=image,
                time=time,
            )
        except StoreUnavailable as error:
            self._metrics.image_failures.inc()
            _log.warning("image_not_written", market=self._metrics.market, why=str(error))
            return
        self._written_sequence = sequence
        self._changed = committed.sequence != sequence
        self._metrics.images.inc()

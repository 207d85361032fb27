"""Whether PostgreSQL answers, so that requests are refused at once while it does not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gomatch.errors import StoreError
from gomatch.observability import logs

_log = logs.get(__name__)

PROBE_SHORTEST = 0.1
PROBE_LONGEST = 1.0


class DatabaseHealth:
    """A circuit breaker: opened by the first failure, closed by the first probe that answers.

    ``probe`` is any cheap query; it must raise StoreError while there is no answer, or when it
    shows that nothing can be written. It is asked every ``every`` seconds, and more often after a
    failure, which ``why`` then describes. Tasks: ``run`` belongs to whoever owns this object.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[object]], *, every: float = PROBE_LONGEST
    ) -> None:
        self._probe = probe
        self._every = every
        self._failed = asyncio.Event()
        self.available = True
        self.why = ""

    def report_failure(self, error: StoreError) -> None:
        """Refuse everything from now on until a probe gets an answer."""
        if self.available:
            self.available = False
            self.why = str(error)
            _log.warning("database_unavailable", why=str(error))
        self._failed.set()

    async def run(self) -> None:
        """Probe regularly, and after a failure with growing and jittered pauses, until
        cancelled."""
        pause = PROBE_SHORTEST
        while True:
            if self.available:
                pause = PROBE_SHORTEST
                await self._quiet()
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, PROBE_LONGEST)
            self._failed.clear()
            try:
                await self._probe()
            except StoreError as error:
                self.report_failure(error)
                continue
            # A failure that was reported during the probe asks for one more.
            if not self.available and not self._failed.is_set():
                self.available = True
                self.why = ""
                _log.info("database_available_again")

    async def _quiet(self) -> None:
        """Until the next regular probe, or a failure."""
        try:
            async with asyncio.timeout(self._every):
                await self._failed.wait()
        except TimeoutError:
            # Nobody has complained.
            pass

"""Whether PostgreSQL answers, so that requests are refused at once while it does not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gomatch.errors import StoreUnavailable
from gomatch.observability import logs

_log = logs.get(__name__)

PROBE_SHORTEST = 0.1
PROBE_LONGEST = 1.0


class DatabaseHealth:
    """A circuit breaker: opened by the first failure, closed by the first probe that answers.

    ``probe`` is any cheap query; it must raise StoreUnavailable while there is no answer. Tasks:
    ``run`` belongs to whoever owns this object.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._failed = asyncio.Event()
        self.available = True

    def report_failure(self, error: StoreUnavailable) -> None:
        """Refuse everything from now on until a probe gets an answer."""
        if self.available:
            self.available = False
            _log.warning("database unavailable", error=str(error))
        self._failed.set()

    async def run(self) -> None:
        """Probe after each failure, with growing and jittered pauses, until cancelled."""
        while True:
            await self._failed.wait()
            pause = PROBE_SHORTEST
            while not self.available:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, PROBE_LONGEST)
                try:
                    await self._probe()
                except StoreUnavailable as error:
                    _log.debug("database still unavailable", error=str(error))
                else:
                    self.available = True
                    _log.info("database available again")
            self._failed.clear()

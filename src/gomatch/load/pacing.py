"""When to send, and how much in all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time


class Budget:
    """Bounds a run in count and in time; whichever ends first. ``orders`` 0 is no bound."""

    def __init__(self, *, orders: int, seconds: float) -> None:
        self._bounded = orders > 0
        self._left = orders
        self._stopped = asyncio.Event()
        self._seconds = seconds
        self._deadline = time.perf_counter() + seconds

    def begin(self) -> None:
        """The time starts to run now."""
        self._deadline = time.perf_counter() + self._seconds

    def stop(self) -> None:
        self._stopped.set()

    @property
    def over(self) -> bool:
        exhausted = self._bounded and self._left <= 0
        return exhausted or self._stopped.is_set() or time.perf_counter() >= self._deadline

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` commands may be sent now; 0 ends the run."""
        if self.over:
            return 0
        if not self._bounded:
            return wanted
        granted = min(wanted, self._left)
        self._left -= granted
        return granted

    async def sleep_until(self, due: float) -> bool:
        """Sleep until ``due`` on the clock of time.perf_counter; False when the run ends first."""
        wait = min(due, self._deadline) - time.perf_counter()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopped.wait()
        return not self.over


class PoissonPacer:
    """Requests at random times with a mean of ``rate`` a second; 0 is as fast as it goes.

    All lanes of a user share one: what is due is sent by whichever lane is free, and waits only
    while all of them wait for answers. What is sent late counts its latency from when it was due,
    so that a stalled server cannot hide its stall.
    """

    def __init__(self, *, rate: float, seed: int) -> None:
        self._rate = rate
        self._random = random.Random(seed)
        self._due = 0.0

    def next_due(self) -> float:
        now = time.perf_counter()
        if self._rate <= 0:
            return now
        self._due = (self._due or now) + self._random.expovariate(self._rate)
        return self._due

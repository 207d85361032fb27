"""Keeps a leader's lease from a thread of its own.

Some work keeps the event loop busy for longer than a lease lasts: loading a large book, matching
a sweep of 100,000 orders. A lease renewed from the same loop would be lost over it, the next
leader would lose it over the same work, and so on for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from gomatch.cancellation import AGAIN_SECONDS
from gomatch.errors import Fenced, StoreUnavailable
from gomatch.store import Leadership


class LeaseKeeper:
    """``run`` renews until it is cancelled.

    A process whose event loop stands still for ``stall_limit`` seconds is taken for dead: its
    lease runs out.
    """

    def __init__(
        self,
        leadership: Leadership,
        *,
        market_id: int,
        epoch: int,
        lease: float,
        renew: float,
        stall_limit: float,
        renewed: Callable[[], None],
        refresh_cache: Callable[[], bool],
    ) -> None:
        """``lease``, ``renew`` and ``stall_limit`` in seconds. ``leadership`` is connected and
        closed by ``run`` and belongs to its thread. In the loop of ``run`` it calls ``renewed``
        after each renewal, and ``refresh_cache`` when somebody asked for the mirror to be written
        anew; False puts that off to the next renewal."""
        self._leadership = leadership
        self._market_id = market_id
        self._epoch = epoch
        self._lease = lease
        self._renew = renew
        self._stall_limit = stall_limit
        self._renewed = renewed
        self._refresh_cache = refresh_cache
        self._alive_at = time.monotonic()
        self._refreshed_mark = 0

    async def run(self) -> None:
        """Raises Fenced when another leads or this loop stood still for too long, and
        StoreUnavailable once the lease has run out without an answer from the database."""
        loop = asyncio.get_running_loop()
        own_loop = asyncio.new_event_loop()
        task = own_loop.create_task(self._keep(loop))
        with ThreadPoolExecutor(1, thread_name_prefix="lease") as thread:
            keeping = loop.run_in_executor(thread, _until_cancelled, own_loop, task)
            try:
                while not keeping.done():
                    self._alive_at = time.monotonic()
                    await asyncio.wait([keeping], timeout=self._renew)
            finally:
                # Again, should the driver lose it: see gomatch.cancellation.
                while not keeping.done():
                    own_loop.call_soon_threadsafe(task.cancel)
                    await asyncio.wait([keeping], timeout=AGAIN_SECONDS)
                own_loop.close()
        keeping.result()

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> None:
        done_mark = 0
        renewed = time.monotonic()
        try:
            while True:
                await asyncio.sleep(self._renew)
                stalled = time.monotonic() - self._alive_at
                if stalled > self._stall_limit:
                    raise Fenced(f"the event loop stood still for {stalled:.0f} s: lease given up")
                try:
                    marks = await self._leadership.renew(self._market_id, self._epoch, self._lease)
                    if self._refreshed_mark > done_mark:
                        done_mark = self._refreshed_mark
                        await self._leadership.cache_refreshed(self._market_id, done_mark)
                except StoreUnavailable:
                    if time.monotonic() - renewed > self._lease:
                        raise
                    continue
                renewed = time.monotonic()
                wanted = marks.refresh_mark if marks.refresh_cache else 0
                loop.call_soon_threadsafe(self._after_renewal, wanted)
        finally:
            await self._leadership.close()

    def _after_renewal(self, refresh_mark: int) -> None:
        self._renewed()
        if refresh_mark > self._refreshed_mark and self._refresh_cache():
            self._refreshed_mark = refresh_mark


def _until_cancelled(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)

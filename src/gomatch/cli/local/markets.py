"""Finds out which markets there are, also those made while the venue runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg

from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch.store import Markets

_POLL_SECONDS = 1.0

_log = logs.get(__name__)


class MarketWatch:
    """Calls ``start`` with each symbol once and runs what it returns until ``stop``; ``start``'s
    coroutines end by themselves when ``stop`` is set."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        start: Callable[[str], Coroutine[Any, Any, None]],
        stop: asyncio.Event,
    ) -> None:
        self._markets = Markets(pool)
        self._start = start
        self._stop = stop

    async def run(self) -> None:
        """Until ``stop``, and then until every market's coroutine has ended."""
        known: set[str] = set()
        async with asyncio.TaskGroup() as running:
            while not self._stop.is_set():
                try:
                    symbols = [record.symbol for record in await self._markets.list()]
                except StoreUnavailable as error:
                    _log.warning("markets_unknown", why=str(error))
                    symbols = []
                for symbol in symbols:
                    if symbol not in known:
                        known.add(symbol)
                        running.create_task(self._start(symbol), name=f"market {symbol}")
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._stop.wait()
                except TimeoutError:
                    continue

"""What waits to be sent on one connection: bounded, in order, with state that can be merged kept
apart until the reader has time for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

Send = Callable[[str], Awaitable[None]]


class Conflated(Protocol):
    """Something whose newest state matters, not each step: asked when everything else is sent."""

    def drain(self) -> list[str]:
        """The messages that bring the reader up to date; empty when it is."""
        ...


class Outbox:
    """``put`` never blocks: past ``limit`` messages or ``limit_bytes`` characters it calls
    ``on_overflow`` once and takes nothing more. ``run`` sends, and raises TimeoutError when one
    message could not be handed to the connection within ``write_timeout`` seconds."""

    def __init__(
        self,
        *,
        limit: int,
        limit_bytes: int,
        write_timeout: float,
        on_overflow: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._write_timeout = write_timeout
        self._on_overflow = on_overflow
        self._texts: deque[str] = deque()
        self._size = 0
        self._conflated: dict[Conflated, None] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._sending_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def congested(self) -> bool:
        """The reader is behind: state should be merged rather than queued."""
        return len(self._texts) > 32

    def put(self, text: str) -> None:
        if self._closed:
            return
        if len(self._texts) >= self._limit or self._size + len(text) > self._limit_bytes:
            self.close()
            self._on_overflow()
            return
        self._texts.append(text)
        self._idle.clear()
        self._size += len(text)
        if len(self._texts) * 2 > self._limit or self._size * 2 > self._limit_bytes:
            self._room.clear()
        self._wake.set()

    def mark(self, source: Conflated) -> None:
        """Ask ``source`` for its messages when everything before is sent."""
        if not self._closed:
            self._conflated[source] = None
            self._wake.set()

    def unmark(self, source: Conflated) -> None:
        self._conflated.pop(source, None)

    async def room(self) -> None:
        """Wait until at least half of the space is free: for senders that can wait. Raises
        TimeoutError after ``write_timeout`` seconds."""
        if not self._room.is_set():
            async with asyncio.timeout(self._write_timeout):
                await self._room.wait()

    async def flushed(self) -> None:
        """Wait until everything queued so far has been handed to the connection."""
        await self._idle.wait()

    def close(self) -> None:
        """Take nothing more and forget what waits."""
        self._closed = True
        self._texts.clear()
        self._size = 0
        self._conflated.clear()
        self._room.set()
        self._idle.set()

    async def run(self, send: Send) -> None:
        """Send until cancelled or ``send`` raises."""
        try:
            async with asyncio.timeout(None) as limit:
                await self._run(send, limit)
        finally:
            if self._watch is not None:
                self._watch.cancel()

    async def _run(self, send: Send, limit: asyncio.Timeout) -> None:
        texts = self._texts
        while True:
            while texts or self._conflated:
                while texts:
                    text = texts.popleft()
                    self._size -= len(text)
                    await self._send(send, text, limit)
                if not self._room.is_set():
                    self._room.set()
                if self._conflated:
                    source = next(iter(self._conflated))
                    del self._conflated[source]
                    for text in source.drain():
                        await self._send(send, text, limit)
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    async def _send(self, send: Send, text: str, limit: asyncio.Timeout) -> None:
        """One timer looks after all messages: most are handed over at once, and a timer for each
        would cost more than that."""
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(self._write_timeout, self._check, loop, limit)
        await send(text)
        self._sending_since = None

    def _check(self, loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout) -> None:
        """End ``run`` when the message that is being sent has had its time."""
        self._watch = None
        if self._sending_since is None:
            return
        left = self._sending_since + self._write_timeout - loop.time()
        if left > 0:
            self._watch = loop.call_later(left, self._check, loop, limit)
        else:
            limit.reschedule(loop.time())

"""One WebSocket connection: its reader, its writer, its tasks, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from gomatch.observability import logs
from gomatch_api import codes
from gomatch_api.auth.rate_limit import TokenBucket
from gomatch_api.codes import ProblemCode
from gomatch_api.problems import Problem
from gomatch_api.stream.codes import (
    BINARY_MESSAGE,
    CLOSE_CODES,
    POLICY_VIOLATION,
    SLOW_READER,
    TOO_MANY_ERRORS,
    TOO_MANY_MESSAGES,
)
from gomatch_api.stream.limits import StreamLimits
from gomatch_api.stream.messages import ClosingMessage, error_text, text
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_api.stream.outbox import Outbox
from gomatch_api.stream.requests import StreamRequest, parse_request, tag_of

_log = logs.get(__name__)

ERROR_WINDOW = 10.0
"""Seconds over which messages that cannot be read are counted."""

Handler = Callable[[StreamRequest], Awaitable[None]]


class Connection:
    """``handler`` is awaited for each message that could be read; what takes long it gives to
    ``spawn``. ``fail`` may be called by anybody at any time."""

    def __init__(self, websocket: WebSocket, *, limits: StreamLimits, metrics: StreamMetrics):
        self.outbox = Outbox(
            limit=limits.buffer,
            limit_bytes=limits.buffer_bytes,
            write_timeout=limits.write_timeout,
            on_overflow=lambda: self.fail(SLOW_READER),
        )
        self._websocket = websocket
        self._limits = limits
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[ProblemCode] = asyncio.get_running_loop().create_future()
        rate = limits.messages_per_second
        self._bucket = TokenBucket(rate=rate, capacity=2 * rate, now=time.monotonic())
        self._errors: deque[float] = deque(maxlen=limits.errors)
        self._refused: deque[float] = deque(maxlen=max(limits.errors, int(2 * rate)))

    def fail(self, code: ProblemCode) -> None:
        """End the connection for this reason; the first one counts."""
        if not self._failure.done():
            self._failure.set_result(code)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that ends with the connection at the latest."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def run(self, handler: Handler, *, finish: Callable[[], Awaitable[None]]) -> None:
        """Serve until either side ends it, ``finish`` what was begun, close the WebSocket."""
        reader = asyncio.create_task(self._read(handler))
        writer = asyncio.create_task(self.outbox.run(self._send))
        try:
            await asyncio.wait((reader, writer, self._failure), return_when=asyncio.FIRST_COMPLETED)
            for task in (reader, writer):
                if task.done():
                    self._ended(task)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await finish()
            code = self._failure.result() if self._failure.done() else None
            if code is codes.SHUTTING_DOWN and not writer.done():
                await self._drain()
            writer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(writer, *self._tasks, return_exceptions=True)
            self.outbox.close()
            if code is not None:
                await self._close(code)

    async def _drain(self) -> None:
        """At shutdown: send what waits, as far as the reader takes it."""
        try:
            async with asyncio.timeout(1.0):
                await self.outbox.flushed()
        except TimeoutError:
            _log.debug("messages_unsent", messages=len(self.outbox))

    async def _close(self, code: ProblemCode) -> None:
        self._metrics.closed.labels(code.code).inc()
        detail = code.title
        status = CLOSE_CODES.get(code.code, POLICY_VIOLATION)
        try:
            async with asyncio.timeout(self._limits.close_timeout):
                await self._send(text(ClosingMessage(code.code, detail)))
                await self._websocket.send(
                    {"type": "websocket.close", "code": status, "reason": code.code}
                )
        except (TimeoutError, ClientDisconnected, WebSocketDisconnect, RuntimeError) as error:
            # The peer does not read or is gone; the server aborts the transport.
            _log.debug("close_not_delivered", code=code.code, why=repr(error))

    async def _send(self, message: str) -> None:
        await self._websocket.send({"type": "websocket.send", "text": message})
        self._metrics.sent.inc()

    async def _read(self, handler: Handler) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._metrics.received.inc()
            body = message.get("text")
            if body is None:
                self.fail(BINARY_MESSAGE)
                return
            await self._take(body.encode(), handler)

    async def _take(self, body: bytes, handler: Handler) -> None:
        now = time.monotonic()
        tag: str | int | None = None
        try:
            wait = self._bucket.take(1, now)
            if wait:
                tag = tag_of(body)
                self._count(self._refused, TOO_MANY_MESSAGES)
                raise Problem(TOO_MANY_MESSAGES, retry_after=wait)
            try:
                request = parse_request(body)
            except Problem:
                tag = tag_of(body)
                self._count(self._errors, TOO_MANY_ERRORS)
                raise
            tag = request.id
            await handler(request)
        except Problem as problem:
            self.outbox.put(error_text(problem, tag))

    def _count(self, times: deque[float], code: ProblemCode) -> None:
        """End the connection when the window is full of faults."""
        now = time.monotonic()
        if len(times) == times.maxlen and now - times[0] < ERROR_WINDOW:
            self.fail(code)
        times.append(now)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None or isinstance(error, ClientDisconnected | WebSocketDisconnect):
            return
        if isinstance(error, TimeoutError):
            self.fail(SLOW_READER)
            return
        _log.error("stream_failed", exc_info=error)
        self.fail(codes.INTERNAL_ERROR)

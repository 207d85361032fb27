"""uvicorn's HTTP protocol with limits on what comes before a request, problem documents for what
is no HTTP at all, and a short way for requests that came whole."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gomatch_api import codes
from gomatch_api.asgi import DISCARD_LIMIT, EXCHANGE_EXTENSION, RawHeaders
from gomatch_api.drain import Drain
from gomatch_api.problems import MEDIA_TYPE, Problem, encode

HEAD_LIMIT = 65_536
"""Bytes of a request line with its headers."""

HEAD_SECONDS = 20.0
"""Time that a request's headers have to arrive, the first one's from the connection on."""


FIRST_REQUEST_SECONDS = 1.0
"""Time that the first request of a connection which is there when the server stops has to come."""


class HttpExchange:
    """One request and its answer, without a message and a wait for each part of them."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self) -> bytes | None:
        """The whole body when it has arrived, None when it must be received."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        cycle.flow.resume_reading()
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def answer(self, status: int, headers: RawHeaders, content: bytes) -> bool:
        """Write a whole answer at once; ``headers`` have its content-length. False, and nothing
        was written, when it must be sent instead: the peer reads too slowly, or the connection
        ends with it."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or not cycle.keep_alive:
            return False
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            if name == b"connection":
                return False
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", content)
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        cycle.on_response()
        return True


class HttpProtocol(HttpToolsProtocol):
    """``http`` of uvicorn: see ``http_protocol``. Its requests have an HttpExchange under
    EXCHANGE_EXTENSION."""

    drain: Drain
    _discarded = 0
    _head_bytes = 0
    _in_head = False
    _opening: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._opening is not None:
            self._opening.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            # Here and not where a message begins: most heads come whole, and need no timer.
            if self._opening is None:
                self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")
            return
        cycle: Any = self.cycle
        if cycle is not None and cycle.more_body and cycle.response_complete:
            self._discarded += len(data)
            if self._discarded > DISCARD_LIMIT:
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._discarded = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        super().on_headers_complete()

    def shutdown(self) -> None:
        cycle: Any = self.cycle
        if cycle is None:
            # Its request may be on the way; a close would cross it.
            self.loop.call_later(FIRST_REQUEST_SECONDS, self._close_unused)
        else:
            super().shutdown()

    def _close_unused(self) -> None:
        cycle: Any = self.cycle
        # It leaves the server's connections when it becomes a WebSocket.
        if cycle is None and self in self.connections and not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.drain.begun:
            cycle.keep_alive = False
        # Extensions are dictionaries by convention only; ours never leaves this process.
        cycle.scope["extensions"] = {EXCHANGE_EXTENSION: HttpExchange(cycle)}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        body = encode(Problem(codes.MALFORMED_REQUEST, msg))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: %b\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (MEDIA_TYPE.encode(), len(body), body)
        )
        self.transport.close()

    def _await_head(self) -> None:
        self._opening = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._opening = None
        if not self.transport.is_closing():
            self.transport.close()


def http_protocol(drain: Drain) -> type[HttpProtocol]:
    """To pass as ``http`` to uvicorn: once ``drain`` has begun, each answer ends its connection."""
    return type("BoundHttpProtocol", (HttpProtocol,), {"drain": drain})

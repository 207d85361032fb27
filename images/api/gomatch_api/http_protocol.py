"""uvicorn's HTTP protocol with limits on what comes before a request, and problem documents for
what is no HTTP at all."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gomatch_api import codes
from gomatch_api.asgi import DISCARD_LIMIT
from gomatch_api.problems import MEDIA_TYPE, Problem, encode

HEAD_LIMIT = 65_536
"""Bytes of a request line with its headers."""

HEAD_SECONDS = 20.0
"""Time that a new connection has to send its first request's headers."""


class HttpProtocol(HttpToolsProtocol):
    """Pass as ``http`` to uvicorn."""

    _discarded = 0
    _head_bytes = 0
    _in_head = False
    _opening: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._opening = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._opening is not None:
            self._opening.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
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

    def send_400_response(self, msg: str) -> None:
        body = encode(Problem(codes.MALFORMED_REQUEST, msg))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: %b\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (MEDIA_TYPE.encode(), len(body), body)
        )
        self.transport.close()

    def _give_up(self) -> None:
        self._opening = None
        if not self.transport.is_closing():
            self.transport.close()

"""uvicorn's WebSocket protocol with two things more that slow readers and shutdown need."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from gomatch.settings import Settings

SHUTDOWN_EXTENSION = "gomatch.shutdown"
"""ASGI extension: an asyncio.Event that is set when the server begins to shut down."""

ABORT_AFTER = 5.0
"""Seconds that a connection which the application has left may take to flush."""

SHUTDOWN_AFTER = 5.0
"""Seconds in which the application closes its streams by itself at shutdown."""


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """The part of uvicorn's configuration that the stream relies on."""
    return {
        "ws": StreamProtocol,
        "ws_max_size": settings.stream_message_bytes,
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
        "ws_per_message_deflate": False,
    }


class StreamProtocol(WebSocketsSansIOProtocol):
    """Pass as ``ws`` to uvicorn.

    A connection whose peer has stopped reading is aborted soon after the application has left
    it, for a plain close would wait for the peer for ever. At shutdown the application is told
    through SHUTDOWN_EXTENSION and may answer what is in flight and say goodbye before uvicorn
    closes the connection.
    """

    _shutdown_event: asyncio.Event | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_complete:
            return
        self._shutdown_event = asyncio.Event()
        # Extensions are dictionaries by convention only; ours never leaves this process.
        self.scope["extensions"][SHUTDOWN_EXTENSION] = self._shutdown_event  # type: ignore[assignment]

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(ABORT_AFTER, self._abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(ABORT_AFTER, self._abort)

    def shutdown(self) -> None:
        event = self._shutdown_event
        if event is None or event.is_set() or not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
        event.set()
        self.loop.call_later(SHUTDOWN_AFTER, self._finish_shutdown)

    def _finish_shutdown(self) -> None:
        if not self.disconnected and not self.transport.is_closing():
            super().shutdown()

    def _abort(self) -> None:
        if not self.disconnected:
            self.transport.abort()

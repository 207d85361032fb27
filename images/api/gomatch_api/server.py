"""uvicorn around the application, for a program of its own and for hosting in another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from gomatch_api.app import create_app
from gomatch_api.http_protocol import HttpProtocol
from gomatch_api.services import Services
from gomatch_api.shortcut import HotShortcut
from gomatch_api.stream import uvicorn_options

BACKLOG = 2_048
GRACE_SECONDS = 10
"""Time that requests in flight have to end after a stop."""


class ApiServer:
    """Serves one replica over HTTP. Port 0 takes a free one; ``port`` tells which."""

    def __init__(self, services: Services, *, host: str, port: int) -> None:
        self._server = _Server(
            uvicorn.Config(
                _application(services),
                loop="none",
                http=HttpProtocol,
                # Nothing here asks for a client's address.
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
                **uvicorn_options(services.settings),
            )
        )
        self._socket = _bind(host, port)
        self._task: asyncio.Task[None] | None = None
        self.port: int = self._socket.getsockname()[1]

    async def start(self) -> None:
        """Returns once connections are taken."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended while it started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take no more connections, finish requests in flight, close streams."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """Without uvicorn's signal handlers: the program's own decide when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _application(services: Services) -> FastAPI | HotShortcut:
    app = create_app(services)
    # Traced requests go through the middleware that traces them.
    return app if services.tracing.enabled else HotShortcut(app)


def _bind(host: str, port: int) -> socket.socket:
    """Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound

"""uvicorn around the application, for a program of its own and for hosting in another."""

from __future__ import annotations

import asyncio

import uvicorn
from fastapi import FastAPI

from gomatch.hosted_server import HostedServer
from gomatch_api.app import create_app
from gomatch_api.http_protocol import http_protocol
from gomatch_api.listening import bind
from gomatch_api.services import Services
from gomatch_api.shortcut import HotShortcut
from gomatch_api.stream import uvicorn_options

BACKLOG = 2_048
GRACE_SECONDS = 10
"""Time that requests in flight have to end after a stop."""


class ApiServer:
    """Serves one replica over HTTP. Port 0 takes a free one; ``port`` tells which."""

    def __init__(self, services: Services, *, host: str, port: int) -> None:
        self._drain = services.drain
        self._server = HostedServer(
            uvicorn.Config(
                _application(services),
                loop="none",
                http=http_protocol(services.drain),
                # Nothing here asks for a client's address.
                proxy_headers=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=services.settings.keep_alive,
                timeout_graceful_shutdown=GRACE_SECONDS,
                **uvicorn_options(services.settings),
            )
        )
        self._socket = bind(host, port)
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

    async def stop(self, *, delay: float = 0.0) -> None:
        """Be not ready at once, and serve on for ``delay`` seconds, each connection for one more
        request. Then take no more connections, finish requests in flight, close streams."""
        self._drain.begin()
        await asyncio.sleep(delay)
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def _application(services: Services) -> FastAPI | HotShortcut:
    app = create_app(services)
    # Traced requests go through the middleware that traces them.
    return app if services.tracing.enabled else HotShortcut(app)

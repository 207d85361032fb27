"""uvicorn around the application, for a program of its own and for hosting in another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from gomatch_api.app import create_app
from gomatch_api.http_protocol import HttpProtocol, http_protocol
from gomatch_api.listening import HostedServer, bind
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
        protocol = http_protocol(services.drain)
        self._server = _Server(
            uvicorn.Config(
                _application(services),
                loop="none",
                http=protocol,
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
            ),
            protocol,
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


class _Server(HostedServer):
    def __init__(self, config: uvicorn.Config, protocol: type[HttpProtocol]) -> None:
        super().__init__(config)
        self._protocol = protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Also serves connections that the kernel has made and nobody has taken yet: closing the
        listener would reset them."""
        adopting = [
            asyncio.create_task(self._adopt(connection))
            for listener in sockets or []
            for connection in _waiting(listener)
        ]
        # Closes the listeners before it waits for anything.
        await super().shutdown(sockets)
        await asyncio.gather(*adopting)

    async def _adopt(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> HttpProtocol:
            return self._protocol(
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop
            )

        _, made = await loop.connect_accepted_socket(protocol, connection)
        made.shutdown()


def _application(services: Services) -> FastAPI | HotShortcut:
    app = create_app(services)
    # Traced requests go through the middleware that traces them.
    return app if services.tracing.enabled else HotShortcut(app)


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """What has connected so far."""
    with suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]

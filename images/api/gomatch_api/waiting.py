"""Health of a replica that cannot open its services yet."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gomatch.errors import GomatchError
from gomatch.hosted_server import HostedServer
from gomatch_api import codes
from gomatch_api.listening import bind
from gomatch_api.problems import Problem
from gomatch_api.responses import Health, Readiness
from gomatch_api.routes.common import answer, problem_response

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class WaitingServer:
    """Answers on the API's port that the process lives and is not ready, and why."""

    def __init__(self, *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._why = ""
        self._socket: socket.socket | None = None
        self._server: HostedServer | None = None
        self._task: asyncio.Task[None] | None = None

    def failed(self, error: GomatchError) -> bool:
        """``error`` is why; False when that was known."""
        before, self._why = self._why, f"{error.code}: {error}"
        return before != self._why

    async def start(self) -> None:
        """Nothing happens when it has been started. Raises OSError when the port is taken."""
        if self._task is not None:
            return
        self._socket = bind(self._host, self._port)
        routes = [Route("/healthz", self._healthz), Route("/readyz", self._readyz)]
        self._server = HostedServer(
            uvicorn.Config(
                Starlette(routes=[*routes, Route("/{path:path}", self._other, methods=_METHODS)]),
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Frees the port."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()

    async def _healthz(self, _: Request) -> Response:
        return answer(Health(status="ok"))

    async def _readyz(self, _: Request) -> Response:
        return answer(Readiness(ready=False, missing=["database"], why=self._why), 503)

    async def _other(self, _: Request) -> Response:
        return problem_response(Problem(codes.DATABASE_UNAVAILABLE, retry_after=1))

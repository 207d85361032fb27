"""All WebSocket connections of one replica."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from gomatch_api import codes
from gomatch_api.auth import Principal
from gomatch_api.problems import MEDIA_TYPE, Problem, encode
from gomatch_api.stream.codes import TOO_MANY_CONNECTIONS
from gomatch_api.stream.connection import Connection
from gomatch_api.stream.protocol import SHUTDOWN_EXTENSION
from gomatch_api.stream.session import Session, SessionTools


class StreamHub:
    """``endpoint`` serves /v1/stream. ``run`` sends heartbeats and keeps cancel-on-disconnect
    going until cancelled; ``close`` says goodbye to everybody."""

    def __init__(self, tools: SessionTools) -> None:
        self._tools = tools
        self._sessions: dict[Session, Connection] = {}
        self._users: Counter[int] = Counter()
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._forget = tools.keys.on_revoke(self._revoked)

    @property
    def connections(self) -> int:
        return len(self._sessions)

    async def endpoint(self, websocket: WebSocket) -> None:
        """One connection, from upgrade to end."""
        try:
            principal = await self._identify(websocket)
            self._check_room(principal)
        except Problem as problem:
            await self._refuse(websocket, problem)
            return
        try:
            await websocket.accept()
        except (ClientDisconnected, WebSocketDisconnect):
            return
        await self._serve(websocket, principal)

    async def run(self) -> None:
        """Heartbeats, and cancel-on-disconnect, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tools.guard.run())
            group.create_task(self._beat())

    async def close(self) -> None:
        """End every connection with `shutting_down`, after its requests are answered."""
        self._closing = True
        self._forget()
        for connection in list(self._sessions.values()):
            connection.fail(codes.SHUTTING_DOWN)
        await self._empty.wait()

    async def _serve(self, websocket: WebSocket, principal: Principal | None) -> None:
        tools = self._tools
        connection = Connection(websocket, limits=tools.limits, metrics=tools.metrics)
        session = Session(connection, tools, principal=principal, admit=self._admit)
        self._sessions[session] = connection
        self._empty.clear()
        if principal is not None:
            self._users[principal.user_id] += 1
        tools.metrics.connections.inc()
        watch = self._watch_shutdown(websocket, connection)
        try:
            if principal is not None and principal.revoked:
                connection.fail(codes.KEY_REVOKED)
            await connection.run(session.handle, finish=session.finish_requests)
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            del self._sessions[session]
            tools.metrics.connections.dec()
            if session.principal is not None:
                user = session.principal.user_id
                self._users[user] -= 1
                if not self._users[user]:
                    del self._users[user]
            await session.close()
            if not self._sessions:
                self._empty.set()

    async def _identify(self, websocket: WebSocket) -> Principal | None:
        headers: Mapping[str, str] = websocket.headers
        if "authorization" not in headers and "x-gomatch-key" not in headers:
            return None
        url = websocket.url
        target = f"{url.path}?{url.query}" if url.query else url.path
        return await self._tools.keys.identify(headers, method="GET", target=target)

    def _check_room(self, principal: Principal | None) -> None:
        if self._closing:
            raise Problem(codes.SHUTTING_DOWN, retry_after=1)
        if len(self._sessions) >= self._tools.limits.connections:
            raise Problem(TOO_MANY_CONNECTIONS, retry_after=5)
        if principal is not None:
            self._check_user(principal)

    def _check_user(self, principal: Principal) -> None:
        if self._users[principal.user_id] >= self._tools.limits.connections_per_user:
            raise Problem(TOO_MANY_CONNECTIONS, "This user has too many streams.", retry_after=5)

    def _admit(self, principal: Principal) -> None:
        self._check_user(principal)
        self._users[principal.user_id] += 1

    @staticmethod
    async def _refuse(websocket: WebSocket, problem: Problem) -> None:
        response = Response(
            encode(problem),
            status_code=problem.status,
            media_type=MEDIA_TYPE,
            headers=dict(problem.headers),
        )
        await websocket.receive()
        await websocket.send_denial_response(response)

    @staticmethod
    def _watch_shutdown(websocket: WebSocket, connection: Connection) -> asyncio.Task[None] | None:
        event = websocket.scope.get("extensions", {}).get(SHUTDOWN_EXTENSION)
        if not isinstance(event, asyncio.Event):
            return None

        async def watch() -> None:
            await event.wait()
            connection.fail(codes.SHUTTING_DOWN)

        return asyncio.create_task(watch())

    async def _beat(self) -> None:
        """Heartbeats, spread over the interval so that thousands do not come at once."""
        interval = self._tools.limits.heartbeat
        while True:
            sessions = list(self._sessions)
            rounds = max(1, min(len(sessions), int(interval / 0.05)))
            for index in range(rounds):
                for session in sessions[index::rounds]:
                    session.heartbeat()
                await asyncio.sleep(interval / rounds)

    def _revoked(self, principal: Principal) -> None:
        for session, connection in list(self._sessions.items()):
            if session.principal is not None and session.principal.key_id == principal.key_id:
                connection.fail(codes.KEY_REVOKED)

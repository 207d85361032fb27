"""A thin layer for the hot routes: ASGI without request and response objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from gomatch.observability import logs
from gomatch_api import codes, problems
from gomatch_api.auth import KeyRing, Principal
from gomatch_api.metrics import ApiMetrics
from gomatch_api.problems import Problem, ProblemBody

_log = logs.get(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

EXCHANGE_EXTENSION = "gomatch.exchange"
"""ASGI extension: an Exchange, where the server has one."""

BODY_SECONDS = 20.0
"""Time that a request's body has to arrive."""

DISCARD_LIMIT = 32 << 20
"""Bytes of a body that is too large that are still read, so that the client gets the answer."""

_encode = msgspec.json.Encoder().encode
_JSON = b"application/json"


class Exchange(Protocol):
    """See gomatch_api.http_protocol.HttpExchange."""

    def body(self) -> bytes | None: ...

    def answer(self, status: int, headers: RawHeaders, content: bytes) -> bool: ...


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class HotRequest:
    """One request: its parts are read only when asked for."""

    __slots__ = ("_exchange", "_receive", "headers", "keys", "limit", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        keys: KeyRing,
        limit: int,
        exchange: Exchange | None = None,
    ) -> None:
        self._exchange = exchange
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.keys = keys
        self.limit = limit
        self._receive = receive

    async def principal(self, body: bytes = b"") -> Principal:
        """The caller. Raises Problem."""
        authorization = self.headers.get(b"authorization")
        if authorization is not None and authorization[:7] == b"Bearer ":
            return await self.keys.identify_token(authorization[7:].decode("latin-1"))
        return await self.keys.identify(
            {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in self.headers.items()
            },
            method=self.scope["method"],
            target=target_of(self.scope),
            body=body,
        )

    async def json(self) -> bytes:
        """The body. Raises Problem: unsupported_media_type, body_too_large."""
        content_type = self.headers.get(b"content-type", b"")
        if content_type != _JSON and not _is_json(content_type):
            raise Problem(codes.UNSUPPORTED_MEDIA_TYPE, "Send `Content-Type: application/json`.")
        if b"content-encoding" in self.headers:
            raise Problem(codes.UNSUPPORTED_MEDIA_TYPE, "Send the body without an encoding.")
        whole = self._exchange.body() if self._exchange is not None else None
        if whole is not None and len(whole) <= self.limit:
            return whole
        if whole is not None:
            raise self._too_large({})
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._body()
        except TimeoutError:
            raise Problem(codes.REQUEST_TIMEOUT, headers={"connection": "close"}) from None

    def waits(self) -> bool:
        """Whether ``?wait=result`` was given. Raises Problem on another value."""
        query: bytes = self.scope["query_string"]
        if not query:
            return False
        wait = self.parameter("wait")
        if wait not in (None, "result"):
            raise Problem(codes.INVALID_VALUE, "`wait` can only be `result`.", field="wait")
        return wait is not None

    def parameter(self, name: str) -> str | None:
        """A query parameter; the last one when it is given several times."""
        query: bytes = self.scope["query_string"]
        return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get(name)

    async def _body(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if not message.get("more_body") and len(body) <= self.limit:
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body") and size <= DISCARD_LIMIT:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= self.limit:
                parts.append(part)
        if size > self.limit:
            # What has not been read by now is not waited for.
            headers = {"connection": "close"} if message.get("more_body") else {}
            raise self._too_large(headers)
        return b"".join(parts)

    def _too_large(self, headers: MutableMapping[str, str]) -> Problem:
        return Problem(codes.BODY_TOO_LARGE, f"At most {self.limit} bytes.", headers=headers)


Handler = Callable[[HotRequest], Awaitable[tuple[int, object]]]
"""Returns the HTTP status and the answer, ready for JSON. Raises Problem."""


class HotEndpoint:
    """An ASGI application around one handler: problems, unexpected errors, metrics."""

    def __init__(
        self, handler: Handler, *, route: str, keys: KeyRing, metrics: ApiMetrics, limit: int
    ) -> None:
        self._handler = handler
        self._keys = keys
        self._metrics = metrics
        self._limit = limit
        self._route = route
        self._succeeded = metrics.requests.labels(route, "2xx")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send, None)

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, exchange: Exchange | None
    ) -> None:
        """``exchange`` saves messages where nothing between server and endpoint wants to see
        them."""
        began = time.perf_counter()
        headers: RawHeaders
        try:
            status, answer = await self._handler(
                HotRequest(scope, receive, self._keys, self._limit, exchange)
            )
            content = _encode(answer)
            headers = [(b"content-type", _JSON)]
            if isinstance(answer, ProblemBody):
                self._metrics.problems.labels(answer.code).inc()
                headers = _problem_headers({"retry-after": "1"} if status == 503 else {})
        except ClientGone:
            return
        except Problem as problem:
            status, content, headers = self._problem(problem)
        except Exception:  # noqa: BLE001  whatever it is, the client gets a problem document
            _log.exception("request_failed", route=self._route)
            self._metrics.unexpected_errors.inc()
            status, content, headers = self._problem(Problem(codes.INTERNAL_ERROR))
        headers.append((b"content-length", b"%d" % len(content)))
        if exchange is None or not exchange.answer(status, headers, content):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        seconds = time.perf_counter() - began
        if status < 300:
            self._succeeded.observe(seconds)
        else:
            self._metrics.requests.labels(self._route, f"{status // 100}xx").observe(seconds)

    def _problem(self, problem: Problem) -> tuple[int, bytes, RawHeaders]:
        self._metrics.problems.labels(problem.code.code).inc()
        return problem.status, problems.encode(problem), _problem_headers(problem.headers)


def target_of(scope: Scope) -> str:
    """Path and query as they were sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _problem_headers(extra: MutableMapping[str, str]) -> RawHeaders:
    headers = [(b"content-type", problems.MEDIA_TYPE.encode())]
    headers += [(name.encode(), value.encode()) for name, value in extra.items()]
    return headers


def _is_json(content_type: bytes) -> bool:
    kind, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    return kind == _JSON and all(
        p in (b"", b"charset=utf-8", b'charset="utf-8"') for p in parameters
    )

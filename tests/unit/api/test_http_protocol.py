"""What a client sees of the short way that hot requests take through the HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from gomatch_api import http_protocol
from gomatch_api.asgi import HotEndpoint, HotRequest
from gomatch_api.auth import Principal
from gomatch_api.drain import Drain
from gomatch_api.metrics import ApiMetrics
from gomatch_api.shortcut import HotShortcut
from tests.unit.api.doubles import principal

LIMIT = 2_000


class OneKey:
    """Knows everybody."""

    async def identify_token(self, _: str) -> Principal:
        return principal()


async def echo(request: HotRequest) -> tuple[int, object]:
    await request.principal()
    return 200, {"body": (await request.json()).decode()}


async def named(request: HotRequest) -> tuple[int, object]:
    return 202, {"order": request.scope["path_params"]["order_id"]}


@asynccontextmanager
async def serving(drain: Drain | None = None) -> AsyncIterator[int]:
    def endpoint(handler: object, name: str) -> HotEndpoint:
        return HotEndpoint(
            handler,  # type: ignore[arg-type]
            route=name,
            keys=OneKey(),  # type: ignore[arg-type]
            metrics=ApiMetrics(),
            limit=LIMIT,
        )

    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.router.routes += [
        Route("/v1/orders", endpoint(echo, "place"), methods=["POST"]),
        Route("/v1/orders/{order_id}", endpoint(named, "cancel"), methods=["DELETE"]),
    ]
    config = uvicorn.Config(
        HotShortcut(app),
        http=http_protocol.http_protocol(drain or Drain()),
        lifespan="off",
        log_config=None,
        port=0,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


HEAD = b"POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a.b\r\n"
JSON = b"content-type: application/json\r\n"
WHOLE = HEAD + JSON + b"content-length: 2\r\n\r\n{}"


async def exchange(port: int, *parts: bytes, answers: int = 1) -> bytes:
    """Send ``parts`` one after the other, each in a packet of its own; what came back until the
    server closed or ``answers`` bodies were there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        received = b""
        async with asyncio.timeout(10):
            while received.count(b'"}') < answers:
                data = await reader.read(65_536)
                if not data:
                    break
                received += data
        return received
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_answer_comes_in_one_packet() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + JSON + b"content-length: 2\r\n\r\n{}")
        first = await reader.read(65_536)
        writer.close()
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b'\r\n\r\n{"body":"{}"}')


async def test_a_body_that_comes_in_pieces() -> None:
    async with serving() as port:
        got = await exchange(port, HEAD + JSON + b"content-length: 4\r\n\r\n", b"ab", b"cd")
    assert got.endswith(b'{"body":"abcd"}')


async def test_a_chunked_body() -> None:
    async with serving() as port:
        head = HEAD + JSON + b"transfer-encoding: chunked\r\n\r\n"
        got = await exchange(port, head, b"2\r\nab\r\n", b"2\r\ncd\r\n0\r\n\r\n")
    assert got.endswith(b'{"body":"abcd"}')


async def test_a_client_that_waits_for_leave_to_send_its_body() -> None:
    async with serving() as port:
        head = HEAD + JSON + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n"
        got = await exchange(port, head, b"{}")
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with serving() as port:
        requests = [HEAD + JSON + b"content-length: 1\r\n\r\n%d" % n for n in range(3)]
        got = await exchange(port, b"".join(requests), answers=3)
    assert [got.index(b'{"body":"%d"}' % n) for n in range(3)] == sorted(
        got.index(b'{"body":"%d"}' % n) for n in range(3)
    )


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_connection_that_the_client_wants_closed_is_closed(version: bytes) -> None:
    async with serving() as port:
        head = HEAD.replace(b"HTTP/1.1", version) + b"connection: close\r\n" + JSON
        # More answers than come: it reads until the end.
        got = await exchange(port, head + b"content-length: 2\r\n\r\n{}", answers=2)
    assert b"\r\nconnection: close\r\n" in got
    assert got.endswith(b'{"body":"{}"}')


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_body_above_the_limit(pieces: int) -> None:
    body = b" " * (LIMIT + 1)
    head = HEAD + JSON + b"content-length: %d\r\n\r\n" % len(body)
    parts = [head + body] if pieces == 1 else [head, body]
    async with serving() as port:
        got = await exchange(port, *parts)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in got


async def test_every_request_of_a_connection_has_only_so_long_to_send_its_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + JSON + b"content-length: 2\r\n\r\n{}")
        await reader.readuntil(b'"}')
        monkeypatch.setattr("gomatch_api.http_protocol.HEAD_SECONDS", 0.05)
        writer.write(HEAD)
        assert await reader.read() == b""
        writer.close()


async def test_paths_that_are_nearly_hot_get_the_applications_answer() -> None:
    async with serving() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.delete("/v1/orders/BTC-USDT-7")).json() == {"order": "BTC-USDT-7"}
        for method, path, status in (
            ("DELETE", "/v1/orders/", 404),
            ("DELETE", "/v1/orders/a/b", 404),
            ("PUT", "/v1/orders/a", 405),
            ("PUT", "/v1/orders", 405),
            ("POST", "/v1/other", 404),
        ):
            assert (await client.request(method, path)).status_code == status, path


async def test_each_answer_ends_its_connection_once_the_replica_is_to_stop() -> None:
    drain = Drain()
    async with serving(drain) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(WHOLE)
        kept = await reader.readuntil(b'"}')
        assert b"connection: close" not in kept
        drain.begin()
        writer.write(WHOLE)
        async with asyncio.timeout(10):
            ended = await reader.read()
        assert ended.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in ended
        writer.close()


async def test_a_connection_made_just_before_the_stop_gets_its_first_request_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "FIRST_REQUEST_SECONDS", 60)
    drain = Drain()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(drain))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stopping = await stop_with_connections(stack, drain, port)
        writer.write(WHOLE)
        async with asyncio.timeout(20):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            await stopping
        writer.close()


async def test_a_connection_without_a_request_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "FIRST_REQUEST_SECONDS", 0.05)
    drain = Drain()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(drain))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stopping = await stop_with_connections(stack, drain, port)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
            await stopping
        writer.close()


async def stop_with_connections(
    stack: AsyncExitStack, drain: Drain, port: int
) -> asyncio.Task[None]:
    """Returns once the listener is gone."""
    # Once this is answered, the connections made before it have been taken.
    await exchange(port, WHOLE)
    drain.begin()
    stopping = asyncio.create_task(stack.aclose())
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return stopping
            writer.transport.abort()
            await asyncio.sleep(0.005)

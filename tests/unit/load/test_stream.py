"""The stream's client against a server that says what the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from gomatch.errors import ConnectionFailed, LoadError
from gomatch.load.statistics import Statistics
from gomatch.load.stream import StreamClient, Subscription, stream_url
from gomatch.load.wire import StreamMessage

Script = Callable[["Peer"], Awaitable[None]]
ORDERS = Subscription("orders", "A-B")
SUBSCRIBED = {"type": "subscribed", "channel": "orders", "market": "A-B", "id": "s0"}


class Peer:
    """The server's side of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._connection.recv())
        return message

    async def say(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def subscribed(self, sequence: int, through: int) -> dict[str, Any]:
        """Hear the subscription and confirm it."""
        asked = await self.hear()
        await self.say(**SUBSCRIBED, sequence=sequence, through=through)
        return asked

    async def orders(self, prev: int, sequence: int, through: int) -> None:
        events = [{"event": "accepted", "sequence": sequence, "order_id": f"A-B-{sequence}"}]
        place = {"prev": prev, "sequence": sequence, "through": through}
        await self.say(type="orders", market="A-B", events=events, **place)

    def freeze(self) -> None:
        """Read nothing any more, as a host that is gone, with the connection left open."""
        self._connection.transport.pause_reading()

    async def stay(self) -> None:
        await self._connection.wait_closed()


class Bench:
    def __init__(self) -> None:
        self.statistics = Statistics()
        self.heard: list[StreamMessage] = []

    async def until_heard(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.heard) < count:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def streaming(
    *scripts: Script, status: HTTPStatus | None = None, timeout: float = 10
) -> AsyncIterator[tuple[Bench, StreamClient, asyncio.Task[None]]]:
    """A client that runs; each connection is served by the next of the scripts, those after by
    the last."""
    left = list(scripts)

    async def handler(connection: ServerConnection) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        with suppress(ConnectionClosed):
            await script(Peer(connection))

    def refuse(connection: ServerConnection, _: Request) -> Response | None:
        return connection.respond(status, "no") if status is not None else None

    bench = Bench()
    async with serve(handler, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = StreamClient(
            f"http://127.0.0.1:{port}",
            token="t",
            subscriptions=[ORDERS],
            statistics=bench.statistics,
            on_message=lambda message, _: bench.heard.append(message),
            timeout=timeout,
        )
        running = asyncio.create_task(client.run())
        try:
            yield bench, client, running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def ready(client: StreamClient) -> None:
    async with asyncio.timeout(30):
        await client.ready.wait()


async def test_events_are_handed_on_and_their_chain_is_followed() -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.subscribed(5, 5)
        assert asked == {"op": "subscribe", "channel": "orders", "market": "A-B", "id": "s0"}
        await peer.orders(5, 6, 6)
        await peer.say(
            type="heartbeat", channel="orders", market="A-B", prev=6, sequence=6, through=9
        )
        await peer.orders(6, 10, 12)
        await peer.stay()

    async with streaming(script) as (bench, client, _):
        await ready(client)
        await bench.until_heard(2)
        assert [event.order_id for each in bench.heard for event in each.events] == [
            "A-B-6",
            "A-B-10",
        ]
        assert (bench.statistics.stream_gaps, bench.statistics.reconnects) == (0, 0)


async def test_a_message_that_is_missing_is_counted() -> None:
    async def script(peer: Peer) -> None:
        await peer.subscribed(5, 5)
        await peer.orders(6, 7, 7)
        await peer.stay()

    async with streaming(script) as (bench, _, _):
        await bench.until_heard(1)
        assert bench.statistics.stream_gaps == 1


async def test_after_a_loss_it_goes_on_from_where_it_was_complete() -> None:
    asked: list[dict[str, Any]] = []

    async def first(peer: Peer) -> None:
        await peer.subscribed(5, 5)
        await peer.orders(5, 6, 8)

    async def second(peer: Peer) -> None:
        asked.append(await peer.subscribed(6, 8))
        await peer.orders(6, 9, 9)
        await peer.stay()

    async with streaming(first, second) as (bench, _, _):
        await bench.until_heard(2)
        assert asked[0]["from"] == 8
        assert (bench.statistics.stream_gaps, bench.statistics.reconnects) == (0, 1)


async def test_answers_find_their_requests_by_tag() -> None:
    async def script(peer: Peer) -> None:
        await peer.subscribed(0, 0)
        asked = [await peer.hear(), await peer.hear()]
        for message in reversed(asked):
            order = {"id": f"A-B-{message['quantity']}"}
            await peer.say(type="ack", id=message["id"], results=[{"order": order}])
        await peer.stay()

    async with streaming(script) as (_, client, _):
        await ready(client)
        answers = await asyncio.gather(
            client.request(b"place", b'"quantity":"1"'), client.request(b"place", b'"quantity":"2"')
        )
        orders = [answer.results[0].order for answer in answers]
        assert [order.id if order else "" for order in orders] == ["A-B-1", "A-B-2"]


async def test_a_request_without_answer_fails() -> None:
    async def silent(peer: Peer) -> None:
        await peer.subscribed(0, 0)
        await peer.stay()

    async with streaming(silent, timeout=1) as (_, client, _):
        await ready(client)
        with pytest.raises(ConnectionFailed, match=r"within 1 s"):
            await client.request(b"place", b'"quantity":"1"')


async def test_a_request_fails_when_the_stream_is_lost_and_while_there_is_none() -> None:
    async def leave(peer: Peer) -> None:
        await peer.subscribed(0, 0)
        await peer.hear()

    async def never(peer: Peer) -> None:
        await peer.stay()

    async with streaming(leave, never) as (_, client, _):
        await ready(client)
        with pytest.raises(ConnectionFailed, match="lost"):
            await client.request(b"place", b'"quantity":"1"')
    with pytest.raises(ConnectionFailed, match="not connected"):
        await client.request(b"place", b'"quantity":"1"')


async def test_a_token_that_is_refused_ends_it_at_once() -> None:
    async with streaming(status=HTTPStatus.UNAUTHORIZED) as (_, client, running):
        with pytest.raises(LoadError, match=r"HTTP 401.*is the token right"):
            await asyncio.wait_for(running, 30)
        assert not client.ready.is_set()


async def test_a_subscription_that_is_refused_ends_it_at_once() -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.hear()
        await peer.say(type="error", id=asked["id"], code="scope_missing", status=403)
        await peer.stay()

    async with streaming(script) as (_, _, running):
        with pytest.raises(LoadError, match="scope_missing"):
            await asyncio.wait_for(running, 30)


async def test_what_goes_wrong_later_is_counted() -> None:
    async def script(peer: Peer) -> None:
        await peer.subscribed(5, 5)
        await peer.say(type="closing", code="slow_reader")
        await peer.say(
            type="resync_required", channel="orders", market="A-B", prev=5, sequence=9, through=9
        )
        await peer.orders(9, 10, 10)
        await peer.stay()

    async with streaming(script) as (bench, _, _):
        await bench.until_heard(1)
        assert bench.statistics.failed == {"stream: slow_reader": 1, "stream: resync_required": 1}
        assert bench.statistics.stream_gaps == 0


def test_the_stream_is_beside_the_api() -> None:
    assert stream_url("http://127.0.0.1:8080/") == "ws://127.0.0.1:8080/v1/stream"
    assert stream_url("https://host") == "wss://host/v1/stream"


async def test_a_server_that_fell_silent_is_left() -> None:
    async def frozen(peer: Peer) -> None:
        await peer.subscribed(5, 5)
        peer.freeze()
        await peer.stay()

    async def alive(peer: Peer) -> None:
        asked = await peer.subscribed(5, 5)
        assert asked["from"] == 5
        await peer.orders(5, 6, 6)
        await peer.stay()

    async with streaming(frozen, alive, timeout=1) as (bench, _, __):
        await bench.until_heard(1)
        assert bench.statistics.reconnects >= 1

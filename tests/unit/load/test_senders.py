from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action, Verb, cancel_action
from gomatch.load.http import HttpAnswer, HttpConnection
from gomatch.load.senders import RestBatches, RestSingles, Sender, StreamBatches, StreamSingles
from gomatch.load.stream import StreamClient
from gomatch.load.wire import StreamMessage, stream_decoder

NEW = Action(Verb.NEW, b'"quantity":"1"')
AMEND = Action(Verb.AMEND, b'"id":"A-B-2","quantity":"3"', "A-B-2")
CANCEL = cancel_action("A-B-1")
ACKNOWLEDGED = b'{"id":"A-B-9","status":"accepted","command":9}'


class Connection:
    def __init__(self, status: int, body: bytes, retry_after: float = 0.0) -> None:
        self._answer = HttpAnswer(status, body, retry_after)
        self.requests: list[tuple[str, str, Any]] = []
        self.closed = False

    async def request(self, method: bytes, target: bytes, body: bytes = b"") -> HttpAnswer:
        decoded = msgspec.json.decode(body) if body else None
        self.requests.append((method.decode(), target.decode(), decoded))
        return self._answer

    async def close(self) -> None:
        self.closed = True


def rest(kind: type[RestBatches | RestSingles], connection: Connection) -> Sender:
    return kind(cast("HttpConnection", connection))


async def test_a_batch_is_one_request_and_an_answer_for_each_item() -> None:
    connection = Connection(
        200,
        b'{"results":[{"status":202,"order":%b},{"status":422,"problem":{"code":"off_lot"}}]}'
        % ACKNOWLEDGED,
    )
    sender = rest(RestBatches, connection)
    reply = await sender.send([NEW, CANCEL])
    assert connection.requests == [
        (
            "POST",
            "/v1/orders/batch",
            {"items": [{"action": "new", "quantity": "1"}, {"action": "cancel", "id": "A-B-1"}]},
        )
    ]
    accepted, refused = reply.items
    assert accepted.order is not None
    assert accepted.order.id == "A-B-9"
    assert refused.problem is not None
    assert refused.problem.code == "off_lot"
    await sender.close()
    assert connection.closed


async def test_single_actions_have_a_request_of_their_own_kind() -> None:
    connection = Connection(202, ACKNOWLEDGED)
    sender = rest(RestSingles, connection)
    for action in (NEW, AMEND, CANCEL):
        (item,) = (await sender.send([action])).items
        assert item.order is not None
        assert item.order.id == "A-B-9"
    assert [request[:2] for request in connection.requests] == [
        ("POST", "/v1/orders"),
        ("PATCH", "/v1/orders/A-B-2"),
        ("DELETE", "/v1/orders/A-B-1"),
    ]
    assert connection.requests[0][2] == {"quantity": "1"}


@pytest.mark.parametrize("kind", [RestBatches, RestSingles])
async def test_a_refused_request_is_known_by_its_code(
    kind: type[RestBatches | RestSingles],
) -> None:
    reply = await rest(kind, Connection(429, b'{"code":"rate_limited"}', 2.0)).send([NEW])
    assert reply == ([], "rate_limited", 2.0)
    reply = await rest(kind, Connection(502, b"<html>")).send([NEW])
    assert reply == ([], "http_502", 0.0)


@pytest.mark.parametrize("kind", [RestBatches, RestSingles])
async def test_an_answer_that_is_none_of_the_api_is_a_failure(
    kind: type[RestBatches | RestSingles],
) -> None:
    with pytest.raises(ConnectionFailed):
        await rest(kind, Connection(200, b"[]")).send([NEW])


class Stream:
    def __init__(self, answer: str) -> None:
        self._answer = stream_decoder.decode(answer)
        self.requests: list[tuple[str, Any]] = []

    async def request(self, op: bytes, members: bytes) -> StreamMessage:
        self.requests.append((op.decode(), msgspec.json.decode(b"{" + members + b"}")))
        return self._answer


async def test_on_the_stream_the_order_of_a_change_is_order_id() -> None:
    stream = Stream('{"type":"ack","results":[{"status":202,"order":{"id":"A-B-9"}}]}')
    sender = StreamSingles(cast("StreamClient", stream))
    for action in (NEW, AMEND, CANCEL):
        (item,) = (await sender.send([action])).items
        assert item.order is not None
    assert stream.requests == [
        ("place", {"quantity": "1"}),
        ("amend", {"order_id": "A-B-2", "quantity": "3"}),
        ("cancel", {"order_id": "A-B-1"}),
    ]


async def test_a_batch_on_the_stream_keeps_the_items_as_they_are_by_rest() -> None:
    stream = Stream('{"type":"ack","results":[{"order":{"id":"A-B-9"}},{"order":{"id":"A-B-1"}}]}')
    reply = await StreamBatches(cast("StreamClient", stream)).send([NEW, CANCEL])
    items = [{"action": "new", "quantity": "1"}, {"action": "cancel", "id": "A-B-1"}]
    assert stream.requests == [("batch", {"items": items})]
    assert len(reply.items) == 2


async def test_an_error_on_the_stream_refuses_the_request() -> None:
    stream = Stream('{"type":"error","code":"too_many_messages","retry_after":0.5}')
    reply = await StreamBatches(cast("StreamClient", stream)).send([NEW])
    assert reply == ([], "too_many_messages", 0.5)

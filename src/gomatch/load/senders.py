"""How actions reach the venue: by REST or on the stream, singly or in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action, Verb, encode_items
from gomatch.load.http import HttpAnswer, HttpConnection
from gomatch.load.stream import StreamClient
from gomatch.load.wire import (
    ItemAnswer,
    StreamMessage,
    acknowledged_decoder,
    batch_decoder,
    problem_decoder,
)

_EVERYTHING_FINE = 300


class Reply(NamedTuple):
    """``items`` answer the actions one by one. When the request was refused as a whole they are
    empty and ``refused`` is its code; ``retry_after`` is in seconds."""

    items: Sequence[ItemAnswer]
    refused: str = ""
    retry_after: float = 0.0


class Sender(Protocol):
    async def send(self, actions: Sequence[Action]) -> Reply:
        """Raises ConnectionFailed when no answer came: the outcome is unknown."""
        ...

    async def close(self) -> None: ...


class RestBatches:
    """``POST /v1/orders/batch``."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    async def send(self, actions: Sequence[Action]) -> Reply:
        body = b'{"items":' + encode_items(actions) + b"}"
        answer = await self._connection.request(b"POST", b"/v1/orders/batch", body)
        if answer.status >= _EVERYTHING_FINE:
            return _refusal(answer)
        try:
            return Reply(batch_decoder.decode(answer.body).results)
        except msgspec.MsgspecError as error:
            raise ConnectionFailed(f"not an answer to a batch: {error}") from error

    async def close(self) -> None:
        await self._connection.close()


class RestSingles:
    """One request an action: ``POST``, ``DELETE`` and ``PATCH`` on ``/v1/orders``."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    async def send(self, actions: Sequence[Action]) -> Reply:
        (action,) = actions
        request = self._connection.request
        if action.verb is Verb.NEW:
            answer = await request(b"POST", b"/v1/orders", b"{" + action.members + b"}")
        elif action.verb is Verb.CANCEL:
            answer = await request(b"DELETE", b"/v1/orders/" + action.order.encode())
        else:
            target = b"/v1/orders/" + action.order.encode()
            answer = await request(b"PATCH", target, b"{" + action.members + b"}")
        if answer.status >= _EVERYTHING_FINE:
            return _refusal(answer)
        return Reply([_item(answer)])

    async def close(self) -> None:
        await self._connection.close()


class StreamBatches:
    """``batch`` on the stream; several may wait for their answers at once."""

    def __init__(self, stream: StreamClient) -> None:
        self._stream = stream

    async def send(self, actions: Sequence[Action]) -> Reply:
        return _reply(await self._stream.request(b"batch", b'"items":' + encode_items(actions)))

    async def close(self) -> None:
        """The stream belongs to its user."""


class StreamSingles:
    """``place``, ``cancel`` and ``amend`` on the stream."""

    def __init__(self, stream: StreamClient) -> None:
        self._stream = stream

    async def send(self, actions: Sequence[Action]) -> Reply:
        (action,) = actions
        members = action.members
        if action.order:
            # On the stream `id` is the request's own tag.
            members = members.replace(b'"id":', b'"order_id":', 1)
        return _reply(await self._stream.request(action.verb.op, members))

    async def close(self) -> None:
        """The stream belongs to its user."""


def _reply(message: StreamMessage) -> Reply:
    if message.type == "error":
        return Reply([], message.code or "error", message.retry_after or 0.0)
    return Reply(message.results)


def _item(answer: HttpAnswer) -> ItemAnswer:
    try:
        return ItemAnswer(order=acknowledged_decoder.decode(answer.body))
    except msgspec.MsgspecError as error:
        raise ConnectionFailed(f"not an answer of the API: {error}") from error


def _refusal(answer: HttpAnswer) -> Reply:
    try:
        code = problem_decoder.decode(answer.body).code
    except msgspec.MsgspecError:
        # An answer without a problem document, from a proxy perhaps: its status must do.
        code = ""
    return Reply([], code or f"http_{answer.status}", answer.retry_after)

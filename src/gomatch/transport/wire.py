"""A batch of commands as an AMQP message: the compact form as body, its numbers as headers."""

from __future__ import annotations

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from gomatch.errors import CodecError
from gomatch.messages.envelope import CommandBatch

CONTENT_TYPE = "application/x-gomatch-commands-v1"
BODY_LIMIT = 16 * 1024 * 1024
"""Bytes; the API sends far less, and what is larger is not ours."""


def batch_message(batch: CommandBatch) -> Message:
    return Message(
        batch.bodies,
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={
            "market": batch.market,
            "first": batch.first,
            "last": batch.last,
            "accepted_at": batch.accepted_at,
            "trace": batch.trace,
        },
    )


def read_message(message: AbstractIncomingMessage, market: str) -> CommandBatch:
    """Raises CodecError naming what is wrong. The commands themselves are not decoded here."""
    if message.content_type != CONTENT_TYPE:
        raise CodecError(f"content type is {str(message.content_type)[:80]!r}")
    if len(message.body) > BODY_LIMIT:
        raise CodecError(f"body of {len(message.body)} bytes")
    headers = message.headers
    if headers.get("market") != market:
        raise CodecError("it names another market")
    numbers = [headers.get(name) for name in ("first", "last", "accepted_at")]
    if not all(type(number) is int for number in numbers):
        raise CodecError("first, last and accepted_at must be integers")
    first, last, accepted_at = (int(str(number)) for number in numbers)
    if not 0 < first <= last < 1 << 62:
        raise CodecError("its numbers make no range")
    trace = headers.get("trace", "")
    return CommandBatch(
        market=market,
        first=first,
        last=last,
        accepted_at=accepted_at,
        bodies=message.body,
        trace=trace if isinstance(trace, str) and len(trace) <= 64 else "",
    )

"""A batch as an AMQP message: the body is ``bodies``, everything else stands in headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gomatch.errors import CodecError
from gomatch.messages.envelope import CommandBatch

CONTENT_TYPE = "application/x-gomatch-commands-v1"
BODY_LIMIT = 8 * 1024 * 1024
"""Bytes; the largest batch that the API accepts is far below."""

_TRACE_LIMIT = 1_024
"""Characters; what the API sends is shorter."""

_LAST_NUMBER = (1 << 63) - 1


def headers_of(batch: CommandBatch) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "market": batch.market,
        "first": batch.first,
        "last": batch.last,
        "accepted_at": batch.accepted_at,
    }
    if batch.trace:
        headers["trace"] = batch.trace
    return headers


def decode(
    market: str, *, body: bytes, headers: Mapping[str, Any], content_type: str | None
) -> CommandBatch:
    """Raises CodecError that says what is wrong; whatever it returns is sound and of ``market``."""
    if content_type != CONTENT_TYPE:
        raise CodecError(f"content type {_short(content_type)} is not {CONTENT_TYPE}")
    if len(body) > BODY_LIMIT:
        raise CodecError(f"{len(body)} bytes are more than {BODY_LIMIT}")
    if _text(headers, "market") != market:
        raise CodecError(f"market {_short(headers['market'])} is not {market}")
    first, last = _integer(headers, "first"), _integer(headers, "last")
    batch = CommandBatch(
        market=market,
        first=first,
        last=last,
        accepted_at=_integer(headers, "accepted_at"),
        bodies=body,
        trace=_text(headers, "trace")[:_TRACE_LIMIT] if "trace" in headers else "",
    )
    if not 1 <= first <= last:
        raise CodecError(f"header first is {first} and last {last}")
    batch.commands()
    return batch


def _integer(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    if type(value) is not int:  # a bool is not a number here
        raise CodecError(f"header {name} is {_short(value)}, not an integer")
    if not 0 <= value <= _LAST_NUMBER:
        raise CodecError(f"header {name} is out of range: {value}")
    return value


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str):
        raise CodecError(f"header {name} is {_short(value)}, not text")
    return value


def _short(value: object) -> str:
    return repr(value)[:80]

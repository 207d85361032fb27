"""What the server says on the stream besides market data. Every message of a subscription has
``market``, ``prev``, ``sequence`` and ``through``: ``prev`` is the ``sequence`` of the message
before it on that subscription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gomatch_api.feeds.private import PrivateEvent
from gomatch_api.problems import Problem
from gomatch_api.responses import CancelAllAcknowledgement, ItemResult
from gomatch_api.times import format_time, now

_encode = msgspec.json.Encoder().encode

Tag = str | int | None

AckResults = Sequence[ItemResult] | Sequence[CancelAllAcknowledgement]


class OrdersMessage(msgspec.Struct, tag_field="type", tag="orders", gc=False):
    market: str
    prev: int
    sequence: int
    through: int
    events: Sequence[PrivateEvent]


class HeartbeatMessage(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    channel: str
    market: str
    prev: int
    sequence: int
    through: int
    time: str


class SubscribedMessage(msgspec.Struct, tag_field="type", tag="subscribed", omit_defaults=True):
    channel: str
    market: str
    sequence: int
    through: int
    id: Tag = None


class UnsubscribedMessage(msgspec.Struct, tag_field="type", tag="unsubscribed", omit_defaults=True):
    channel: str
    market: str
    id: Tag = None


class ResyncMessage(msgspec.Struct, tag_field="type", tag="resync_required", omit_defaults=True):
    """``orders`` (orders channel only) are the user's open orders at ``sequence``; ``more`` says
    that further ones follow in another message of this type."""

    channel: str
    market: str
    reason: str
    prev: int
    sequence: int
    through: int
    orders: list[Any] | None = None
    more: bool = False


class AckMessage(msgspec.Struct, tag_field="type", tag="ack", omit_defaults=True):
    results: AckResults
    id: Tag = None


class AuthenticatedMessage(
    msgspec.Struct, tag_field="type", tag="authenticated", omit_defaults=True
):
    user: str
    scopes: list[str]
    id: Tag = None


class CancelOnDisconnectMessage(
    msgspec.Struct, tag_field="type", tag="cancel_on_disconnect", omit_defaults=True
):
    enabled: bool
    markets: list[str]
    id: Tag = None


class DisconnectedMessage(msgspec.Struct, tag_field="type", tag="taken_for_disconnected"):
    """The venue lost sight of this connection and cancels its orders in ``markets``, though it
    lives. Cancel-on-disconnect stays in force."""

    markets: list[str]


class PongMessage(msgspec.Struct, tag_field="type", tag="pong", omit_defaults=True):
    time: str
    id: Tag = None


class ErrorMessage(msgspec.Struct, tag_field="type", tag="error", omit_defaults=True, kw_only=True):
    """A message that could not be carried out; ``id`` is its tag. ``retry_after`` is seconds."""

    code: str
    status: int
    title: str
    detail: str
    field: str | None = None
    retry_after: float | None = None
    id: Tag = None


class ClosingMessage(msgspec.Struct, tag_field="type", tag="closing"):
    """The last message: the connection is closed with this code as its reason."""

    code: str
    detail: str


def text(message: msgspec.Struct) -> str:
    """The JSON text of a message."""
    return _encode(message).decode()


def error_text(problem: Problem, tag: Tag) -> str:
    return text(
        ErrorMessage(
            code=problem.code.code,
            status=problem.status,
            title=problem.code.title,
            detail=problem.detail,
            field=problem.field,
            retry_after=problem.retry_after,
            id=tag,
        )
    )


def pong_text(tag: Tag) -> str:
    return text(PongMessage(format_time(now()), tag))


def heartbeat_text(channel: str, market: str, *, sequence: int, through: int) -> str:
    return text(HeartbeatMessage(channel, market, sequence, sequence, through, format_time(now())))

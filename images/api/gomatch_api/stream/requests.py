"""What a client may say on the stream, as strict structs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gomatch_api import codes
from gomatch_api.problems import Problem, ProblemBody
from gomatch_api.requests import AmendItem, CancelItem, NewOrderRequest
from gomatch_api.stream.codes import UNKNOWN_CHANNEL
from gomatch_api.strict_json import decode

Tag = Annotated[str, msgspec.Meta(max_length=64)] | int | None
"""The client's own name for a request; comes back with the answer."""

Symbol = Annotated[str, msgspec.Meta(max_length=40)]

CHANNELS = ("orders", "trades", "depth", "ticker")


class _Request(
    msgspec.Struct,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="op",
    gc=False,
):
    id: Tag = None


class Auth(_Request, tag="auth"):
    token: Annotated[str, msgspec.Meta(max_length=512)]


class Subscribe(_Request, tag="subscribe"):
    """``from`` (orders only): the sequence up to which the client has everything."""

    channel: Annotated[str, msgspec.Meta(max_length=40)]
    market: Symbol
    from_: Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))] | None = msgspec.field(
        default=None, name="from"
    )


class Unsubscribe(_Request, tag="unsubscribe"):
    channel: Annotated[str, msgspec.Meta(max_length=40)]
    market: Symbol


class Ping(_Request, tag="ping"):
    pass


class Place(NewOrderRequest, tag_field="op", tag="place"):
    """A new order with the fields of POST /v1/orders; ``wait`` asks for its result."""

    id: Tag = None
    wait: bool | None = None


class Cancel(_Request, tag="cancel"):
    """Exactly one of ``order_id`` and ``client_order_id`` names the order."""

    order_id: str | None = None
    client_order_id: str | None = None
    request_id: str | None = None
    wait: bool | None = None

    def item(self) -> CancelItem:
        return CancelItem(
            id=self.order_id, client_order_id=self.client_order_id, request_id=self.request_id
        )


class Amend(_Request, tag="amend"):
    """Exactly one of ``order_id`` and ``client_order_id`` names the order."""

    order_id: str | None = None
    client_order_id: str | None = None
    request_id: str | None = None
    quantity: str | None = None
    price: str | None = None
    display_quantity: str | None = None
    stop_price: str | None = None
    expires_at: str | None = None
    wait: bool | None = None

    def item(self) -> AmendItem:
        return AmendItem(
            id=self.order_id,
            client_order_id=self.client_order_id,
            request_id=self.request_id,
            quantity=self.quantity,
            price=self.price,
            display_quantity=self.display_quantity,
            stop_price=self.stop_price,
            expires_at=self.expires_at,
        )


class Batch(_Request, tag="batch"):
    """``items`` as in POST /v1/orders/batch; each is checked on its own."""

    items: msgspec.Raw
    wait: bool | None = None


class CancelAll(_Request, tag="cancel_all"):
    market: Symbol
    request_id: str | None = None
    wait: bool | None = None


class CancelOnDisconnect(_Request, tag="cancel_on_disconnect"):
    """Without ``markets``: all of them."""

    markets: Annotated[list[Symbol], msgspec.Meta(max_length=1_000)] | None = None
    enabled: bool | None = None


StreamRequest = (
    Auth
    | Subscribe
    | Unsubscribe
    | Ping
    | Place
    | Cancel
    | Amend
    | Batch
    | CancelAll
    | CancelOnDisconnect
)


class _TagOnly(msgspec.Struct, gc=False):
    id: Tag = None


_decoder: msgspec.json.Decoder[StreamRequest] = msgspec.json.Decoder(StreamRequest)
_tag_decoder = msgspec.json.Decoder(_TagOnly)


def parse_request(body: bytes) -> StreamRequest:
    """Raises Problem."""
    return decode(_decoder, body)


def tag_of(body: bytes) -> str | int | None:
    """The tag of a message that could not be read otherwise, if it can be told."""
    try:
        return _tag_decoder.decode(body).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def of_message(problem: ProblemBody) -> ProblemBody:
    """What a batch item and a path call `id` is `order_id` in a message, whose `id` is its tag."""
    return msgspec.structs.replace(
        problem,
        field="order_id" if problem.field == "id" else problem.field,
        detail=problem.detail.replace("`id`", "`order_id`"),
    )


def check_channel(request: Subscribe | Unsubscribe) -> None:
    """Raises Problem."""
    if request.channel not in CHANNELS:
        raise Problem(UNKNOWN_CHANNEL, f"Channels are {', '.join(CHANNELS)}.", field="channel")
    if isinstance(request, Subscribe) and request.from_ is not None and request.channel != "orders":
        raise Problem(
            codes.FIELD_NOT_ALLOWED, "Only `orders` goes on `from` a sequence.", field="from"
        )

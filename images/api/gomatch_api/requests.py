"""The JSON requests of order entry, REST and WebSocket alike, as strict structs.

All defaults are None, so that a decoded request encodes to exactly the keys that were given.
Values are checked and turned into engine commands in ``gomatch_api.transform``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gomatch.messages.market import SelfTradeName
from gomatch_api import codes
from gomatch_api.problems import Problem
from gomatch_api.strict_json import check_well_formed, decode, problem_of

BATCH_LIMIT = 500
CLIENT_ID_PATTERN = "^[A-Za-z0-9._:-]{1,64}$"
"""Of client order ids and request ids; a JSON Schema pattern, too."""

SideName = Literal["buy", "sell"]
TypeName = Literal["limit", "market", "stop", "stop_limit"]
TimeInForceName = Literal["gtc", "ioc", "fok", "gtd"]
StateName = Literal["running", "auction", "cancel_only", "halted", "closed"]


class _Strict(
    msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    pass


class NewOrderRequest(_Strict):
    """A new order. Prices and quantities are decimal strings; ``expires_at`` is RFC 3339."""

    market: str
    side: SideName
    type: TypeName
    quantity: str
    price: str | None = None
    stop_price: str | None = None
    time_in_force: TimeInForceName | None = None
    display_quantity: str | None = None
    post_only: bool | None = None
    self_trade_prevention: SelfTradeName | None = None
    expires_at: str | None = None
    client_order_id: str | None = None


class AmendRequest(_Strict):
    """What to change of an order; what is left out stays. ``quantity`` is the new total."""

    quantity: str | None = None
    price: str | None = None
    display_quantity: str | None = None
    stop_price: str | None = None
    expires_at: str | None = None
    request_id: str | None = None


class NewItem(NewOrderRequest, tag_field="action", tag="new"):
    """A new order in a batch."""


class CancelItem(_Strict, tag_field="action", tag="cancel"):
    """A cancel in a batch: exactly one of ``id`` and ``client_order_id`` names the order."""

    id: str | None = None
    client_order_id: str | None = None
    request_id: str | None = None


class AmendItem(AmendRequest, tag_field="action", tag="amend"):
    """An amend in a batch: exactly one of ``id`` and ``client_order_id`` names the order."""

    id: str | None = None
    client_order_id: str | None = None


Item = NewItem | CancelItem | AmendItem
AnyItem = NewOrderRequest | CancelItem | AmendItem


class BatchRequest(_Strict):
    items: list[Item]


class StateRequest(_Strict):
    """An administrator's request to set a market's trading state."""

    state: StateName
    request_id: str | None = None


class _RawBatch(_Strict):
    items: list[msgspec.Raw]


_encode = msgspec.json.Encoder().encode
_new = msgspec.json.Decoder(NewOrderRequest)
_amend = msgspec.json.Decoder(AmendRequest)
_state = msgspec.json.Decoder(StateRequest)
_batch = msgspec.json.Decoder(BatchRequest)
_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_items = msgspec.json.Decoder(list[Item])
_raw_batch = msgspec.json.Decoder(_RawBatch)
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


def parse_new(body: bytes) -> NewOrderRequest:
    """Raises Problem."""
    return decode(_new, body)


def parse_amend(body: bytes) -> AmendRequest:
    """Raises Problem."""
    return decode(_amend, body)


def parse_state(body: bytes) -> StateRequest:
    """Raises Problem."""
    return decode(_state, body)


def parse_item(raw: bytes | Mapping[str, Any]) -> Item:
    """One item with its ``action``, from JSON or from an object decoded before (in which
    duplicate keys can no longer be seen). Raises Problem."""
    if isinstance(raw, bytes):
        return decode(_item, raw)
    try:
        item: Item = msgspec.convert(raw, Item)
        return item
    except msgspec.ValidationError as error:
        raise problem_of(error) from error


def parse_batch(body: bytes) -> list[Item | Problem]:
    """The items of ``{"items": [...]}``; an item that is wrong is returned as its Problem.

    Raises Problem when the body as a whole is wrong.
    """
    try:
        return _sized(decode(_batch, body).items)
    except Problem as problem:
        if problem.code is codes.BATCH_SIZE or problem.code is codes.MALFORMED_JSON:
            raise
    return _one_by_one(_lenient(_raw_batch, body).items)


def parse_items(body: bytes) -> list[Item | Problem]:
    """As parse_batch, from the JSON array alone."""
    try:
        return _sized(decode(_items, body))
    except Problem as problem:
        if problem.code is codes.BATCH_SIZE or problem.code is codes.MALFORMED_JSON:
            raise
    return _one_by_one(_lenient(_raw_items, body))


def _lenient(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The envelope alone; its items are checked one by one afterwards. They are kept verbatim,
    so that a colon more in the body than in the envelope is a key given twice outside of them."""
    check_well_formed(body)
    try:
        envelope = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise problem_of(error) from error
    if body.count(b":") != _encode(envelope).count(b":"):
        raise Problem(codes.DUPLICATE_KEY, "`items` is given twice.", field="items")
    return envelope


def _sized(items: list[Any]) -> list[Any]:
    if not 1 <= len(items) <= BATCH_LIMIT:
        raise Problem(
            codes.BATCH_SIZE,
            f"A batch has 1 to {BATCH_LIMIT} items; this one has {len(items)}.",
            field="items",
        )
    return items


def _one_by_one(raws: list[msgspec.Raw]) -> list[Item | Problem]:
    items: list[Item | Problem] = []
    for raw in _sized(raws):
        try:
            items.append(decode(_item, bytes(raw)))
        except Problem as problem:
            items.append(problem)
    return items

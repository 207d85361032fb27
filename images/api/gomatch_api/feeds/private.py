"""Events as their owner sees them: one JSON object each, never the other side of a trade."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from gomatch.engine import (
    Accepted,
    AllCancelled,
    Amended,
    Cancelled,
    Event,
    Expired,
    OrderType,
    Rejected,
    Rested,
    SelfTrade,
    Side,
    TimeInForce,
    Traded,
    Triggered,
)
from gomatch_api.feeds.texts import MarketTexts
from gomatch_api.times import format_time

SIDE = {side: side.name.lower() for side in Side}
OPPOSITE = {Side.BUY: SIDE[Side.SELL], Side.SELL: SIDE[Side.BUY]}
TYPE = {kind: kind.name.lower() for kind in OrderType}
TIME_IN_FORCE = {value: value.name.lower() for value in TimeInForce}
SELF_TRADE = {mode: None if mode is SelfTrade.DEFAULT else mode.name.lower() for mode in SelfTrade}


class PrivateEvent(msgspec.Struct, tag_field="event", gc=False):
    """``sequence`` is the event's place in its market; ``prev`` the sequence of the event before
    it on the same stream. Structs are mutable because ``prev`` differs by subscription."""

    sequence: int
    prev: int
    time: str


class OrderAccepted(PrivateEvent, tag="accepted", gc=False):
    order_id: str
    client_order_id: str | None
    side: str
    type: str
    time_in_force: str
    quantity: str
    price: str | None
    stop_price: str | None
    display_quantity: str | None
    expires_at: str | None
    self_trade_prevention: str | None
    post_only: bool


class OrderRested(PrivateEvent, tag="rested", gc=False):
    order_id: str
    side: str
    price: str
    displayed: str
    remaining: str


class OrderFilled(PrivateEvent, tag="fill", gc=False):
    id: int
    order_id: str
    side: str
    role: str
    price: str
    quantity: str
    remaining: str
    fee: str
    fee_asset: str


class OrderCancelled(PrivateEvent, tag="cancelled", gc=False):
    order_id: str
    quantity: str
    remaining: str
    reason: str
    number: int


class OrderAmended(PrivateEvent, tag="amended", gc=False):
    order_id: str
    quantity: str
    remaining: str
    price: str | None
    stop_price: str | None
    display_quantity: str | None
    expires_at: str | None
    kept_priority: bool
    number: int


class OrderTriggered(PrivateEvent, tag="triggered", gc=False):
    order_id: str


class OrderExpired(PrivateEvent, tag="expired", gc=False):
    order_id: str
    quantity: str


class RequestRejected(PrivateEvent, tag="rejected", gc=False):
    order_id: str | None
    reason: str
    number: int


class AllOrdersCancelled(PrivateEvent, tag="all_cancelled", gc=False):
    count: int
    number: int


def _accepted(e: Accepted, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    order = e.order
    return OrderAccepted(
        sequence,
        0,
        time,
        f"{texts.prefix}{e.number}",
        order.client_order_id or None,
        SIDE[order.side],
        TYPE[order.type],
        TIME_IN_FORCE[order.time_in_force],
        texts.quantities[order.quantity],
        texts.prices[order.price] if order.price else None,
        texts.prices[order.stop_price] if order.stop_price else None,
        texts.quantities[order.display] if order.display else None,
        format_time(order.expiry) if order.expiry else None,
        SELF_TRADE[order.self_trade],
        order.post_only,
    )


def _rested(e: Rested, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderRested(
        sequence,
        0,
        time,
        f"{texts.prefix}{e.order}",
        SIDE[e.side],
        texts.prices[e.price],
        texts.quantities[e.displayed],
        texts.quantities[e.remaining],
    )


def _maker_fill(e: Traded, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderFilled(
        sequence,
        0,
        time,
        sequence,
        f"{texts.prefix}{e.maker_order}",
        OPPOSITE[e.taker_side],
        "maker",
        texts.prices[e.price],
        texts.quantities[e.quantity],
        texts.quantities[e.maker_remaining],
        texts.fee(e.maker_fee),
        texts.quote,
    )


def _taker_fill(e: Traded, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderFilled(
        sequence,
        0,
        time,
        sequence,
        f"{texts.prefix}{e.taker_order}",
        SIDE[e.taker_side],
        "taker",
        texts.prices[e.price],
        texts.quantities[e.quantity],
        texts.quantities[e.taker_remaining],
        texts.fee(e.taker_fee),
        texts.quote,
    )


def _cancelled(e: Cancelled, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderCancelled(
        sequence,
        0,
        time,
        f"{texts.prefix}{e.order}",
        texts.quantities[e.quantity],
        texts.quantities[e.remaining],
        e.reason.value,
        e.number,
    )


def _amended(e: Amended, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderAmended(
        sequence,
        0,
        time,
        f"{texts.prefix}{e.order}",
        texts.quantities[e.quantity],
        texts.quantities[e.remaining],
        texts.optional_price(e.price),
        texts.optional_price(e.stop_price),
        texts.quantities[e.display] if e.display else None,
        format_time(e.expiry) if e.expiry else None,
        e.kept_priority,
        e.number,
    )


def _triggered(e: Triggered, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return OrderTriggered(sequence, 0, time, f"{texts.prefix}{e.order}")


def _expired(e: Expired, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    quantity = texts.quantities[e.quantity]
    return OrderExpired(sequence, 0, time, f"{texts.prefix}{e.order}", quantity)


def _rejected(e: Rejected, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    order_id = f"{texts.prefix}{e.order}" if e.order else None
    return RequestRejected(sequence, 0, time, order_id, e.reason.value, e.number)


def _all_cancelled(e: AllCancelled, texts: MarketTexts, sequence: int, time: str) -> PrivateEvent:
    return AllOrdersCancelled(sequence, 0, time, e.count, e.number)


_Maker = Callable[[Any, MarketTexts, int, str], PrivateEvent]

_OF_ONE_USER: dict[type, _Maker] = {
    Rested: _rested,
    Cancelled: _cancelled,
    Amended: _amended,
    Triggered: _triggered,
    Expired: _expired,
    Rejected: _rejected,
    AllCancelled: _all_cancelled,
}


def private_events(
    events: Sequence[Event],
    *,
    first_sequence: int,
    time: int,
    users: Collection[int],
    texts: MarketTexts,
) -> dict[int, list[PrivateEvent]]:
    """What concerns each of ``users``, in order; users whom nothing concerns are left out.

    An order that trades with another of its own user's gives two fills of the same sequence,
    the maker's first. ``prev`` is 0 until the stream fills it in.
    """
    found: defaultdict[int, list[PrivateEvent]] = defaultdict(list)
    time_text = format_time(time)
    sequence = first_sequence - 1
    for event in events:
        sequence += 1
        # Compared by identity, which mypy does not follow: this runs for every event of a market.
        kind = type(event)
        if kind is Accepted:
            user = event.order.user  # type: ignore[union-attr]
            if user in users:
                view = _accepted(event, texts, sequence, time_text)  # type: ignore[arg-type]
                found[user].append(view)
        elif kind is Traded:
            maker, taker = event.maker_user, event.taker_user  # type: ignore[union-attr]
            if maker in users:
                view = _maker_fill(event, texts, sequence, time_text)  # type: ignore[arg-type]
                found[maker].append(view)
            if taker in users:
                view = _taker_fill(event, texts, sequence, time_text)  # type: ignore[arg-type]
                found[taker].append(view)
        else:
            make = _OF_ONE_USER.get(kind)
            if make is not None:
                user = event.user  # type: ignore[union-attr]
                if user in users:
                    found[user].append(make(event, texts, sequence, time_text))
    return found

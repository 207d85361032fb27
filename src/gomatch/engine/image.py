"""Images: the engine's whole state as plain values, from which it is restored exactly."""

from __future__ import annotations

import msgspec

from gomatch.engine.types import (
    MarketConfig,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
    TradingState,
)


class OrderImage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One open order. Its total is ``quantity``; ``filled`` + ``remaining`` + cancelled make it.

    ``priority`` 0 means that it is not in the book: a stop that waits. ``displayed`` is the part
    of ``remaining`` that the book shows now; ``display`` the size of a slice (0: all of it).
    ``value`` is the sum of price * quantity over its fills. ``triggered`` marks a former stop.
    """

    number: int
    user: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    self_trade: SelfTrade
    post_only: bool
    price: int
    stop_price: int
    display: int
    expiry: int
    quantity: int
    remaining: int
    filled: int
    displayed: int
    value: int
    priority: int
    triggered: bool
    client_order_id: str


class ImageHeader(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Everything but the orders. ``applied`` is the number of the last command applied,
    ``sequence`` that of the last event. ``next_priority`` is the next to be given."""

    time: int
    applied: int
    sequence: int
    state: TradingState
    last_price: int
    next_priority: int
    config: MarketConfig


class Image(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``orders`` are sorted by number; the same state always gives an equal image."""

    header: ImageHeader
    orders: list[OrderImage]

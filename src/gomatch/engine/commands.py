"""Commands: the engine's whole input. Each carries no number; its place in the market's
numbered sequence gives it one, and an order's number is the number of its NewOrder."""

from __future__ import annotations

import msgspec

from gomatch.engine.types import (
    MarketConfig,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
    TradingState,
)


class NewOrder(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=1):
    """A new order. Zero means "not given" for price, stop_price, display and expiry.

    An iceberg is a limit order with 0 < display < quantity.
    """

    user: int
    side: Side
    type: OrderType
    quantity: int
    price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    stop_price: int = 0
    display: int = 0
    expiry: int = 0
    """Microseconds since the epoch; GTD only."""
    self_trade: SelfTrade = SelfTrade.DEFAULT
    post_only: bool = False
    client_order_id: str = ""


class CancelOrder(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=2):
    """Cancel one order. ``user`` 0 is the venue itself and may cancel anybody's."""

    user: int
    order: int


class AmendOrder(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=3):
    """Amend an open order; zero leaves a field as it is. ``quantity`` is the new total,
    what is filled already included."""

    user: int
    order: int
    quantity: int = 0
    price: int = 0
    display: int = 0
    stop_price: int = 0
    expiry: int = 0


class CancelAll(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=4):
    """Cancel all open orders of a user (``user`` 0: of everybody), stops included."""

    user: int
    reason: Reason = Reason.USER


class SetState(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=5):
    state: TradingState
    reason: Reason = Reason.REQUESTED


class Configure(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=6):
    config: MarketConfig


Command = NewOrder | CancelOrder | AmendOrder | CancelAll | SetState | Configure

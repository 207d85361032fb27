"""Events: the engine's whole output, in order. An event's sequence number is its place in the
market's event stream, contiguous from 1; it is not stored in the event. A trade's id is the
sequence of its Traded event. Every command yields at least one event."""

from __future__ import annotations

import msgspec

from gomatch.engine.commands import NewOrder
from gomatch.engine.types import MarketConfig, Reason, Side, TradingState


class Accepted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=1):
    """The order passed all checks at entry. ``number`` is its id in this market."""

    number: int
    order: NewOrder


class Rested(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=2):
    """The order, or an iceberg's next slice, joined the end of its price level."""

    order: int
    user: int
    side: Side
    price: int
    displayed: int
    remaining: int
    priority: int


class Traded(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=3):
    """A fill at the maker's price. Fees are in units of tick * lot of the quote asset, rounded
    up (away from the user). In an uncross the later of the two orders is the taker."""

    maker_order: int
    maker_user: int
    taker_order: int
    taker_user: int
    taker_side: Side
    price: int
    quantity: int
    maker_remaining: int
    taker_remaining: int
    maker_fee: int
    taker_fee: int


class Cancelled(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=4):
    """``quantity`` lots were cancelled; ``remaining`` is above zero only where self-trade
    prevention by decrement reduced an order. ``number`` is the command that caused it."""

    number: int
    order: int
    user: int
    quantity: int
    remaining: int
    reason: Reason


class Amended(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=5):
    """The order as it stands after the amend, before any match that follows from it."""

    number: int
    order: int
    user: int
    quantity: int
    remaining: int
    price: int
    display: int
    stop_price: int
    expiry: int
    kept_priority: bool


class Triggered(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=6):
    """A stop was reached and runs now as a new incoming order."""

    order: int
    user: int


class Expired(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=7):
    order: int
    user: int
    quantity: int


class Rejected(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=8):
    """The command ``number`` changed nothing. ``order`` is the order that it spoke of: its own
    number for a NewOrder, the target of a cancel or amend, 0 for others. A triggered stop that
    is refused is Cancelled, not Rejected."""

    number: int
    order: int
    user: int
    reason: Reason


class StateChanged(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=9):
    """``number`` is the command in which it happened, a price band's halt included."""

    number: int
    state: TradingState
    reason: Reason


class Configured(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=10):
    number: int
    config: MarketConfig


class AllCancelled(
    msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=11
):
    """Ends a CancelAll: ``count`` orders were cancelled by it."""

    number: int
    user: int
    count: int


class Uncrossed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag=12):
    """The auction ended at ``price`` with ``volume`` lots traded (both 0: nothing crossed)."""

    number: int
    price: int
    volume: int


Event = (
    Accepted
    | Rested
    | Traded
    | Cancelled
    | Amended
    | Triggered
    | Expired
    | Rejected
    | StateChanged
    | Configured
    | AllCancelled
    | Uncrossed
)

"""One order as the engine holds it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from gomatch.engine.image import OrderImage
from gomatch.engine.types import OrderType, SelfTrade, Side, TimeInForce

if TYPE_CHECKING:
    from gomatch.engine.book import Level


class Closing(IntEnum):
    """How an order ended: by the trade, the cancel or the expiry that took its last lots."""

    FILLED = 1
    CANCELLED = 2
    EXPIRED = 3


class Order:
    """Everything about one accepted order. Read it freely; only the engine writes it.

    ``quantity`` is the total that was asked for, after amends; ``filled`` + ``remaining`` + what
    self-trade prevention took make it while the order is open. ``displayed`` is the part of
    ``remaining`` that the book shows, ``priority`` its place in time (0: never rested).
    ``value`` is the sum of price * quantity over its fills.

    It has no ``__init__``: the hot path allocates it and sets every slot in line, which costs a
    third of a constructor call.
    """

    __slots__ = (
        "client_order_id",
        "closing",
        "display",
        "displayed",
        "expiry",
        "filled",
        "level",
        "next",
        "number",
        "open",
        "post_only",
        "previous",
        "price",
        "priority",
        "quantity",
        "remaining",
        "self_trade",
        "side",
        "stop_price",
        "time_in_force",
        "triggered",
        "type",
        "user",
        "value",
    )

    number: int
    user: int
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    self_trade: SelfTrade
    post_only: bool
    client_order_id: str
    price: int
    stop_price: int
    display: int
    expiry: int
    quantity: int
    remaining: int
    filled: int
    value: int
    displayed: int
    priority: int
    triggered: bool
    open: bool
    closing: Closing | None
    level: Level | None
    previous: Order | None
    next: Order | None

    @property
    def waiting(self) -> bool:
        """Whether this is a stop that has not been triggered."""
        return self.open and self.type >= OrderType.STOP and not self.triggered

    def image(self) -> OrderImage:
        """The order as a plain value, from which ``order_from_image`` makes it again."""
        return OrderImage(
            self.number,
            self.user,
            self.side,
            self.type,
            self.time_in_force,
            self.self_trade,
            self.post_only,
            self.price,
            self.stop_price,
            self.display,
            self.expiry,
            self.quantity,
            self.remaining,
            self.filled,
            self.displayed,
            self.value,
            self.priority,
            self.triggered,
            self.client_order_id,
        )


def order_from_image(image: OrderImage) -> Order:
    """An open order that is not yet part of any book."""
    order = Order()
    order.number = image.number
    order.user = image.user
    order.side = image.side
    order.type = image.type
    order.time_in_force = image.time_in_force
    order.self_trade = image.self_trade
    order.post_only = image.post_only
    order.client_order_id = image.client_order_id
    order.price = image.price
    order.stop_price = image.stop_price
    order.display = image.display
    order.expiry = image.expiry
    order.quantity = image.quantity
    order.remaining = image.remaining
    order.filled = image.filled
    order.value = image.value
    order.displayed = image.displayed
    order.priority = image.priority
    order.triggered = image.triggered
    order.open = True
    order.closing = None
    order.level = None
    order.previous = None
    order.next = None
    return order

"""One order as the engine holds it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from gomatch.engine.commands import NewOrder
from gomatch.engine.image import OrderImage
from gomatch.engine.types import OrderType, SelfTrade, Side, TimeInForce

if TYPE_CHECKING:
    from gomatch.engine.levels import Level


class Closing(IntEnum):
    """How an order ended: by the trade, the cancel or the expiry that took its last lots."""

    FILLED = 1
    CANCELLED = 2
    EXPIRED = 3


class Order:
    """Everything about one accepted order. Read it freely; only the engine writes it.

    ``terms`` are what was asked for, with every amend worked in; reading them there is cheaper
    than by the properties of the same names. ``filled`` + ``remaining`` + what was cancelled make
    ``quantity``. ``displayed`` is the part of ``remaining`` that the book shows, ``priority`` its
    place in time (0: never rested), ``value`` the sum of price * quantity over its fills.
    ``triggered`` marks a former stop, ``closing`` is None while the order is open.

    It has no ``__init__``: the hot path allocates it and sets every slot in line, which costs a
    third of a constructor call.
    """

    __slots__ = (
        "closing",
        "displayed",
        "filled",
        "level",
        "next",
        "number",
        "previous",
        "priority",
        "remaining",
        "terms",
        "triggered",
        "value",
    )

    number: int
    terms: NewOrder
    remaining: int
    filled: int
    value: int
    displayed: int
    priority: int
    triggered: bool
    closing: Closing | None
    level: Level | None
    previous: Order | None
    next: Order | None

    @property
    def open(self) -> bool:
        return self.closing is None

    @property
    def waiting(self) -> bool:
        """Whether this is a stop that has not been triggered."""
        return self.closing is None and self.terms.stop_price > 0 and not self.triggered

    @property
    def user(self) -> int:
        return self.terms.user

    @property
    def side(self) -> Side:
        return self.terms.side

    @property
    def type(self) -> OrderType:
        return self.terms.type

    @property
    def quantity(self) -> int:
        """The total in lots, after amends."""
        return self.terms.quantity

    @property
    def price(self) -> int:
        """The limit in ticks; 0 for none."""
        return self.terms.price

    @property
    def time_in_force(self) -> TimeInForce:
        return self.terms.time_in_force

    @property
    def stop_price(self) -> int:
        """In ticks; 0 for none. A triggered stop keeps it."""
        return self.terms.stop_price

    @property
    def display(self) -> int:
        """The size of a slice in lots; 0 for all."""
        return self.terms.display

    @property
    def expiry(self) -> int:
        """In microseconds since the epoch; 0 for none."""
        return self.terms.expiry

    @property
    def self_trade(self) -> SelfTrade:
        return self.terms.self_trade

    @property
    def post_only(self) -> bool:
        return self.terms.post_only

    @property
    def client_order_id(self) -> str:
        return self.terms.client_order_id

    def image(self) -> OrderImage:
        """The open order as a plain value, from which ``restore_order`` makes it again."""
        terms = self.terms
        return OrderImage(
            self.number,
            terms.user,
            terms.side,
            terms.type,
            terms.time_in_force,
            terms.self_trade,
            terms.post_only,
            terms.price,
            terms.stop_price,
            terms.display,
            terms.expiry,
            terms.quantity,
            self.remaining,
            self.filled,
            self.displayed,
            self.value,
            self.priority,
            self.triggered,
            terms.client_order_id,
        )


def new_order(number: int, terms: NewOrder) -> Order:
    """An order that nothing has happened to yet."""
    order = Order()
    order.number = number
    order.terms = terms
    order.remaining = terms.quantity
    order.filled = order.value = order.displayed = order.priority = 0
    order.triggered = False
    order.closing = order.level = order.previous = order.next = None
    return order


def restore_order(image: OrderImage) -> Order:
    """The open order that gave ``image``, not yet part of any book."""
    terms = NewOrder(
        user=image.user,
        side=image.side,
        type=image.type,
        quantity=image.quantity,
        price=image.price,
        time_in_force=image.time_in_force,
        stop_price=image.stop_price,
        display=image.display,
        expiry=image.expiry,
        self_trade=image.self_trade,
        post_only=image.post_only,
        client_order_id=image.client_order_id,
    )
    order = new_order(image.number, terms)
    order.remaining = image.remaining
    order.filled = image.filled
    order.value = image.value
    order.displayed = image.displayed
    order.priority = image.priority
    order.triggered = image.triggered
    return order

"""One order as the engine holds it."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from gomatch.engine.commands import NewOrder
from gomatch.engine.image import OrderImage
from gomatch.engine.types import OrderType, SelfTrade, Side, TimeInForce

TRIGGERED = -1


class Closing(IntEnum):
    """How an order ended: by the trade, the cancel or the expiry that took its last lots."""

    FILLED = 1
    CANCELLED = 2
    EXPIRED = 3


class Order(msgspec.Struct, gc=False, eq=False):
    """Everything about one accepted order. Read it freely; only the engine writes it.

    ``terms`` are what was asked for, with every amend worked in; reading them there is cheaper
    than by the properties of the same names. ``filled`` + ``remaining`` + ``cancelled`` make
    ``quantity``. ``displayed`` is the part of ``remaining`` that the book shows, ``priority`` its
    place in time (0: never rested; TRIGGERED: a stop that was triggered and has not rested),
    ``value`` the sum of price * quantity over its fills. ``closing`` is None while it is open.
    """

    number: int
    terms: NewOrder
    remaining: int
    displayed: int = 0
    priority: int = 0
    value: int = 0
    cancelled: int = 0
    """What self-trade prevention, a cancel or the expiry took, in lots."""
    closing: Closing | None = None

    @property
    def open(self) -> bool:
        return self.closing is None

    @property
    def waiting(self) -> bool:
        """Whether this is a stop that has not been triggered."""
        return self.closing is None and self.priority == 0 and self.terms.stop_price > 0

    @property
    def triggered(self) -> bool:
        """Whether this is a former stop."""
        return self.priority != 0 and self.terms.stop_price > 0

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
    def filled(self) -> int:
        """Lots traded."""
        return self.terms.quantity - self.remaining - self.cancelled

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
    return Order(
        number=image.number,
        terms=terms,
        remaining=image.remaining,
        displayed=image.displayed,
        priority=image.priority,
        value=image.value,
        cancelled=image.quantity - image.filled - image.remaining,
    )

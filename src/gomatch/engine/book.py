"""The book: both sides, open orders by number and by user, and what changed."""

from __future__ import annotations

from gomatch.engine.events import Event, Rested
from gomatch.engine.levels import BookSide, Level
from gomatch.engine.members import BUY
from gomatch.engine.order import Closing, Order
from gomatch.engine.types import MarketConfig, Side

UNBOUNDED = 1 << 63
"""A price beyond every price."""


class Book:
    """Both sides and all open orders, waiting stops included, with what trading needs to know:
    the configuration, the last price and the price band of the command at hand."""

    __slots__ = (
        "asks",
        "bids",
        "config",
        "high",
        "last_price",
        "low",
        "next_priority",
        "orders",
        "touched",
        "users",
    )

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        self.orders: dict[int, Order] = {}
        """Open orders in rising order of their numbers."""
        self.users: dict[int, dict[int, Order]] = {}
        """The same by user; a user without an open order is not in it."""
        self.touched: dict[int, Order] = {}
        """Orders that changed since the last drain."""
        self.next_priority = 1
        self.last_price = 0
        self.low = 0
        self.high = UNBOUNDED

    def side(self, side: Side) -> BookSide:
        return self.bids if side is BUY else self.asks

    @property
    def crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        bids, asks = self.bids.heap, self.asks.heap
        return bool(bids and asks and -bids[0] >= asks[0])

    def register(self, order: Order) -> None:
        """Count the order among the open ones; registering it again changes nothing."""
        self.orders[order.number] = order
        self.users.setdefault(order.terms.user, {})[order.number] = order

    def rest(self, order: Order, out: list[Event]) -> None:
        """Show the order, or its first slice, at the end of its level with a new priority."""
        terms = order.terms
        remaining = order.remaining
        order.displayed = displayed = min(terms.display or remaining, remaining)
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        self.side(terms.side).append(order)
        self.touched[order.number] = order
        out.append(
            Rested(
                order.number, terms.user, terms.side, terms.price, displayed, remaining, priority
            )
        )

    def refill(self, order: Order, level: Level, out: list[Event]) -> None:
        """Show the next slice of the first order of ``level``, whose last one is used up."""
        terms = order.terms
        remaining = order.remaining
        order.displayed = displayed = min(terms.display, remaining)
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        level.displayed += displayed
        level.hidden -= displayed
        level.rotate()
        out.append(
            Rested(
                order.number, terms.user, terms.side, terms.price, displayed, remaining, priority
            )
        )

    def withdraw(self, order: Order) -> None:
        """Take the order off its level, if it rests; it stays registered."""
        level = order.level
        if level is not None:
            self.side(order.terms.side).remove(order, level)
            order.displayed = 0

    def close(self, order: Order, closing: Closing) -> None:
        """End the order, wherever it is. Its ``remaining`` becomes 0."""
        self.withdraw(order)
        number, user = order.number, order.terms.user
        if self.orders.pop(number, None) is not None:
            owned = self.users[user]
            del owned[number]
            if not owned:
                del self.users[user]
        order.remaining = 0
        order.closing = closing
        self.touched[number] = order

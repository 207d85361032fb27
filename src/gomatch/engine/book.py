"""The book: both sides, open orders by number and by user, and what changed."""

from __future__ import annotations

from copy import copy

from gomatch.engine.events import Event, Rested
from gomatch.engine.levels import BookSide, Level
from gomatch.engine.members import BUY
from gomatch.engine.order import Closing, Order
from gomatch.engine.timers import UNBOUNDED
from gomatch.engine.types import MarketConfig, Side

TIDY_MASK = 63
"""A user's numbers are looked at after so many (and one) more of the user's orders closed."""
USERS_KEPT = 1024
"""Users that are kept before those without open orders are forgotten."""


class Book:
    """Both sides and all open orders, waiting stops included, with what trading needs to know:
    the configuration, the last price and the price band of the command at hand."""

    __slots__ = (
        "asks",
        "banded",
        "bids",
        "config",
        "high",
        "last_price",
        "low",
        "next_priority",
        "orders",
        "touched",
        "users",
        "users_gone",
        "users_kept",
    )

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        self.orders: dict[int, Order] = {}
        """Open orders in rising order of their numbers."""
        self.users: dict[int, list[int]] = {}
        """Numbers of a user's open orders, rising; as many as ``users_gone`` says are closed."""
        self.users_gone: dict[int, int] = {}
        self.users_kept = USERS_KEPT
        self.touched: dict[int, Order] = {}
        """Orders that changed since the last drain."""
        self.next_priority = 1
        self.last_price = 0
        self.low = 0
        self.high = UNBOUNDED
        self.banded = False
        """Whether ``low`` and ``high`` are a price band."""

    def side(self, side: Side) -> BookSide:
        return self.bids if side is BUY else self.asks

    @property
    def crossed(self) -> bool:
        """Whether the best bid reaches the best ask."""
        bids, asks = self.bids.heap, self.asks.heap
        return bool(bids and asks and -bids[0] >= asks[0])

    def register(self, order: Order) -> None:
        """Count the order, which is not registered yet, among the open ones."""
        number, user = order.number, order.terms.user
        self.orders[number] = order
        owned = self.users.get(user)
        if owned is None:
            if len(self.users) >= self.users_kept:
                self._forget_users()
            owned = self.users[user] = []
            self.users_gone[user] = 0
        owned.append(number)

    def deregister(self, order: Order) -> None:
        """Count the order, which is registered, no more among the open ones."""
        del self.orders[order.number]
        user = order.terms.user
        self.users_gone[user] = gone = self.users_gone[user] + 1
        if not gone & TIDY_MASK:
            self.tidy_user(user)

    def tidy_user(self, user: int) -> None:
        """Drop the numbers of a user's closed orders once they are the larger part."""
        owned = self.users[user]
        if self.users_gone[user] * 2 > len(owned):
            owned[:] = filter(self.orders.__contains__, owned)
            self.users_gone[user] = 0

    def _forget_users(self) -> None:
        """Forget the users without an open order."""
        for user in [user for user, owned in self.users.items() if not self.count(user)]:
            del self.users[user], self.users_gone[user]
        self.users_kept = max(USERS_KEPT, 2 * len(self.users))

    def extremes(self) -> tuple[int, int, int]:
        """The highest price in ticks, the largest quantity in lots and the largest value traded of
        any open order; looks at them all."""
        highest = largest = value = 0
        for order in self.orders.values():
            terms = order.terms
            highest = max(highest, terms.price)
            largest = max(largest, terms.quantity)
            value = max(value, order.value)
        return highest, largest, value

    def count(self, user: int) -> int:
        """How many open orders the user has."""
        return len(self.users.get(user, ())) - self.users_gone.get(user, 0)

    def of_user(self, user: int) -> list[Order]:
        """The user's open orders by rising number."""
        orders = self.orders
        return [orders[number] for number in self.users.get(user, ()) if number in orders]

    def rest(self, order: Order, out: list[Event]) -> None:
        """Show the order, or its first slice, at the end of its level with a new priority."""
        number, terms, remaining = order.number, order.terms, order.remaining
        user, price, displayed = terms.user, terms.price, terms.display
        if not displayed or displayed > remaining:
            displayed = remaining
        if number not in self.orders:
            self.register(order)
        order.displayed = displayed
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        side = self.bids if terms.side is BUY else self.asks
        level = side.levels.get(price * side.sign)
        if level is None or not level.displayed:
            level = side.open_level(price)
        side.touched[price] = level
        level.queue.append(order)
        level.displayed += displayed
        level.hidden += remaining - displayed
        self.touched[number] = order
        out.append(Rested(number, user, terms.side, price, displayed, remaining, priority))

    def refill(self, order: Order, level: Level, out: list[Event]) -> None:
        """Show, at the end of ``level``, the next slice of an order whose last one is used up
        and which has left the front."""
        terms = order.terms
        remaining = order.remaining
        order.displayed = displayed = min(terms.display, remaining)
        order.priority = priority = self.next_priority
        self.next_priority = priority + 1
        level.displayed += displayed
        level.hidden -= displayed
        level.queue.append(order)
        out.append(
            Rested(
                order.number, terms.user, terms.side, terms.price, displayed, remaining, priority
            )
        )

    def move(self, order: Order) -> Order:
        """Take the order off its level; the order itself stays there as gone, and what is
        returned takes its place among the open ones."""
        moved = copy(order)
        self.side(order.terms.side).remove(order)
        moved.displayed = 0
        self.orders[order.number] = moved
        return moved

    def close(self, order: Order, closing: Closing) -> None:
        """End the order, wherever it is; what remains of it counts as cancelled."""
        if order.displayed:
            self.side(order.terms.side).remove(order)
        if order.number in self.orders:
            self.deregister(order)
        order.cancelled += order.remaining
        order.remaining = 0
        order.closing = closing
        self.touched[order.number] = order

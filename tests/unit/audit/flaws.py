"""Journals by hand: one that is sound, and for each kind of flaw the shortest ones that have it.

Buys belong to user 1, sells to user 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.engine import (
    Accepted,
    AllCancelled,
    Amended,
    Cancelled,
    Event,
    Expired,
    NewOrder,
    OrderType,
    Reason,
    Rested,
    Side,
    StateChanged,
    Traded,
    TradingState,
    Triggered,
    Uncrossed,
)

BUY, SELL = Side.BUY, Side.SELL


@dataclass(frozen=True)
class Flaw:
    kind: str
    what: str
    events: list[Event]


def accepted(
    number: int, side: Side, quantity: int, price: int, *, stop_price: int = 0, display: int = 0
) -> Accepted:
    if price:
        kind = OrderType.STOP_LIMIT if stop_price else OrderType.LIMIT
    else:
        kind = OrderType.STOP if stop_price else OrderType.MARKET
    order = NewOrder(int(side), side, kind, quantity, price, stop_price=stop_price, display=display)
    return Accepted(number, order)


def rested(
    order: int, side: Side, price: int, remaining: int, priority: int, *, shown: int = 0
) -> Rested:
    return Rested(order, int(side), side, price, shown or remaining, remaining, priority)


def resting(number: int, side: Side, quantity: int, price: int, priority: int) -> list[Event]:
    """A plain limit order that rests at once."""
    return [
        accepted(number, side, quantity, price),
        rested(number, side, price, quantity, priority),
    ]


def traded(
    maker: int, taker: int, taker_side: Side, price: int, quantity: int, left: tuple[int, int]
) -> Traded:
    """``left``: what remains of maker and taker."""
    maker_user = 3 - int(taker_side)
    return Traded(
        maker, maker_user, taker, int(taker_side), taker_side, price, quantity, *left, 0, 0
    )


def cancelled(
    order: int, side: Side, quantity: int, *, remaining: int = 0, reason: Reason = Reason.USER
) -> Cancelled:
    return Cancelled(9, order, int(side), quantity, remaining, reason)


def amended(
    order: int, side: Side, quantity: int, remaining: int, price: int, *, kept: bool
) -> Amended:
    """To a plain order: an iceberg gives up its slices."""
    return Amended(9, order, int(side), quantity, remaining, price, 0, 0, 0, kept)


def state(value: TradingState) -> StateChanged:
    return StateChanged(9, value, Reason.REQUESTED)


SOUND: list[Event] = [
    *resting(1, SELL, 5, 100, 1),
    *resting(2, SELL, 5, 100, 2),
    accepted(3, SELL, 6, 101, display=2),
    rested(3, SELL, 101, 6, 3, shown=2),
    accepted(4, BUY, 9, 102, stop_price=100),
    accepted(5, BUY, 7, 100),
    traded(1, 5, BUY, 100, 5, (0, 2)),
    traded(2, 5, BUY, 100, 2, (3, 0)),
    Triggered(4, 1),
    traded(2, 4, BUY, 100, 3, (0, 6)),
    traded(3, 4, BUY, 101, 2, (4, 4)),
    rested(3, SELL, 101, 4, 4, shown=2),
    traded(3, 4, BUY, 101, 2, (2, 2)),
    rested(3, SELL, 101, 2, 5),
    cancelled(4, BUY, 2, reason=Reason.SELF_TRADE),
    amended(3, SELL, 7, 3, 105, kept=False),
    rested(3, SELL, 105, 3, 6),
    amended(3, SELL, 6, 2, 105, kept=True),
    state(TradingState.AUCTION),
    *resting(10, BUY, 4, 106, 7),
    *resting(11, BUY, 4, 90, 8),
    traded(3, 10, BUY, 105, 2, (0, 2)),
    Uncrossed(12, 105, 2),
    state(TradingState.RUNNING),
    Expired(10, 1, 2),
    cancelled(11, BUY, 4),
    AllCancelled(13, 1, 1),
]

_BOOK = [*resting(1, SELL, 5, 100, 1), *resting(2, SELL, 5, 100, 2), *resting(3, SELL, 5, 101, 3)]
_ICEBERG: list[Event] = [
    accepted(1, SELL, 6, 100, display=2),
    rested(1, SELL, 100, 6, 1, shown=2),
    *resting(2, SELL, 5, 100, 2),
]
_AUCTION: list[Event] = [
    state(TradingState.AUCTION),
    *resting(1, SELL, 5, 100, 1),
    *resting(2, BUY, 5, 100, 2),
]

FLAWS = [
    Flaw(
        "quantity",
        "the maker keeps what it sold",
        [*_BOOK, accepted(4, BUY, 2, 100), traded(1, 4, BUY, 100, 2, (5, 0))],
    ),
    Flaw(
        "quantity",
        "the taker loses more than it bought",
        [*_BOOK, accepted(4, BUY, 3, 100), traded(1, 4, BUY, 100, 2, (3, 0))],
    ),
    Flaw(
        "quantity",
        "a cancel leaves something behind",
        [*resting(1, SELL, 5, 100, 1), cancelled(1, SELL, 3)],
    ),
    Flaw(
        "quantity",
        "an expiry takes more than there is",
        [*resting(1, SELL, 5, 100, 1), Expired(1, 2, 6)],
    ),
    Flaw(
        "quantity",
        "a cancel of nothing",
        [*resting(1, SELL, 5, 100, 1), cancelled(1, SELL, 0, remaining=5)],
    ),
    Flaw(
        "quantity",
        "an amend that gives more than it says",
        [*resting(1, SELL, 5, 100, 1), amended(1, SELL, 4, 5, 100, kept=True)],
    ),
    Flaw(
        "quantity",
        "an order rests with more than remains",
        [accepted(1, SELL, 5, 100), rested(1, SELL, 100, 6, 1)],
    ),
    Flaw(
        "quantity",
        "an iceberg shows more than its slice",
        [accepted(1, SELL, 6, 100, display=2), rested(1, SELL, 100, 6, 1, shown=3)],
    ),
    Flaw(
        "sides_differ",
        "the buy loses four lots by a trade, the sell three",
        [*_BOOK, accepted(4, BUY, 4, 100), traded(1, 4, BUY, 100, 3, (2, 0))],
    ),
    Flaw(
        "trade_sides",
        "two sells trade with each other",
        [
            *_BOOK,
            accepted(4, SELL, 2, 100),
            Traded(1, 2, 4, 2, BUY, 100, 2, 3, 0, 0, 0),
        ],
    ),
    Flaw(
        "trade_sides",
        "the taker's side is wrong",
        [*_BOOK, accepted(4, BUY, 2, 100), Traded(1, 2, 4, 1, SELL, 100, 2, 3, 0, 0, 0)],
    ),
    Flaw(
        "trade_sides",
        "a trade of nothing",
        [*_BOOK, accepted(4, BUY, 2, 100), traded(1, 4, BUY, 100, 0, (5, 2))],
    ),
    Flaw(
        "price",
        "beyond the taker's limit",
        [*_BOOK, accepted(4, BUY, 2, 99), traded(1, 4, BUY, 100, 2, (3, 0))],
    ),
    Flaw(
        "price",
        "not at the maker's price, though within both limits",
        [*_BOOK, accepted(4, BUY, 2, 103), traded(1, 4, BUY, 101, 2, (3, 0))],
    ),
    Flaw(
        "price",
        "an uncross beyond the seller's limit",
        [*_AUCTION, traded(1, 2, BUY, 99, 5, (0, 0)), Uncrossed(3, 99, 5)],
    ),
    Flaw(
        "price",
        "an order rests at another price than its limit",
        [accepted(1, SELL, 5, 100), rested(1, SELL, 99, 5, 1)],
    ),
    Flaw(
        "price",
        "a market order rests",
        [accepted(1, SELL, 5, 0), rested(1, SELL, 99, 5, 1)],
    ),
    Flaw(
        "priority",
        "a later order of the level trades first",
        [*_BOOK, accepted(4, BUY, 2, 100), traded(2, 4, BUY, 100, 2, (3, 0))],
    ),
    Flaw(
        "priority",
        "a worse price trades first",
        [*_BOOK, accepted(4, BUY, 2, 101), traded(3, 4, BUY, 101, 2, (3, 0))],
    ),
    Flaw(
        "priority",
        "an uncross passes over the first buy",
        [
            *_AUCTION,
            *resting(3, BUY, 5, 100, 3),
            traded(1, 3, BUY, 100, 5, (0, 0)),
            Uncrossed(4, 100, 5),
        ],
    ),
    Flaw(
        "priority",
        "an iceberg trades more than its slice while another order waits",
        [*_ICEBERG, accepted(3, BUY, 3, 100), traded(1, 3, BUY, 100, 3, (3, 0))],
    ),
    Flaw(
        "priority",
        "an iceberg's next slice keeps the old priority",
        [
            *_ICEBERG,
            accepted(3, BUY, 2, 100),
            traded(1, 3, BUY, 100, 2, (4, 0)),
            rested(1, SELL, 100, 4, 1, shown=2),
        ],
    ),
    Flaw(
        "priority",
        "an iceberg's next slice trades before the order that waits",
        [
            *_ICEBERG,
            accepted(3, BUY, 3, 100),
            traded(1, 3, BUY, 100, 2, (4, 1)),
            rested(1, SELL, 100, 4, 3, shown=2),
            traded(1, 3, BUY, 100, 1, (3, 0)),
        ],
    ),
    Flaw(
        "priority",
        "an order takes a new place for nothing",
        [*_BOOK, rested(1, SELL, 100, 5, 4)],
    ),
    Flaw(
        "priority",
        "an increase keeps its place",
        [*_BOOK, amended(1, SELL, 7, 7, 100, kept=True)],
    ),
    Flaw(
        "priority",
        "another price keeps its place",
        [*_BOOK, amended(1, SELL, 4, 4, 101, kept=True)],
    ),
    Flaw(
        "priority",
        "a reduction loses its place",
        [*_BOOK, amended(1, SELL, 4, 4, 100, kept=False), rested(1, SELL, 100, 4, 4)],
    ),
    Flaw(
        "book_crossed",
        "an order rests instead of trading",
        [*_BOOK, *resting(4, BUY, 2, 100, 4)],
    ),
    Flaw(
        "book_crossed",
        "an auction ends without its trades",
        [*_AUCTION, Uncrossed(3, 0, 0), state(TradingState.RUNNING)],
    ),
    Flaw(
        "uncross",
        "two prices",
        [
            *_AUCTION,
            *resting(3, SELL, 5, 98, 3),
            traded(2, 3, SELL, 99, 2, (3, 3)),
            traded(2, 3, SELL, 100, 3, (0, 0)),
            Uncrossed(4, 100, 5),
        ],
    ),
    Flaw(
        "uncross",
        "another volume than was traded",
        [*_AUCTION, traded(1, 2, BUY, 100, 5, (0, 0)), Uncrossed(3, 100, 6)],
    ),
    Flaw("uncross", "no end", [*_AUCTION, traded(1, 2, BUY, 100, 5, (0, 0))]),
    Flaw(
        "trade_state",
        "a trade in a halted market",
        [
            *_BOOK,
            state(TradingState.HALTED),
            accepted(4, BUY, 2, 100),
            traded(1, 4, BUY, 100, 2, (3, 0)),
        ],
    ),
    Flaw(
        "trade_state",
        "a resting order takes",
        [*_BOOK, *resting(4, BUY, 2, 99, 4), traded(1, 4, BUY, 100, 2, (3, 0))],
    ),
    Flaw(
        "trade_state",
        "a stop trades that was not triggered",
        [*_BOOK, accepted(4, BUY, 2, 0, stop_price=99), traded(1, 4, BUY, 100, 2, (3, 0))],
    ),
    Flaw(
        "order_lost",
        "what is left of an order is nowhere",
        [
            *_BOOK,
            accepted(4, BUY, 7, 100),
            traded(1, 4, BUY, 100, 5, (0, 2)),
            *resting(5, BUY, 1, 9, 4),
        ],
    ),
    Flaw(
        "order_lost",
        "an iceberg does not come back",
        [
            *_ICEBERG,
            accepted(3, BUY, 3, 100),
            traded(1, 3, BUY, 100, 2, (4, 1)),
            traded(2, 3, BUY, 100, 1, (4, 0)),
        ],
    ),
    Flaw(
        "order_lost",
        "an iceberg does not come back within an uncross",
        [
            *_ICEBERG,
            state(TradingState.AUCTION),
            *resting(3, BUY, 3, 100, 3),
            traded(1, 3, BUY, 100, 2, (4, 1)),
            traded(2, 3, BUY, 100, 1, (4, 0)),
            Uncrossed(4, 100, 3),
        ],
    ),
    Flaw("order_lost", "at the end of the batch", [accepted(1, BUY, 7, 100)]),
    Flaw(
        "order_number",
        "a number is given twice",
        [*resting(1, SELL, 5, 100, 1), cancelled(1, SELL, 5), *resting(1, SELL, 5, 100, 2)],
    ),
    Flaw(
        "order_user",
        "a cancel in another user's name",
        [*resting(1, SELL, 5, 100, 1), cancelled(1, BUY, 5)],
    ),
    Flaw(
        "unknown_order",
        "a trade of an order that is closed",
        [
            *_BOOK,
            cancelled(1, SELL, 5),
            accepted(4, BUY, 2, 100),
            traded(1, 4, BUY, 100, 2, (3, 0)),
        ],
    ),
    Flaw("unknown_order", "a cancel of an order that never was", [cancelled(1, SELL, 5)]),
    Flaw("unknown_order", "an amend of none", [amended(1, SELL, 7, 7, 100, kept=False)]),
    Flaw("unknown_order", "a place for none", [rested(1, SELL, 100, 5, 1)]),
    Flaw("not_waiting", "a limit order is triggered", [*_BOOK, Triggered(1, 2)]),
    Flaw("unknown_order", "a trigger of none", [Triggered(1, 2)]),
    Flaw("open_orders", "an order that is not stored", resting(1, SELL, 5, 100, 1)),
]
"""``open_orders`` compares with what is stored; here nothing is."""

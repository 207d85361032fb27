"""The call auction: the price at which most trades, and the trades at it."""

from __future__ import annotations

from gomatch.engine.book import Book
from gomatch.engine.events import Event, Traded
from gomatch.engine.levels import Level
from gomatch.engine.members import BUY, FILLED, SELL
from gomatch.engine.order import Order
from gomatch.engine.types import RATE_SCALE, MarketConfig


def equilibrium(book: Book, reference: int) -> tuple[int, int] | None:
    """The uncross price in ticks and the volume in lots, or None when nothing crosses.

    Every tick from the best ask to the best bid is a candidate: the largest volume wins, then
    the least surplus; if the surplus is all on the buy side the highest of those, if all on the
    sell side the lowest, else the one nearest to ``reference`` (0: none; then the lowest).
    """
    if not book.crossed:
        return None
    best_bid, best_ask = -book.bids.heap[0], book.asks.heap[0]
    demand = book.bids.crossing(-best_ask)
    supply = book.asks.crossing(best_bid)
    buying = sum(level.displayed + level.hidden for level in demand)
    selling = 0
    supplied = 0
    best: tuple[int, int] = (-1, 0)
    ties: list[tuple[int, int, int]] = []
    low = best_ask
    while low <= best_bid:
        while supplied < len(supply) and supply[supplied].price <= low:
            selling += supply[supplied].displayed + supply[supplied].hidden
            supplied += 1
        while demand[-1].price < low:
            dropped = demand.pop()
            buying -= dropped.displayed + dropped.hidden
        high = demand[-1].price
        if supplied < len(supply):
            high = min(high, supply[supplied].price - 1)
        surplus = buying - selling
        merit = (min(buying, selling), -abs(surplus))
        if merit > best:
            best = merit
            ties = []
        if merit == best:
            ties.append((low, high, surplus))
        low = high + 1
    lowest, highest = ties[0][0], ties[-1][1]
    if all(surplus > 0 for _, _, surplus in ties):
        price = highest
    elif all(surplus < 0 for _, _, surplus in ties):
        price = lowest
    else:
        price = min(max(reference, lowest), highest)
    return price, best[0]


def uncross(book: Book, price: int, volume: int, out: list[Event]) -> None:
    """Trade ``volume`` lots at ``price``, both sides in price, then time priority.

    Self-trade prevention has no part in it. The order with the higher number is the taker.
    """
    bids, asks = book.bids, book.asks
    while volume:
        bid_level, ask_level = bids.levels[bids.heap[0]], asks.levels[asks.heap[0]]
        bid, ask = bid_level.front(), ask_level.front()
        quantity = min(bid.displayed, ask.displayed)
        volume -= quantity
        for order in (bid, ask):
            order.remaining -= quantity
            order.value += price * quantity
            book.touched[order.number] = order
        out.append(_trade(bid, ask, price, quantity, book.config))
        for order, level in ((bid, bid_level), (ask, ask_level)):
            _fill(book, order, level, quantity, out)
        book.last_price = price


def _fill(book: Book, order: Order, level: Level, quantity: int, out: list[Event]) -> None:
    """Take ``quantity`` lots that were traded off the first order of ``level``."""
    side = book.side(order.side)
    order.displayed -= quantity
    level.displayed -= quantity
    side.touched[level.price] = level
    if order.displayed:
        return
    level.pass_front()
    if order.remaining:
        book.refill(order, level, out)
        return
    order.closing = FILLED
    book.deregister(order)
    if not level.displayed:
        side.emptied(level)


def _trade(bid: Order, ask: Order, price: int, quantity: int, config: MarketConfig) -> Traded:
    value = price * quantity
    if bid.number > ask.number:
        maker, taker, taker_side = ask, bid, BUY
    else:
        maker, taker, taker_side = bid, ask, SELL
    return Traded(
        maker.number,
        maker.user,
        taker.number,
        taker.user,
        taker_side,
        price,
        quantity,
        maker.remaining,
        taker.remaining,
        -(-value * config.maker_fee // RATE_SCALE),
        -(-value * config.taker_fee // RATE_SCALE),
    )

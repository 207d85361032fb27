"""Trading an incoming order against the book, and judging beforehand whether it may."""

from __future__ import annotations

from gomatch.engine.book import TIDY_MASK, Book
from gomatch.engine.commands import NewOrder
from gomatch.engine.events import Cancelled, Event, Traded
from gomatch.engine.levels import STALE_ALLOWED, BookSide, Level
from gomatch.engine.members import (
    BUY,
    BY_SELF_TRADE,
    CANCEL_NEWEST,
    CANCEL_OLDEST,
    CANCELLED,
    DECREMENT,
    FILLED,
    FOK,
    NO_PREVENTION,
    REFUSE,
)
from gomatch.engine.order import Order
from gomatch.engine.timers import UNBOUNDED
from gomatch.engine.types import RATE_SCALE, Reason

_ROUND_UP = RATE_SCALE - 1


def match(book: Book, taker: Order, limit: int, number: int, out: list[Event]) -> bool:
    """Trade ``taker`` against the other side up to the key ``limit``; price, then time.

    Returns whether it was the price band that stopped it. The taker may be closed afterwards:
    filled, or cancelled by self-trade prevention. ``number`` is the command's.
    """
    config = book.config
    maker_fee, taker_fee = config.maker_fee, config.taker_fee
    terms = taker.terms
    user, taker_side, taker_number = terms.user, terms.side, taker.number
    opposite = book.asks if taker_side is BUY else book.bids
    heap, levels = opposite.heap, opposite.levels
    touched, orders, users_gone = book.touched, book.orders, book.users_gone
    banded = book.banded
    remaining = taker.remaining
    traded = last_price = 0
    stopped = False
    touched[taker_number] = taker

    while heap:
        key = heap[0]
        if key > limit:
            break
        level = levels[key]
        price = level.price
        if banded and (price < book.low or price > book.high):
            maker = level.front()
            if not _kept_apart(book, maker, terms):
                stopped = True
                break
            taker.remaining = remaining
            _prevent(book, maker, taker, number, out)
            remaining = taker.remaining
            if not remaining:
                break
            continue
        opposite.touched[price] = level
        queue, head = level.queue, level.head
        while True:
            maker = queue[head]
            displayed = maker.displayed
            if not displayed:
                head += 1
                level.gone -= 1
                continue
            maker_user = maker.terms.user
            if maker_user == user and (terms.self_trade or config.self_trade) is not NO_PREVENTION:
                level.head = head
                taker.remaining = remaining
                _prevent(book, maker, taker, number, out)
                remaining = taker.remaining
                queue, head = level.queue, level.head
                if remaining and level.displayed:
                    continue
                break
            quantity = displayed if displayed < remaining else remaining
            remaining -= quantity
            maker.remaining = maker_remaining = maker.remaining - quantity
            value = price * quantity
            traded += value
            maker.value += value
            level.displayed = shown = level.displayed - quantity
            last_price = price
            maker_number = maker.number
            touched[maker_number] = maker
            out.append(
                Traded(
                    maker_number,
                    maker_user,
                    taker_number,
                    user,
                    taker_side,
                    price,
                    quantity,
                    maker_remaining,
                    remaining,
                    (value * maker_fee + _ROUND_UP) // RATE_SCALE if maker_fee else 0,
                    (value * taker_fee + _ROUND_UP) // RATE_SCALE if taker_fee else 0,
                )
            )
            if quantity < displayed:
                maker.displayed = displayed - quantity
                break
            head += 1
            if maker_remaining:
                book.refill(maker, level, out)
            else:
                maker.displayed = 0
                maker.closing = FILLED
                del orders[maker_number]
                users_gone[maker_user] = gone = users_gone[maker_user] + 1
                if not gone & TIDY_MASK:
                    book.tidy_user(maker_user)
                if not shown:
                    opposite.emptied(level)
                    head = 0
                    break
            if not remaining:
                break
        level.head = head
        if head > STALE_ALLOWED:
            level.tidy()
        if not remaining:
            break

    if last_price:
        book.last_price = last_price
        taker.value += traded
        taker.remaining = remaining
        if not remaining and taker.closing is None:
            taker.closing = FILLED
            if taker_number in orders:
                book.deregister(taker)
    return stopped


def _kept_apart(book: Book, maker: Order, terms: NewOrder) -> bool:
    """Whether self-trade prevention acts where an order with ``terms`` meets ``maker``."""
    mode = terms.self_trade or book.config.self_trade
    return maker.terms.user == terms.user and mode is not NO_PREVENTION


def _prevent(book: Book, maker: Order, taker: Order, number: int, out: list[Event]) -> None:
    """Keep two orders of one user apart."""
    mode = taker.terms.self_trade or book.config.self_trade
    user = taker.terms.user
    if mode is DECREMENT:
        taken = min(taker.remaining, maker.remaining)
        _take(book, maker, taken, number, out)
        taker.remaining -= taken
        taker.cancelled += taken
        event = Cancelled(number, taker.number, user, taken, taker.remaining, BY_SELF_TRADE)
        out.append(event)
        if not taker.remaining:
            book.close(taker, CANCELLED)
        return
    if mode is not CANCEL_NEWEST:
        _take(book, maker, maker.remaining, number, out)
    if mode is not CANCEL_OLDEST:
        out.append(Cancelled(number, taker.number, user, taker.remaining, 0, BY_SELF_TRADE))
        book.close(taker, CANCELLED)


def _take(book: Book, maker: Order, quantity: int, number: int, out: list[Event]) -> None:
    """Cancel ``quantity`` lots of a resting order."""
    left = maker.remaining - quantity
    out.append(Cancelled(number, maker.number, maker.user, quantity, left, BY_SELF_TRADE))
    if left:
        book.side(maker.side).reduce(maker, left)
        maker.cancelled += quantity
        book.touched[maker.number] = maker
    else:
        book.close(maker, CANCELLED)


def obstacle(book: Book, terms: NewOrder, remaining: int) -> Reason | None:
    """Why an incoming order may not start in continuous trading, or None."""
    opposite = book.asks if terms.side is BUY else book.bids
    heap = opposite.heap
    price = terms.price
    if price:
        if book.config.band_mode is REFUSE and not book.low <= price <= book.high:
            return Reason.PRICE_BAND
        if terms.post_only and heap and heap[0] <= price * opposite.sign:
            return Reason.WOULD_CROSS
    elif not heap:
        return Reason.NO_LIQUIDITY
    if terms.time_in_force is FOK and not fillable(book, terms, remaining):
        return Reason.UNFILLABLE
    return None


def limit_key(terms: NewOrder) -> int:
    """The worst key of the other side that the order may trade at; price 0 means any."""
    price = terms.price
    if not price:
        return UNBOUNDED
    return price if terms.side is BUY else -price


def fillable(book: Book, terms: NewOrder, remaining: int) -> bool:
    """Whether others would fill all ``remaining`` lots of the order if it ran now; changes
    nothing."""
    opposite = book.asks if terms.side is BUY else book.bids
    mode = terms.self_trade or book.config.self_trade
    passes = mode is CANCEL_OLDEST or mode is NO_PREVENTION
    own = _own_levels(book, opposite, terms.user)
    limit = limit_key(terms)
    for level in opposite.walk():
        if level.key > limit:
            return False
        lots = own.get(level.key, 0)
        available = level.displayed + level.hidden - lots
        if not book.low <= level.price <= book.high and (available or mode is not CANCEL_OLDEST):
            return False
        if lots and not passes:
            return remaining <= _ahead(level, terms.user)
        remaining -= available
        if remaining <= 0:
            return True
    return False


def _own_levels(book: Book, side: BookSide, user: int) -> dict[int, int]:
    """What the user has resting on ``side``: lots by level key."""
    own: dict[int, int] = {}
    for order in book.of_user(user):
        if order.displayed and book.side(order.terms.side) is side:
            key = order.terms.price * side.sign
            own[key] = own.get(key, 0) + order.remaining
    return own


def _ahead(level: Level, user: int) -> int:
    """Lots that trade on ``level`` before the user's first order there: a used-up slice of an
    iceberg comes back behind it."""
    lots = 0
    for order in level:
        if order.terms.user == user:
            return lots
        lots += order.displayed
    raise AssertionError("the user has no order on this level")

"""Trading an incoming order against the book, and judging beforehand whether it may."""

from __future__ import annotations

from gomatch.engine.book import Book, BookSide, Level
from gomatch.engine.commands import NewOrder
from gomatch.engine.events import Cancelled, Event, Traded
from gomatch.engine.order import Closing, Order
from gomatch.engine.types import (
    RATE_SCALE,
    BandMode,
    MarketConfig,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)

UNBOUNDED = 1 << 63
"""A key beyond every price."""


class Band:
    """The prices at which a command may trade, both included, and what lies behind them."""

    __slots__ = ("config", "high", "low", "reference")

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.reference = 0
        self.low = 0
        self.high = UNBOUNDED

    def fix(self, reference: int) -> None:
        """Fix the band for a command. ``reference`` is the last price before it, 0 for none."""
        self.reference = reference
        around = reference or self.config.reference_price
        if self.config.band_mode is BandMode.NONE or not around:
            self.low, self.high = 0, UNBOUNDED
        else:
            width = around * self.config.band // RATE_SCALE
            self.low, self.high = around - width, around + width


def match(book: Book, taker: Order, limit: int, band: Band, number: int, out: list[Event]) -> bool:
    """Trade ``taker`` against the other side up to the key ``limit``; price, then time.

    Returns whether it was the price band that stopped it. The taker may be closed afterwards:
    filled, or cancelled by self-trade prevention. ``number`` is the command's.
    """
    config = band.config
    taker_side = taker.side
    opposite = book.asks if taker_side is Side.BUY else book.bids
    mode = taker.self_trade or config.self_trade
    prevented = mode is not SelfTrade.NONE
    low, high = band.low, band.high
    maker_rate, taker_rate = config.maker_fee, config.taker_fee
    user, taker_number = taker.user, taker.number
    orders, users, touched = book.orders, book.users, book.touched
    heap, levels, touched_levels = opposite.heap, opposite.levels, opposite.touched
    remaining = taker.remaining
    filled = total_value = last_price = 0
    stopped = False
    touched[taker_number] = taker

    while remaining and heap:
        key = heap[0]
        if key > limit:
            break
        level = levels[key]
        price = level.price
        if not low <= price <= high:
            stopped = True
            break
        touched_levels[price] = level
        maker = level.head
        while remaining and maker is not None:
            if maker.user == user and prevented:
                remaining = _prevent(book, maker, taker, remaining, mode, number, out)
                maker = level.head
                continue
            displayed = maker.displayed
            maker_remaining = maker.remaining
            quantity = displayed if displayed < remaining else remaining
            remaining -= quantity
            maker_remaining -= quantity
            value = price * quantity
            last_price = price
            filled += quantity
            total_value += value
            maker.remaining = maker_remaining
            maker.filled += quantity
            maker.value += value
            level.displayed -= quantity
            maker_number = maker.number
            touched[maker_number] = maker
            out.append(
                Traded(
                    maker_number,
                    maker.user,
                    taker_number,
                    user,
                    taker_side,
                    price,
                    quantity,
                    maker_remaining,
                    remaining,
                    -(-value * maker_rate // RATE_SCALE) if maker_rate else 0,
                    -(-value * taker_rate // RATE_SCALE) if taker_rate else 0,
                )
            )
            if quantity < displayed:
                maker.displayed = displayed - quantity
                break
            if maker_remaining:
                book.refill(maker, level, out)
                maker = level.head
                continue
            following = maker.next
            maker.displayed = 0
            maker.open = False
            maker.closing = Closing.FILLED
            maker.level = None
            maker.next = None
            level.head = following
            if following is None:
                level.tail = None
            else:
                following.previous = None
            del orders[maker_number]
            owned = users[maker.user]
            del owned[maker_number]
            if not owned:
                del users[maker.user]
            maker = following
        if level.head is None:
            opposite.emptied(level)
            levels = opposite.levels

    if filled:
        book.last_price = last_price
        taker.filled += filled
        taker.value += total_value
    taker.remaining = remaining
    if not remaining and taker.open:
        book.close(taker, Closing.FILLED)
    return stopped


def _prevent(
    book: Book,
    maker: Order,
    taker: Order,
    remaining: int,
    mode: SelfTrade,
    number: int,
    out: list[Event],
) -> int:
    """Keep two orders of one user apart; returns what remains of the taker's ``remaining``."""
    if mode is SelfTrade.DECREMENT:
        taken = min(remaining, maker.remaining)
        _take(book, maker, taken, number, out)
        left = remaining - taken
        out.append(Cancelled(number, taker.number, taker.user, taken, left, Reason.SELF_TRADE))
        if not left:
            book.close(taker, Closing.CANCELLED)
        return left
    if mode is not SelfTrade.CANCEL_NEWEST:
        _take(book, maker, maker.remaining, number, out)
    if mode is SelfTrade.CANCEL_OLDEST:
        return remaining
    out.append(Cancelled(number, taker.number, taker.user, remaining, 0, Reason.SELF_TRADE))
    book.close(taker, Closing.CANCELLED)
    return 0


def _take(book: Book, maker: Order, quantity: int, number: int, out: list[Event]) -> None:
    """Cancel ``quantity`` lots of a resting order, leaving an empty level to the caller."""
    side, level = book.side(maker.side), maker.level
    assert level is not None
    left = maker.remaining - quantity
    out.append(Cancelled(number, maker.number, maker.user, quantity, left, Reason.SELF_TRADE))
    if left:
        side.reduce(maker, level, left)
        book.touched[maker.number] = maker
    else:
        side.unlink(maker, level)
        maker.displayed = 0
        book.close(maker, Closing.CANCELLED)


def obstacle(
    book: Book,
    order: NewOrder | Order,
    remaining: int,
    band: Band,
) -> Reason | None:
    """Why a new incoming order of these terms may not start, or None.

    Judged in continuous trading, where ``order`` has no part in the opposite side yet.
    """
    buying = order.side is Side.BUY
    opposite = book.asks if buying else book.bids
    heap = opposite.heap
    price = order.price
    if price:
        if band.config.band_mode is BandMode.REFUSE and not band.low <= price <= band.high:
            return Reason.PRICE_BAND
        if order.post_only and heap and heap[0] <= price * opposite.sign:
            return Reason.WOULD_CROSS
    elif not heap:
        return Reason.NO_LIQUIDITY
    if order.time_in_force is TimeInForce.FOK and not fillable(book, order, remaining, band):
        return Reason.UNFILLABLE
    return None


def limit_key(order: Order | NewOrder) -> int:
    """The worst key of the other side that the order may trade at; price 0 means any."""
    price = order.price
    if not price:
        return UNBOUNDED
    return price if order.side is Side.BUY else -price


def fillable(book: Book, order: NewOrder | Order, remaining: int, band: Band) -> bool:
    """Whether running the order now would fill all ``remaining`` lots of it; changes nothing."""
    opposite = book.asks if order.side is Side.BUY else book.bids
    mode = order.self_trade or band.config.self_trade
    own = {} if mode is SelfTrade.NONE else _own_levels(book, opposite, order.user)
    limit = limit_key(order)
    for level in opposite.walk():
        if level.key > limit or not band.low <= level.price <= band.high:
            return False
        available = level.displayed + level.hidden
        if level.key in own:
            if mode is not SelfTrade.CANCEL_OLDEST:
                return remaining <= _ahead(level, order.user)
            available -= own[level.key]
        remaining -= available
        if remaining <= 0:
            return True
    return False


def _own_levels(book: Book, side: BookSide, user: int) -> dict[int, int]:
    """What the user has resting on ``side``: lots by level key."""
    own: dict[int, int] = {}
    for order in book.users.get(user, {}).values():
        level = order.level
        if level is not None and side.levels.get(level.key) is level:
            own[level.key] = own.get(level.key, 0) + order.remaining
    return own


def _ahead(level: Level, user: int) -> int:
    """Lots that trade on ``level`` before the user's first order there: a used-up slice of an
    iceberg comes back behind it."""
    lots = 0
    for order in level:
        if order.user == user:
            break
        lots += order.displayed
    return lots

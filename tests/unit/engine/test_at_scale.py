"""What the engine does to stay fast is not seen from outside: books of many orders, levels, users
and timers, churned until everything stale was cleaned up, read as a plain sum over their image."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import count

from gomatch.engine import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Engine,
    Event,
    NewOrder,
    OrderType,
    SelfTrade,
    SetState,
    Side,
    TimeInForce,
    Traded,
    TradingState,
    Triggered,
)


class Book:
    """An engine with the next number at hand."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.events: list[Event] = []
        self._numbers = count(1)

    def apply(self, command: Command) -> int:
        number = next(self._numbers)
        self.engine.apply(number, command, self.events)
        return number

    def limit(self, side: Side, quantity: int, price: int, *, user: int = 1) -> int:
        return self.apply(
            NewOrder(user, side, OrderType.LIMIT, quantity, price, self_trade=SelfTrade.NONE)
        )

    def check(self) -> None:
        """Depth, best prices and counts are what the image adds up to."""
        engine = self.engine
        levels: dict[Side, dict[int, int]] = {
            Side.BUY: defaultdict(int),
            Side.SELL: defaultdict(int),
        }
        image = engine.image()
        for order in image.orders:
            if order.priority and order.displayed:
                levels[order.side][order.price] += order.displayed
        bids = sorted(levels[Side.BUY].items(), reverse=True)
        asks = sorted(levels[Side.SELL].items())
        assert engine.depth(Side.BUY, None) == bids
        assert engine.depth(Side.SELL, None) == asks
        assert engine.depth(Side.SELL, 3) == asks[:3]
        assert engine.best(Side.BUY) == (bids[0][0] if bids else None)
        assert engine.best(Side.SELL) == (asks[0][0] if asks else None)
        assert engine.open_orders == len(image.orders)
        assert Engine.restore(image).image() == image


def test_many_levels_that_come_and_go() -> None:
    book = Book()
    draw = random.Random(1)
    numbers = [book.limit(Side.SELL, 1, 10_000 + n) for n in draw.sample(range(6_000), 6_000)]
    book.check()
    for number in draw.sample(numbers, 5_500):
        book.apply(CancelOrder(1, number))
    book.check()
    for price in range(9_000, 3_000, -1):
        book.limit(Side.BUY, 2, price)
    book.check()
    book.apply(CancelAll(1))
    book.check()
    assert book.engine.open_orders == 0


def test_a_deep_level_loses_its_middle_then_its_front() -> None:
    book = Book()
    draw = random.Random(2)
    numbers = [book.limit(Side.SELL, 2, 100) for _ in range(6_000)]
    for number in draw.sample(numbers, 4_500):
        book.apply(CancelOrder(1, number))
    book.check()
    left = [order.number for order in book.engine.image().orders]
    book.events.clear()
    for _ in range(1_200):
        book.limit(Side.BUY, 2, 100, user=2)
    makers = [event.maker_order for event in book.events if isinstance(event, Traded)]
    assert makers == left[:1_200]
    book.check()


def test_a_deep_level_eaten_one_by_one_keeps_its_time_priority() -> None:
    book = Book()
    numbers = [book.limit(Side.BUY, 1, 100, user=n % 7 + 1) for n in range(6_000)]
    book.events.clear()
    for _ in range(5_990):
        book.limit(Side.SELL, 1, 100, user=9)
    makers = [event.maker_order for event in book.events if isinstance(event, Traded)]
    assert makers == numbers[:5_990]
    book.check()


def test_users_who_left_are_forgotten_and_may_come_back() -> None:
    book = Book()
    for user in range(1, 12_000):
        number = book.limit(Side.SELL, 1, 100, user=user)
        book.apply(CancelOrder(user, number))
    for user in range(1, 300):
        book.limit(Side.SELL, 1, 100, user=user)
    book.check()
    assert book.engine.open_orders == 299


def test_many_stops_and_expiries_amended_and_cancelled() -> None:
    book = Book()
    numbers = [
        book.apply(NewOrder(1, Side.BUY, OrderType.STOP, 1, stop_price=5_000 + n % 400))
        for n in range(3_000)
    ]
    for n, number in enumerate(numbers):
        for turn in (1, 2, 3):
            book.apply(AmendOrder(1, number, stop_price=6_000 + (n + turn) % 500))
    gtd = [
        book.apply(
            NewOrder(2, Side.BUY, OrderType.LIMIT, 1, 10, TimeInForce.GTD, expiry=1_000_000 + n)
        )
        for n in range(500)
    ]
    for number in gtd:
        for turn in range(1, 20):
            book.apply(AmendOrder(2, number, expiry=2_000_000 + turn * 1_000 + number))
    for number in numbers[:2_900]:
        book.apply(CancelOrder(1, number))
    for n in range(3_000):
        number = book.apply(NewOrder(3, Side.SELL, OrderType.STOP, 1, stop_price=1 + n % 5))
        book.apply(CancelOrder(3, number))
    book.check()
    assert book.engine.next_expiry == 2_000_000 + 19_000 + gtd[0]
    book.engine.advance(3_000_000, book.events)
    assert [order for order in book.engine.image().orders if order.expiry] == []
    assert book.engine.open_orders == 100
    book.limit(Side.SELL, 5, 7_000, user=4)
    book.limit(Side.BUY, 1, 7_000, user=5)
    book.check()


def test_a_gap_of_prices_has_no_auction_volume() -> None:
    book = Book()
    book.apply(SetState(TradingState.AUCTION))
    assert book.engine.indicative() is None
    book.limit(Side.BUY, 1, 99)
    assert book.engine.indicative() is None
    book.limit(Side.SELL, 1, 101, user=2)
    assert book.engine.indicative() is None


def test_stops_still_run_in_order_after_their_stale_entries_were_dropped() -> None:
    """Most wait far away and are amended again and again; some are near and stay as they are."""
    book = Book()
    near = {
        side: [
            book.apply(NewOrder(1, side, OrderType.STOP, 1, stop_price=price)) for price in prices
        ]
        for side, prices in ((Side.BUY, (103, 102, 102)), (Side.SELL, (98, 99, 99)))
    }
    far = [
        book.apply(NewOrder(2, side, OrderType.STOP, 1, stop_price=price))
        for _ in range(40)
        for side, price in ((Side.BUY, 9_000), (Side.SELL, 2))
    ]
    for turn in range(1, 30):
        for n, number in enumerate(far):
            book.apply(AmendOrder(2, number, stop_price=1 + turn % 2 if n % 2 else 9_000 + turn))
    for price, maker in ((103, Side.SELL), (98, Side.BUY)):
        book.limit(maker, 9, price, user=3)
        book.events.clear()
        book.limit(Side.BUY if maker is Side.SELL else Side.SELL, 1, price, user=4)
        ran = [event.order for event in book.events if isinstance(event, Triggered)]
        first, *others = near[Side.BUY if maker is Side.SELL else Side.SELL]
        assert ran == [*others, first]
    book.check()

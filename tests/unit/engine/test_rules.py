"""docs/matching-rules.md, rule by rule, in examples small enough to check by hand."""

from __future__ import annotations

import pytest

from gomatch.engine import (
    AllCancelled,
    Amended,
    AmendOrder,
    BandMode,
    CancelAll,
    Cancelled,
    CancelOrder,
    Expired,
    Reason,
    Rested,
    SelfTrade,
    StateChanged,
    TimeInForce,
    Traded,
    TradingState,
    Triggered,
    Uncrossed,
)
from tests.unit.engine.venue import BUY, SELL, Venue

AUCTION, RUNNING, HALTED = TradingState.AUCTION, TradingState.RUNNING, TradingState.HALTED
FOK, IOC, GTD = TimeInForce.FOK, TimeInForce.IOC, TimeInForce.GTD
TEN_PERCENT = 100_000_000


def test_better_prices_trade_first_then_earlier_orders_at_the_makers_price() -> None:
    venue = Venue()
    worse = venue.limit(1, SELL, 5, 102)
    early = venue.limit(2, SELL, 5, 101)
    late = venue.limit(3, SELL, 5, 101)
    taker = venue.limit(4, BUY, 12, 105)
    assert venue.trades == [(early, taker, 101, 5), (late, taker, 101, 5), (worse, taker, 102, 2)]
    assert venue.remaining(worse) == 3


def test_a_market_order_never_rests() -> None:
    venue = Venue()
    venue.market(1, BUY, 5, time_in_force=IOC)
    assert venue.refusal() == Reason.NO_LIQUIDITY
    venue.limit(2, SELL, 3, 100)
    number = venue.market(1, BUY, 5, time_in_force=IOC)
    assert venue.events[-1] == Cancelled(number, number, 1, 2, 0, Reason.MARKET_REST)


def test_what_an_immediate_order_leaves_is_cancelled() -> None:
    venue = Venue()
    venue.limit(2, SELL, 3, 100)
    number = venue.limit(1, BUY, 5, 100, time_in_force=IOC)
    assert venue.events[-1] == Cancelled(number, number, 1, 2, 0, Reason.IMMEDIATE_OR_CANCEL)
    assert venue.engine.open_orders == 0


def test_fill_or_kill_takes_all_or_changes_nothing() -> None:
    venue = Venue()
    iceberg = venue.limit(2, SELL, 6, 100, display=2)
    venue.limit(1, BUY, 7, 100, time_in_force=FOK)
    assert venue.refusal() == Reason.UNFILLABLE
    assert venue.remaining(iceberg) == 6
    venue.limit(1, BUY, 6, 100, time_in_force=FOK)
    assert sum(quantity for *_, quantity in venue.trades) == 6


@pytest.mark.parametrize(
    ("mode", "wanted", "taken"),
    [
        (SelfTrade.CANCEL_NEWEST, 4, True),
        (SelfTrade.CANCEL_NEWEST, 5, False),
        (SelfTrade.CANCEL_BOTH, 4, True),
        (SelfTrade.CANCEL_BOTH, 5, False),
        (SelfTrade.DECREMENT, 4, True),
        (SelfTrade.DECREMENT, 5, False),
        (SelfTrade.CANCEL_OLDEST, 14, True),
        (SelfTrade.CANCEL_OLDEST, 15, False),
        (SelfTrade.NONE, 14, True),
        (SelfTrade.NONE, 15, False),
    ],
)
def test_fill_or_kill_knows_self_trade_prevention(
    mode: SelfTrade, wanted: int, taken: bool
) -> None:
    """Ahead of the own order 4 lots show; an iceberg's hidden ones come back behind it."""
    venue = Venue()
    venue.limit(2, SELL, 8, 100, display=4)
    venue.limit(1, SELL, 3, 100)
    venue.limit(2, SELL, 6, 101)
    venue.limit(1, BUY, wanted, 101, time_in_force=FOK, self_trade=mode)
    assert venue.refusal() == (None if taken else Reason.UNFILLABLE)


def test_post_only_is_judged_before_self_trade_prevention() -> None:
    venue = Venue()
    venue.limit(1, SELL, 1, 100)
    venue.limit(1, BUY, 1, 100, post_only=True, self_trade=SelfTrade.CANCEL_OLDEST)
    assert venue.refusal() == Reason.WOULD_CROSS
    venue.limit(1, BUY, 1, 99, post_only=True)
    assert venue.engine.depth(BUY) == [(99, 1)]


def test_self_trade_prevention_cancels_newest_oldest_or_both() -> None:
    for mode, left in (
        (SelfTrade.CANCEL_NEWEST, (10, 0)),
        (SelfTrade.CANCEL_OLDEST, (0, 4)),
        (SelfTrade.CANCEL_BOTH, (0, 0)),
    ):
        venue = Venue(self_trade=mode)
        resting = venue.limit(1, SELL, 10, 100, display=2)
        incoming = venue.limit(1, BUY, 4, 100)
        assert venue.trades == []
        assert (venue.remaining(resting), venue.remaining(incoming)) == left


def test_decrement_reduces_both_and_takes_hidden_lots_first() -> None:
    venue = Venue(self_trade=SelfTrade.DECREMENT)
    resting = venue.limit(1, SELL, 10, 100, display=3)
    incoming = venue.limit(1, BUY, 8, 100)
    assert venue.events[1:] == [
        Cancelled(incoming, resting, 1, 8, 2, Reason.SELF_TRADE),
        Cancelled(incoming, incoming, 1, 8, 0, Reason.SELF_TRADE),
    ]
    assert venue.engine.depth(SELL) == [(100, 2)]
    order = venue.engine.order(resting)
    assert order is not None
    assert (order.quantity, order.filled, order.remaining) == (10, 0, 2)


def test_an_iceberg_shows_slices_and_each_comes_back_last() -> None:
    venue = Venue()
    iceberg = venue.limit(1, SELL, 7, 100, display=3)
    plain = venue.limit(2, SELL, 2, 100)
    assert venue.engine.depth(SELL) == [(100, 5)]
    taker = venue.limit(3, BUY, 8, 101)
    assert venue.trades == [
        (iceberg, taker, 100, 3),
        (plain, taker, 100, 2),
        (iceberg, taker, 100, 3),
    ]
    assert venue.events[-1] == Rested(iceberg, 1, SELL, 100, 1, 1, 4)


def test_an_incoming_iceberg_trades_with_all_of_it() -> None:
    venue = Venue()
    venue.limit(1, SELL, 5, 100)
    iceberg = venue.limit(2, BUY, 9, 100, display=1)
    assert sum(quantity for *_, quantity in venue.trades) == 5
    assert venue.events[-1] == Rested(iceberg, 2, BUY, 100, 1, 4, 2)


def test_a_reduction_keeps_the_place_and_anything_else_loses_it() -> None:
    venue = Venue()
    first = venue.limit(1, SELL, 5, 100)
    second = venue.limit(2, SELL, 5, 100)
    venue.apply(AmendOrder(1, first, quantity=3))
    assert venue.events == [Amended(3, first, 1, 3, 3, 100, 0, 0, 0, True)]
    venue.limit(3, BUY, 1, 100)
    assert [maker for maker, *_ in venue.trades] == [first]
    venue.apply(AmendOrder(1, first, quantity=4))
    venue.limit(3, BUY, 1, 100)
    assert [maker for maker, *_ in venue.trades] == [second]


def test_a_reduction_takes_hidden_lots_first() -> None:
    venue = Venue()
    iceberg = venue.limit(1, SELL, 10, 100, display=4)
    venue.apply(AmendOrder(1, iceberg, quantity=5))
    assert venue.engine.depth(SELL) == [(100, 4)]
    venue.apply(AmendOrder(1, iceberg, quantity=3))
    assert venue.engine.depth(SELL) == [(100, 3)]


def test_an_amended_price_may_match_and_counts_what_is_filled() -> None:
    venue = Venue()
    bid = venue.limit(1, BUY, 10, 99)
    venue.limit(2, SELL, 4, 99)
    venue.limit(2, SELL, 3, 101)
    venue.apply(AmendOrder(1, bid, quantity=8, price=101))
    assert [(price, quantity) for *_, price, quantity in venue.trades] == [(101, 3)]
    assert venue.remaining(bid) == 1
    venue.apply(AmendOrder(1, bid, quantity=7))
    assert venue.refusal() == Reason.QUANTITY_FILLED


def test_amends_that_say_nothing_new_or_of_others_orders_are_refused() -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 10, 99)
    venue.apply(AmendOrder(1, order, quantity=10, price=99))
    assert venue.refusal() == Reason.NOTHING_TO_AMEND
    for user in (0, 2):
        venue.apply(AmendOrder(user, order, quantity=5))
        assert venue.refusal() == Reason.UNKNOWN_ORDER


def test_an_amend_of_something_else_is_not_judged_by_band_or_notional() -> None:
    venue = Venue(
        min_notional=500, band_mode=BandMode.REFUSE, band=TEN_PERCENT, reference_price=100
    )
    far = venue.limit(1, BUY, 10, 91, expiry=1_000, time_in_force=GTD)
    venue.limit(1, SELL, 10, 109)
    venue.limit(2, BUY, 10, 109)
    assert venue.engine.last_price == 109
    venue.apply(AmendOrder(1, far, expiry=2_000))
    assert venue.refusal() is None
    venue.apply(AmendOrder(1, far, price=90))
    assert venue.refusal() == Reason.PRICE_BAND
    venue.apply(AmendOrder(1, far, quantity=5))
    assert venue.refusal() == Reason.NOTIONAL_TOO_SMALL


def test_cancelling_is_for_the_owner_and_the_venue() -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 10, 99)
    venue.apply(CancelOrder(2, order))
    assert venue.refusal() == Reason.UNKNOWN_ORDER
    number = venue.apply(CancelOrder(0, order))
    assert venue.events == [Cancelled(number, order, 1, 10, 0, Reason.ADMIN)]
    venue.apply(CancelOrder(1, order))
    assert venue.refusal() == Reason.UNKNOWN_ORDER


def test_cancelling_all_goes_by_number_and_counts() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 1, 120)
    other = venue.limit(2, BUY, 1, 90)
    bid = venue.limit(1, BUY, 1, 95)
    number = venue.apply(CancelAll(1, Reason.DISCONNECT))
    assert venue.events == [
        Cancelled(number, stop, 1, 1, 0, Reason.DISCONNECT),
        Cancelled(number, bid, 1, 1, 0, Reason.DISCONNECT),
        AllCancelled(number, 1, 2),
    ]
    number = venue.apply(CancelAll(0))
    assert venue.events[0] == Cancelled(number, other, 2, 1, 0, Reason.ADMIN)


def test_stops_wait_for_the_last_price_and_run_in_the_same_command() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 2, 105)
    assert venue.engine.depth(BUY) == []
    venue.limit(2, SELL, 1, 105)
    venue.limit(2, SELL, 5, 106)
    number = venue.limit(3, BUY, 1, 105)
    assert Triggered(stop, 1) in venue.events
    assert venue.trades[-1] == (3, stop, 106, 2)
    late = venue.stop(1, BUY, 1, 100)
    assert venue.events[1] == Triggered(late, 1)
    assert number == 4


def test_reached_stops_run_buys_by_rising_price_then_sells_by_falling_then_number() -> None:
    venue = Venue()
    venue.state(AUCTION)
    sells = [venue.stop(1, SELL, 1, price) for price in (101, 103, 103)]
    buys = [venue.stop(1, BUY, 1, price) for price in (99, 97, 99)]
    venue.limit(2, SELL, 1, 100)
    venue.limit(3, BUY, 1, 100)
    venue.state(RUNNING)
    ran = [event.order for event in venue.events if isinstance(event, Triggered)]
    assert ran == [buys[1], buys[0], buys[2], sells[1], sells[2], sells[0]]


def test_a_triggered_stop_that_cannot_run_is_cancelled_with_the_reason() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 2, 105)
    maker_only = venue.stop(1, BUY, 2, 105, price=107, post_only=True)
    fill_or_kill = venue.stop(1, BUY, 9, 105, price=107, time_in_force=FOK)
    venue.trade_at(105)
    reasons = [event.reason for event in venue.events if isinstance(event, Cancelled)]
    assert reasons == [Reason.NO_LIQUIDITY, Reason.UNFILLABLE]
    assert [venue.remaining(n) for n in (stop, maker_only, fill_or_kill)] == [0, 2, 0]


def test_a_band_that_refuses() -> None:
    venue = Venue(band_mode=BandMode.REFUSE, band=TEN_PERCENT, reference_price=100)
    venue.limit(1, BUY, 1, 111)
    assert venue.refusal() == Reason.PRICE_BAND
    venue.limit(1, SELL, 5, 110)
    venue.trade_at(90)
    number = venue.market(2, BUY, 1, time_in_force=IOC)
    assert venue.events[-1] == Cancelled(number, number, 2, 1, 0, Reason.PRICE_BAND)
    assert venue.engine.state is RUNNING


def test_a_band_that_halts_before_the_first_trade_outside() -> None:
    venue = Venue(band_mode=BandMode.HALT, band=TEN_PERCENT, reference_price=100)
    inside = venue.limit(1, SELL, 1, 110)
    outside = venue.limit(1, SELL, 1, 111)
    stops = [venue.stop(4, BUY, 1, 110, price=50), venue.stop(4, BUY, 1, 111)]
    number = venue.limit(2, BUY, 5, 120)
    assert venue.trades == [(inside, number, 110, 1)]
    assert venue.events[-2:] == [
        Cancelled(number, number, 2, 4, 0, Reason.PRICE_BAND),
        StateChanged(number, HALTED, Reason.PRICE_BAND),
    ]
    assert venue.remaining(outside) == 1
    assert [venue.remaining(stop) for stop in stops] == [1, 1]
    venue.state(RUNNING)
    assert Triggered(stops[0], 4) in venue.events


def test_orders_expire_by_time_then_number_in_every_state() -> None:
    venue = Venue()
    later = venue.limit(1, BUY, 1, 90, time_in_force=GTD, expiry=20)
    stop = venue.stop(1, BUY, 2, 105, time_in_force=GTD, expiry=10)
    first = venue.limit(1, BUY, 3, 90, time_in_force=GTD, expiry=10)
    venue.state(TradingState.CLOSED)
    events: list[object] = []
    venue.engine.advance(20, events)  # type: ignore[arg-type]
    assert events == [Expired(stop, 1, 2), Expired(first, 1, 3), Expired(later, 1, 1)]
    assert venue.engine.sequence == 9


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (TradingState.CANCEL_ONLY, Reason.MARKET_CANCEL_ONLY),
        (TradingState.HALTED, Reason.MARKET_HALTED),
        (TradingState.CLOSED, Reason.MARKET_CLOSED),
    ],
)
def test_what_the_states_take(state: TradingState, reason: Reason) -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 9, 90)
    venue.state(state)
    venue.limit(1, BUY, 1, 90)
    assert venue.refusal() == reason
    venue.apply(AmendOrder(1, order, price=91))
    assert venue.refusal() == reason
    venue.apply(AmendOrder(1, order, quantity=8))
    assert (venue.refusal() is None) == (state is TradingState.CANCEL_ONLY)
    venue.apply(CancelOrder(1, order))
    assert (venue.refusal() is None) == (state is not TradingState.CLOSED)
    venue.apply(CancelAll(0))
    assert (venue.refusal() is None) == (state is not TradingState.CLOSED)


def test_an_auction_collects_and_uncrosses_at_one_price() -> None:
    venue = Venue()
    venue.limit(9, BUY, 1, 99)
    venue.state(AUCTION)
    gone = venue.limit(1, BUY, 5, 103)
    high = venue.limit(1, BUY, 5, 103)
    low = venue.limit(2, BUY, 4, 101)
    sell = venue.limit(3, SELL, 7, 100, display=2)
    venue.apply(CancelOrder(1, gone))
    venue.limit(1, BUY, 1, 101, time_in_force=IOC)
    assert venue.refusal() == Reason.NOT_IN_AUCTION
    assert venue.engine.indicative() == (101, 7)
    venue.state(RUNNING)
    assert {(maker, price) for maker, _, price, _ in venue.trades} == {(high, 101), (low, 101)}
    assert isinstance(venue.events[-1], StateChanged)
    assert venue.events[-2] == Uncrossed(9, 101, 7)
    assert (venue.remaining(high), venue.remaining(low), venue.remaining(sell)) == (0, 2, 0)


@pytest.mark.parametrize(
    ("bids", "asks", "last", "expected"),
    [
        ([(5, 105)], [(5, 100)], 0, (100, 5)),
        ([(5, 105)], [(5, 100)], 103, (103, 5)),
        ([(5, 105)], [(5, 100)], 200, (105, 5)),
        ([(9, 105)], [(5, 100)], 101, (105, 5)),
        ([(5, 105)], [(9, 100)], 104, (100, 5)),
        ([(5, 105), (4, 102)], [(5, 100)], 101, (103, 5)),
        ([(5, 105), (5, 102)], [(5, 100), (5, 103)], 104, (104, 5)),
    ],
)
def test_the_uncross_price(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    last: int,
    expected: tuple[int, int],
) -> None:
    """Most volume, least surplus, the side of the surplus, nearest to the last price, lowest."""
    venue = Venue()
    if last:
        venue.trade_at(last)
    venue.state(AUCTION)
    for quantity, price in bids:
        venue.limit(1, BUY, quantity, price)
    for quantity, price in asks:
        venue.limit(2, SELL, quantity, price)
    assert venue.engine.indicative() == expected


def test_no_self_trade_prevention_and_no_band_inside_an_uncross() -> None:
    venue = Venue(band_mode=BandMode.HALT, band=TEN_PERCENT, reference_price=100)
    venue.state(AUCTION)
    venue.limit(1, SELL, 5, 150)
    venue.limit(1, BUY, 5, 150)
    venue.state(RUNNING)
    assert venue.trades == [(2, 3, 150, 5)]
    assert venue.engine.state is RUNNING


def test_a_crossed_book_runs_only_by_an_uncross() -> None:
    venue = Venue()
    venue.state(AUCTION)
    venue.limit(1, SELL, 5, 100)
    venue.limit(2, BUY, 5, 100)
    for state in (HALTED, TradingState.CANCEL_ONLY, TradingState.CLOSED):
        venue.state(state)
        venue.state(RUNNING)
        assert venue.refusal() == Reason.BOOK_CROSSED
        assert venue.engine.state is state
    venue.state(AUCTION)
    venue.state(RUNNING)
    assert venue.engine.last_price == 100


def test_fees_are_rounded_up_for_rebates_too() -> None:
    venue = Venue(maker_fee=-1_500_000, taker_fee=2_500_000)
    venue.limit(1, SELL, 3, 333)
    venue.limit(2, BUY, 3, 333)
    trade = venue.events[-1]
    assert isinstance(trade, Traded)
    assert (trade.maker_fee, trade.taker_fee) == (-1, 3)


def test_open_orders_are_limited_for_each_user_but_not_immediate_ones() -> None:
    venue = Venue(max_open_orders=2)
    first = venue.limit(1, BUY, 1, 90)
    venue.stop(1, BUY, 1, 120)
    venue.limit(1, BUY, 1, 91)
    assert venue.refusal() == Reason.TOO_MANY_OPEN_ORDERS
    venue.limit(2, SELL, 1, 100)
    venue.limit(1, BUY, 1, 100, time_in_force=IOC)
    assert len(venue.trades) == 1
    venue.apply(CancelOrder(1, first))
    venue.limit(1, BUY, 1, 91)
    assert venue.refusal() is None

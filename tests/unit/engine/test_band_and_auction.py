"""Where the price band, self-trade prevention, fill-or-kill and the auction meet."""

from __future__ import annotations

import pytest

from gomatch.engine import (
    AmendOrder,
    BandMode,
    Cancelled,
    Configure,
    MarketConfig,
    OrderType,
    Reason,
    Rejected,
    Rested,
    SelfTrade,
    SetState,
    StateChanged,
    TimeInForce,
    Traded,
    TradingState,
    Triggered,
)
from tests.unit.engine.venue import BUY, SELL, Venue

AUCTION, RUNNING, HALTED = TradingState.AUCTION, TradingState.RUNNING, TradingState.HALTED
FOK, IOC = TimeInForce.FOK, TimeInForce.IOC
TEN_PERCENT = 100_000_000


def banded(mode: BandMode = BandMode.HALT) -> Venue:
    """From 90 to 110."""
    return Venue(band_mode=mode, band=TEN_PERCENT, reference_price=100)


def test_an_auction_finds_a_price_that_its_stops_are_judged_by() -> None:
    """Judged by the price before, the stop at 150 would halt the market again, and so would
    every other auction."""
    venue = banded()
    stop = venue.stop(7, BUY, 1, 120)
    venue.limit(1, SELL, 1, 150)
    venue.limit(2, BUY, 1, 150)
    assert venue.engine.state is HALTED
    venue.state(AUCTION)
    venue.limit(2, BUY, 5, 150)
    venue.limit(1, SELL, 5, 151)
    venue.state(RUNNING)
    assert Triggered(stop, 7) in venue.events
    assert venue.trades[-1][1:] == (stop, 151, 1)
    assert venue.engine.state is RUNNING


def test_stops_after_an_uncross_are_bound_by_the_band_around_its_price() -> None:
    venue = banded(BandMode.REFUSE)
    inside = venue.stop(7, BUY, 1, 100, price=115)
    outside = venue.stop(7, BUY, 1, 100, price=116)
    venue.state(AUCTION)
    venue.limit(1, SELL, 2, 105)
    venue.limit(2, BUY, 2, 105)
    number = venue.engine.applied + 1
    venue.state(RUNNING)
    assert venue.remaining(inside) == 1
    assert venue.events[-1] == Cancelled(number, outside, 7, 1, 0, Reason.PRICE_BAND)
    venue.limit(3, BUY, 1, 116)
    assert venue.refusal() == Reason.PRICE_BAND


def test_an_uncross_without_a_trade_leaves_the_band_where_it_was() -> None:
    venue = banded()
    venue.trade_at(100)
    venue.state(AUCTION)
    venue.limit(1, SELL, 1, 111)
    venue.state(RUNNING)
    venue.limit(2, BUY, 1, 111)
    assert venue.engine.state is HALTED


@pytest.mark.parametrize("mode", [BandMode.HALT, BandMode.REFUSE])
@pytest.mark.parametrize(
    ("prevention", "left"),
    [
        (SelfTrade.CANCEL_NEWEST, 3),
        (SelfTrade.CANCEL_OLDEST, 0),
        (SelfTrade.CANCEL_BOTH, 0),
        (SelfTrade.DECREMENT, 2),
    ],
)
def test_an_own_order_outside_the_band_is_no_trade_that_stops_at_it(
    mode: BandMode, prevention: SelfTrade, left: int
) -> None:
    venue = banded(mode)
    near = venue.limit(2, SELL, 1, 101)
    own = venue.limit(1, SELL, 3, 109)
    venue.trade_at(93)
    number = venue.market(1, BUY, 2, time_in_force=IOC, self_trade=prevention)
    assert venue.trades == [(near, number, 101, 1)]
    reasons = {event.reason for event in venue.events if isinstance(event, Cancelled)}
    assert Reason.SELF_TRADE in reasons
    assert Reason.PRICE_BAND not in reasons
    assert venue.engine.state is RUNNING
    assert (venue.remaining(own), venue.remaining(number)) == (left, 0)


def test_a_strangers_order_behind_an_own_one_outside_the_band_halts() -> None:
    venue = banded()
    gone = venue.limit(3, SELL, 1, 111)
    own = [venue.limit(1, SELL, 2, 111, display=1), venue.limit(1, SELL, 2, 111)]
    other = venue.limit(2, SELL, 2, 111)
    venue.apply(AmendOrder(3, gone, price=112))
    number = venue.limit(1, BUY, 5, 111, self_trade=SelfTrade.CANCEL_OLDEST)
    assert venue.events[1:] == [
        Cancelled(number, own[0], 1, 2, 0, Reason.SELF_TRADE),
        Cancelled(number, own[1], 1, 2, 0, Reason.SELF_TRADE),
        Cancelled(number, number, 1, 5, 0, Reason.PRICE_BAND),
        StateChanged(number, HALTED, Reason.PRICE_BAND),
    ]
    assert venue.engine.depth(SELL) == [(111, 2), (112, 1)]
    assert venue.remaining(other) == 2


def test_own_orders_are_never_liquidity_for_fill_or_kill() -> None:
    venue = Venue(self_trade=SelfTrade.NONE)
    venue.limit(1, SELL, 5, 100)
    venue.limit(1, BUY, 5, 100, time_in_force=FOK)
    assert venue.refusal() == Reason.UNFILLABLE
    venue.limit(2, SELL, 4, 101)
    venue.limit(1, BUY, 5, 101, time_in_force=FOK)
    assert venue.refusal() == Reason.UNFILLABLE
    number = venue.limit(1, BUY, 4, 101, time_in_force=FOK)
    assert venue.trades == [(1, number, 100, 4)]


@pytest.mark.parametrize(
    ("prevention", "strangers", "taken"),
    [
        (SelfTrade.CANCEL_OLDEST, False, True),
        (SelfTrade.CANCEL_OLDEST, True, False),
        (SelfTrade.NONE, False, False),
        (SelfTrade.CANCEL_NEWEST, False, False),
    ],
)
def test_fill_or_kill_passes_own_orders_outside_the_band_as_it_would_when_it_runs(
    prevention: SelfTrade, strangers: bool, taken: bool
) -> None:
    """Asks below the band, which an uncross had left behind."""
    venue = Venue()
    venue.trade_at(100)
    own = venue.limit(1, SELL, 2, 80)
    if strangers:
        venue.limit(2, SELL, 2, 80)
    venue.limit(3, SELL, 2, 100)
    venue.apply(Configure(MarketConfig(band_mode=BandMode.HALT, band=TEN_PERCENT)))
    number = venue.limit(1, BUY, 2, 100, time_in_force=FOK, self_trade=prevention)
    assert venue.refusal() == (None if taken else Reason.UNFILLABLE)
    assert venue.engine.state is RUNNING
    if taken:
        assert venue.remaining(own) == 0
        assert venue.trades[0][1:] == (number, 100, 2)


def test_a_resting_post_only_order_pays_as_taker_of_an_uncross_when_its_number_is_higher() -> None:
    venue = Venue(maker_fee=-1_000_000, taker_fee=5_000_000)
    ask = venue.limit(2, SELL, 100, 991)
    bid = venue.limit(1, BUY, 100, 990, post_only=True)
    venue.state(AUCTION)
    venue.apply(AmendOrder(2, ask, price=990))
    venue.state(RUNNING)
    trade = venue.events[0]
    assert isinstance(trade, Traded)
    assert (trade.maker_order, trade.taker_order) == (ask, bid)
    assert (trade.maker_fee, trade.taker_fee) == (-99, 495)


def test_fees_and_self_trade_prevention_are_those_of_the_moment() -> None:
    venue = Venue(self_trade=SelfTrade.CANCEL_NEWEST)
    ask = venue.limit(1, SELL, 2_000, 1_000)
    bid = venue.limit(1, BUY, 1, 999)
    venue.apply(Configure(MarketConfig(self_trade=SelfTrade.NONE, maker_fee=1_000_000)))
    venue.apply(AmendOrder(1, bid, price=1_000))
    assert venue.trades == [(ask, bid, 1_000, 1)]
    trade = venue.events[1]
    assert isinstance(trade, Traded)
    assert trade.maker_fee == 1


def test_a_waiting_stop_is_not_judged_by_a_later_configuration_when_it_is_triggered() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 50, 105, price=200)
    venue.apply(Configure(MarketConfig(max_quantity=10, max_price=150, min_notional=1)))
    venue.trade_at(105)
    assert Triggered(stop, 1) in venue.events
    assert venue.engine.depth(BUY) == [(200, 50)]


def test_refuse_keeps_the_prices_of_an_auction_inside_the_band_until_it_is_configured_wider() -> (
    None
):
    venue = banded(BandMode.REFUSE)
    venue.state(AUCTION)
    venue.limit(1, SELL, 1, 111)
    assert venue.refusal() == Reason.PRICE_BAND
    wide = MarketConfig(band_mode=BandMode.REFUSE, band=5 * TEN_PERCENT, reference_price=100)
    venue.apply(Configure(wide))
    venue.limit(1, SELL, 1, 150)
    assert venue.refusal() is None


def test_a_post_only_stop_limit_waits_and_is_amended_in_an_auction() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 1, 120, price=110, post_only=True)
    venue.state(AUCTION)
    other = venue.stop(1, BUY, 1, 120, price=110, post_only=True)
    assert venue.refusal() is None
    for order in (stop, other):
        venue.apply(AmendOrder(1, order, price=111, stop_price=119))
        assert venue.refusal() is None
    venue.state(RUNNING)
    venue.trade_at(119)
    assert venue.engine.depth(BUY) == [(111, 2)]


def test_in_cancel_only_a_waiting_stop_is_reduced_and_nothing_else() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 5, 120)
    venue.state(TradingState.CANCEL_ONLY)
    venue.apply(AmendOrder(1, stop, stop_price=110))
    assert venue.refusal() == Reason.MARKET_CANCEL_ONLY
    venue.apply(AmendOrder(1, stop, quantity=4))
    assert venue.remaining(stop) == 4


def test_an_amended_stop_price_counts_from_then_on() -> None:
    venue = Venue()
    stop = venue.stop(1, BUY, 1, 120)
    venue.apply(AmendOrder(1, stop, stop_price=105))
    ask = venue.limit(2, SELL, 2, 105)
    venue.limit(3, BUY, 1, 105)
    assert Triggered(stop, 1) in venue.events
    assert venue.trades[-1] == (ask, stop, 105, 1)


def test_both_slices_used_up_in_an_uncross_come_back_the_buys_first() -> None:
    venue = Venue()
    venue.state(AUCTION)
    ask = venue.limit(1, SELL, 4, 100, display=2)
    bid = venue.limit(2, BUY, 4, 100, display=2)
    venue.state(RUNNING)
    assert [event.order for event in venue.events if isinstance(event, Rested)] == [bid, ask]


def test_a_state_is_published_with_the_reason_it_was_set_for() -> None:
    venue = Venue()
    number = venue.apply(SetState(HALTED, Reason.MANUAL))
    assert venue.events == [StateChanged(number, HALTED, Reason.MANUAL)]


def test_an_amend_is_not_judged_by_the_limit_of_open_orders() -> None:
    venue = Venue()
    orders = [venue.limit(1, BUY, 2, 90), venue.limit(1, BUY, 2, 91)]
    venue.apply(Configure(MarketConfig(max_open_orders=1)))
    venue.apply(AmendOrder(1, orders[0], price=92, quantity=3))
    assert venue.refusal() is None
    venue.limit(1, BUY, 1, 90)
    assert venue.events == [Rejected(5, 5, 1, Reason.TOO_MANY_OPEN_ORDERS)]
    assert venue.engine.order(orders[0]).type is OrderType.LIMIT  # type: ignore[union-attr]

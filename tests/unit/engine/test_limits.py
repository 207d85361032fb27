"""The outermost values that are taken, and that no sum leaves 64 bits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gomatch.engine import (
    NOTIONAL_LIMIT,
    AmendOrder,
    BandMode,
    Cancelled,
    CancelOrder,
    Configure,
    Engine,
    Event,
    MarketConfig,
    Reason,
    TimeInForce,
    TradingState,
    Triggered,
)
from tests.unit.engine.venue import BUY, SELL, Venue

GTD, IOC = TimeInForce.GTD, TimeInForce.IOC
LAST_MICROSECOND = 253_402_300_799_999_999
SMALL = MarketConfig(max_quantity=1_000, max_price=NOTIONAL_LIMIT // 1_000)
LARGE = MarketConfig(max_quantity=10**9, max_price=NOTIONAL_LIMIT // 10**9)


def test_price_times_quantity_goes_up_to_the_limit_and_no_further() -> None:
    fits = MarketConfig(max_price=1 << 53, max_quantity=1 << 9)
    assert Engine(fits).config == fits
    with pytest.raises(ValueError, match="max_price"):
        Engine(replace(fits, max_price=(1 << 53) + 1))
    assert Engine(replace(fits, min_notional=1 << 62)).config.min_notional == 1 << 62
    with pytest.raises(ValueError, match="min_notional"):
        Engine(replace(fits, min_notional=(1 << 62) + 1))


@pytest.mark.parametrize("waits", [False, True])
def test_a_larger_quantity_waits_until_no_order_has_too_high_a_price_for_it(waits: bool) -> None:
    """With 10⁹ lots at the price of the order that is open, what trades would leave 64 bits."""
    venue = Venue()
    venue.apply(Configure(SMALL))
    price = LARGE.max_price + 1
    order = venue.stop(1, SELL, 1, 5, price=price) if waits else venue.limit(1, SELL, 1, price)
    venue.apply(Configure(LARGE))
    assert venue.refusal() == Reason.INVALID_CONFIGURATION
    assert venue.engine.config == SMALL
    venue.apply(AmendOrder(1, order, price=price - 1))
    venue.apply(Configure(LARGE))
    assert venue.refusal() is None
    assert venue.engine.config == LARGE


@pytest.mark.parametrize("waits", [False, True])
def test_a_higher_price_waits_until_no_order_is_too_large_for_it(waits: bool) -> None:
    venue = Venue()
    venue.apply(Configure(LARGE))
    order = venue.stop(1, BUY, 1_001, 9) if waits else venue.limit(1, SELL, 1_001, 9)
    venue.apply(Configure(SMALL))
    assert venue.refusal() == Reason.INVALID_CONFIGURATION
    venue.apply(AmendOrder(1, order, quantity=1_000))
    venue.apply(Configure(SMALL))
    assert venue.refusal() is None


def test_what_changes_neither_limit_is_taken_with_any_order_open() -> None:
    venue = Venue()
    venue.apply(Configure(SMALL))
    venue.limit(1, SELL, 1_000, SMALL.max_price)
    lower = replace(SMALL, max_quantity=10, max_price=50)
    for config in (replace(SMALL, taker_fee=1_000), lower, SMALL):
        venue.apply(Configure(config))
        assert venue.engine.config == config
    venue.apply(AmendOrder(1, 2, price=SMALL.max_price - 1))
    assert venue.refusal() is None


def test_an_old_order_counts_though_one_limit_stays_as_it_is() -> None:
    venue = Venue()
    venue.apply(Configure(SMALL))
    venue.limit(1, SELL, 1_000, SMALL.max_price)
    low = replace(SMALL, max_quantity=10, max_price=50)
    venue.apply(Configure(low))
    for change in ({"max_quantity": 1_001}, {"max_price": SMALL.max_price + 1}):
        venue.apply(Configure(replace(low, **change)))
        assert venue.refusal() == Reason.INVALID_CONFIGURATION


def test_what_an_order_has_traded_for_counts_when_the_limits_change() -> None:
    """It sells to higher bids, and is amended to the largest quantity under the next limits."""
    venue = Venue(max_price=1 << 53, max_quantity=1 << 9)
    venue.limit(2, BUY, 511, 1 << 53)
    order = venue.limit(1, SELL, 512, 1)
    venue.apply(Configure(MarketConfig(max_price=1 << 32, max_quantity=1 << 30)))
    venue.state(TradingState.AUCTION)
    venue.limit(2, BUY, (1 << 30) - 512, 1 << 32)
    venue.apply(AmendOrder(1, order, quantity=1 << 30))
    venue.apply(AmendOrder(1, order, price=1 << 32))
    venue.state(TradingState.RUNNING)
    venue.apply(AmendOrder(1, order, price=1))
    image = venue.engine.order(order)
    assert image is not None
    assert 0 < (1 << 63) - image.value < 1 << 54
    low = MarketConfig(max_price=1 << 25, max_quantity=1 << 30)
    venue.apply(Configure(low))
    assert venue.refusal() == Reason.INVALID_CONFIGURATION
    venue.apply(CancelOrder(1, order))
    venue.apply(Configure(low))
    assert venue.engine.config == low


def test_the_largest_order_trades_and_its_value_fits() -> None:
    venue = Venue(max_price=1 << 53, max_quantity=1 << 9, taker_fee=10**9)
    venue.stop(3, BUY, 1, 1 << 53, price=1 << 53)
    venue.limit(1, SELL, 1 << 9, 1 << 53)
    venue.limit(2, BUY, 1 << 9, 1 << 53)
    assert venue.trades == [(2, 3, 1 << 53, 1 << 9)]
    assert Triggered(1, 3) in venue.events
    assert venue.engine.drain().orders[2].value == 1 << 62
    assert venue.engine.depth(BUY) == [(1 << 53, 1)]
    venue.limit(1, SELL, 1, 1)
    assert venue.engine.last_price == 1 << 53
    assert venue.engine.depth(BUY) == []


def test_market_orders_reach_the_highest_price_that_there_is() -> None:
    venue = Venue(max_price=1 << 62, max_quantity=1)
    venue.limit(1, SELL, 1, 1 << 62)
    venue.stop(2, BUY, 1, 1 << 62)
    number = venue.market(3, BUY, 1, time_in_force=IOC)
    assert venue.trades == [(1, number, 1 << 62, 1)]
    venue.state(TradingState.AUCTION)
    venue.limit(1, SELL, 1, 1 << 61)
    venue.limit(2, BUY, 1, 1 << 62)
    assert venue.engine.indicative() == (1 << 62, 1)


def test_an_expiry_is_at_most_the_last_microsecond_of_the_year_9999() -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 1, 9, time_in_force=GTD, expiry=LAST_MICROSECOND)
    assert venue.engine.next_expiry == LAST_MICROSECOND
    venue.limit(1, BUY, 1, 9, time_in_force=GTD, expiry=LAST_MICROSECOND + 1)
    assert venue.refusal() == Reason.INVALID_EXPIRY
    venue.apply(AmendOrder(1, order, expiry=LAST_MICROSECOND + 1))
    assert venue.refusal() == Reason.INVALID_EXPIRY


def test_an_expiry_is_not_amended_to_one_that_is_over() -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 5, 9, time_in_force=GTD, expiry=100)
    events: list[Event] = []
    venue.engine.advance(50, events)
    venue.apply(AmendOrder(1, order, expiry=50))
    assert venue.refusal() == Reason.EXPIRED
    venue.apply(AmendOrder(1, order, expiry=51))
    assert venue.engine.next_expiry == 51


def test_an_iceberg_has_at_most_a_hundred_slices() -> None:
    venue = Venue()
    order = venue.limit(1, BUY, 200, 9, display=2)
    assert venue.refusal() is None
    venue.limit(1, BUY, 201, 9, display=2)
    assert venue.refusal() == Reason.INVALID_DISPLAY
    venue.apply(AmendOrder(1, order, quantity=201))
    assert venue.refusal() == Reason.INVALID_DISPLAY
    venue.apply(AmendOrder(1, order, quantity=201, display=3))
    assert venue.refusal() is None


@pytest.mark.parametrize("state", [TradingState.RUNNING, TradingState.CANCEL_ONLY])
def test_a_reduction_is_taken_though_the_order_stays_above_a_new_maximum(
    state: TradingState,
) -> None:
    venue = Venue()
    orders = [venue.limit(1, SELL, 1_000, 100), venue.stop(1, SELL, 1_000, 50)]
    venue.apply(Configure(MarketConfig(max_quantity=500)))
    venue.state(state)
    for order in orders:
        venue.apply(AmendOrder(1, order, quantity=900))
        assert venue.refusal() is None
        assert venue.remaining(order) == 900
    venue.apply(AmendOrder(1, orders[0], quantity=901))
    assert venue.refusal() == Reason.QUANTITY_TOO_LARGE
    venue.apply(AmendOrder(1, orders[0], quantity=800, price=101))
    assert venue.refusal() == Reason.QUANTITY_TOO_LARGE


def test_a_band_as_wide_as_it_can_be() -> None:
    venue = Venue(
        max_price=1 << 53,
        max_quantity=1,
        band_mode=BandMode.HALT,
        band=100 * 10**9,
        reference_price=1 << 40,
    )
    venue.limit(1, SELL, 1, 101 << 40)
    venue.limit(2, BUY, 1, 101 << 40)
    assert venue.engine.last_price == 101 << 40
    venue = Venue(band_mode=BandMode.HALT, band=100 * 10**9, reference_price=3)
    venue.limit(1, SELL, 1, 304)
    number = venue.limit(2, BUY, 1, 304)
    assert Cancelled(number, number, 2, 1, 0, Reason.PRICE_BAND) in venue.events

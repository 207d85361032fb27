"""What others rely on: numbers, reading, draining, skipping, and refusals one by one."""

from __future__ import annotations

import msgspec
import pytest

from gomatch.engine import (
    AmendOrder,
    BandMode,
    Closing,
    Configure,
    Engine,
    Event,
    MarketConfig,
    NewOrder,
    OrderType,
    Reason,
    Rejected,
    SelfTrade,
    SetState,
    Side,
    StateChanged,
    TimeInForce,
    TradingState,
)

LIMIT = NewOrder(1, Side.SELL, OrderType.LIMIT, 5, 100, client_order_id="mine")


def applied(*commands: object) -> tuple[Engine, list[Event]]:
    engine = Engine()
    out: list[Event] = []
    for number, command in enumerate(commands, 1):
        engine.apply(number, command, out)  # type: ignore[arg-type]
    return engine, out


def test_numbers_follow_each_other() -> None:
    engine, out = applied(LIMIT)
    for number in (1, 3):
        with pytest.raises(ValueError, match="does not follow"):
            engine.apply(number, LIMIT, out)
        with pytest.raises(ValueError, match="does not follow"):
            engine.skip(number, LIMIT, out)
    assert (engine.applied, engine.sequence, len(out)) == (1, 2, 2)


def test_what_is_no_command_is_an_error() -> None:
    with pytest.raises(TypeError):
        applied("cancel everything")


def test_a_skipped_command_changes_nothing_but_the_counters() -> None:
    engine, out = applied(LIMIT)
    before = engine.image().orders
    engine.skip(2, msgspec.structs.replace(LIMIT, user=7), out)
    engine.skip(3, AmendOrder(7, 1, 9), out)
    engine.skip(4, SetState(TradingState.HALTED), out)
    assert out[2:] == [
        Rejected(2, 2, 7, Reason.INTERNAL_ERROR),
        Rejected(3, 1, 7, Reason.INTERNAL_ERROR),
        Rejected(4, 0, 0, Reason.INTERNAL_ERROR),
    ]
    assert (engine.applied, engine.sequence, engine.image().orders) == (4, 5, before)


def test_reading_an_engine() -> None:
    engine, _ = applied(
        LIMIT,
        NewOrder(2, Side.BUY, OrderType.LIMIT, 2, 100),
        NewOrder(2, Side.BUY, OrderType.LIMIT, 2, 98),
    )
    engine.advance(50, [])
    engine.advance(40, [])
    assert engine.time == 50
    assert engine.last_price == 100
    assert engine.config == MarketConfig()
    assert (engine.best(Side.BUY), engine.best(Side.SELL)) == (98, 100)
    assert engine.depth(Side.SELL, None) == [(100, 3)]
    assert engine.indicative() is None
    order = engine.order(1)
    assert order is not None
    assert (order.filled, order.remaining, order.value) == (2, 3, 200)
    assert engine.order(2) is None
    assert Engine().best(Side.BUY) is None
    assert Engine().depth(Side.BUY, 5) == []


def test_draining_gives_what_changed_since_the_last_time() -> None:
    engine, out = applied(LIMIT)
    first = engine.drain()
    assert (dict(first.asks), dict(first.bids), list(first.orders)) == ({100: 5}, {}, [1])
    order = first.orders[1]
    assert (order.user, order.side, order.type, order.price) == (1, Side.SELL, LIMIT.type, 100)
    assert (order.quantity, order.remaining, order.displayed) == (5, 5, 5)
    assert (order.stop_price, order.display, order.expiry) == (0, 0, 0)
    assert (order.time_in_force, order.self_trade) == (TimeInForce.GTC, SelfTrade.DEFAULT)
    assert (order.post_only, order.triggered, order.client_order_id) == (False, False, "mine")
    assert order.open
    assert not order.waiting
    engine.apply(2, NewOrder(2, Side.BUY, OrderType.LIMIT, 5, 100), out)
    second = engine.drain()
    assert dict(second.asks) == {100: 0}
    assert {number: one.closing for number, one in second.orders.items()} == {
        1: Closing.FILLED,
        2: Closing.FILLED,
    }
    assert (order.filled, order.value, order.open) == (5, 500, False)
    assert engine.drain().orders == {}


def test_the_indicative_price_is_told_while_an_auction_lasts() -> None:
    engine, _ = applied(
        SetState(TradingState.AUCTION), LIMIT, NewOrder(2, Side.BUY, OrderType.LIMIT, 3, 102)
    )
    assert engine.indicative() == (100, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"min_quantity": 0},
        {"min_quantity": 9, "max_quantity": 8},
        {"max_quantity": 10**13},
        {"max_price": 0},
        {"max_price": 1 << 62, "max_quantity": 2},
        {"min_notional": -1},
        {"self_trade": SelfTrade.DEFAULT},
        {"band": -1},
        {"band_mode": BandMode.HALT},
        {"reference_price": -5},
        {"maker_fee": 2_000_000_000},
        {"taker_fee": -2_000_000_000},
        {"max_open_orders": -1},
        {"max_open_orders": 1 << 64},
        {"rules_version": 99},
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(change: dict[str, object]) -> None:
    config = msgspec.structs.replace(MarketConfig(), **change)
    with pytest.raises(ValueError, match="invalid market configuration"):
        Engine(config)
    engine, out = applied(Configure(config))
    assert out == [Rejected(1, 0, 0, Reason.INVALID_CONFIGURATION)]
    assert engine.config == MarketConfig()


GTD = {"time_in_force": TimeInForce.GTD}
MARKET = {"type": OrderType.MARKET, "price": 0, "time_in_force": TimeInForce.IOC}
STOP = {"type": OrderType.STOP, "price": 0, "stop_price": 90}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user": 0}, Reason.INVALID_ORDER),
        ({"user": -1}, Reason.INVALID_ORDER),
        ({"user": 1 << 63}, Reason.INVALID_ORDER),
        ({"quantity": 0}, Reason.INVALID_QUANTITY),
        ({"quantity": -5}, Reason.INVALID_QUANTITY),
        ({"quantity": 1}, Reason.QUANTITY_TOO_SMALL),
        ({"quantity": 10**18}, Reason.QUANTITY_TOO_LARGE),
        ({"price": 0}, Reason.INVALID_PRICE),
        ({"price": -100}, Reason.INVALID_PRICE),
        ({"price": 10**18}, Reason.PRICE_TOO_HIGH),
        ({"price": 3}, Reason.NOTIONAL_TOO_SMALL),
        ({"stop_price": 90}, Reason.INVALID_STOP_PRICE),
        ({**STOP, "stop_price": 0}, Reason.INVALID_STOP_PRICE),
        ({**STOP, "stop_price": 10**18}, Reason.INVALID_STOP_PRICE),
        ({**STOP, "price": 90}, Reason.INVALID_PRICE),
        ({**STOP, "display": 2}, Reason.INVALID_DISPLAY),
        ({**STOP, "post_only": True}, Reason.INVALID_ORDER),
        ({**MARKET, "price": 100}, Reason.INVALID_PRICE),
        ({**MARKET, "time_in_force": TimeInForce.GTC}, Reason.INVALID_ORDER),
        (MARKET, Reason.NO_LIQUIDITY),
        ({"display": 6}, Reason.INVALID_DISPLAY),
        ({"display": -1}, Reason.INVALID_DISPLAY),
        ({"quantity": 900, "display": 2}, Reason.INVALID_DISPLAY),
        ({"display": 2, "time_in_force": TimeInForce.IOC}, Reason.INVALID_DISPLAY),
        ({"post_only": True, "time_in_force": TimeInForce.FOK}, Reason.INVALID_ORDER),
        ({"expiry": 5}, Reason.INVALID_EXPIRY),
        (GTD, Reason.INVALID_EXPIRY),
        ({**GTD, "expiry": -1}, Reason.INVALID_EXPIRY),
        ({**GTD, "expiry": 1 << 62}, Reason.INVALID_EXPIRY),
        ({**GTD, "expiry": 100}, Reason.EXPIRED),
        ({"time_in_force": TimeInForce.FOK}, Reason.UNFILLABLE),
    ],
)
def test_an_order_that_cannot_be_taken_says_why(change: dict[str, object], reason: Reason) -> None:
    engine = Engine(MarketConfig(min_quantity=2, max_quantity=1_000, min_notional=20))
    out: list[Event] = []
    engine.advance(100, out)
    command = msgspec.structs.replace(LIMIT, **change)
    engine.apply(1, command, out)
    assert out == [Rejected(1, 1, command.user, reason)]
    assert engine.open_orders == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, Reason.NOTHING_TO_AMEND),
        ({"quantity": 5}, Reason.NOTHING_TO_AMEND),
        ({"quantity": -1}, Reason.INVALID_QUANTITY),
        ({"quantity": 10**18}, Reason.QUANTITY_TOO_LARGE),
        ({"quantity": 2}, Reason.QUANTITY_FILLED),
        ({"price": -1}, Reason.INVALID_PRICE),
        ({"price": 10**18}, Reason.PRICE_TOO_HIGH),
        ({"price": 1}, Reason.NOTIONAL_TOO_SMALL),
        ({"display": 50}, Reason.INVALID_DISPLAY),
        ({"stop_price": 90}, Reason.INVALID_STOP_PRICE),
        ({"expiry": 500}, Reason.INVALID_EXPIRY),
        ({"user": 2, "quantity": 4}, Reason.UNKNOWN_ORDER),
        ({"order": 9, "quantity": 4}, Reason.UNKNOWN_ORDER),
    ],
)
def test_an_amend_that_cannot_be_carried_out_leaves_the_order(
    change: dict[str, object], reason: Reason
) -> None:
    engine = Engine(MarketConfig(min_notional=20))
    out: list[Event] = []
    engine.apply(1, LIMIT, out)
    engine.apply(2, NewOrder(2, Side.BUY, OrderType.LIMIT, 2, 100), out)
    before = engine.image().orders
    command = AmendOrder(**{"user": 1, "order": 1, **change})  # type: ignore[arg-type]
    engine.apply(3, command, out)
    assert out[-1] == Rejected(3, command.order, command.user, reason)
    assert engine.image().orders == before


def test_a_stop_order_has_no_price_or_display_to_amend() -> None:
    engine, out = applied(
        NewOrder(1, Side.BUY, OrderType.STOP, 5, stop_price=110),
        AmendOrder(1, 1, price=100),
        AmendOrder(1, 1, display=2),
        AmendOrder(1, 1, stop_price=111, quantity=6),
    )
    assert [event.reason for event in out if isinstance(event, Rejected)] == [
        Reason.INVALID_PRICE,
        Reason.INVALID_DISPLAY,
    ]
    order = engine.order(1)
    assert order is not None
    assert (order.stop_price, order.quantity) == (111, 6)


def test_a_band_refuses_an_amended_price_and_an_auction_a_post_only_one() -> None:
    config = MarketConfig(band_mode=BandMode.REFUSE, band=100_000_000, reference_price=100)
    _, out = applied(
        Configure(config),
        NewOrder(1, Side.SELL, OrderType.LIMIT, 5, 101, post_only=True),
        AmendOrder(1, 2, price=150),
        SetState(TradingState.AUCTION),
        AmendOrder(1, 2, price=102),
    )
    assert [event.reason for event in out if isinstance(event, Rejected)] == [
        Reason.PRICE_BAND,
        Reason.NOT_IN_AUCTION,
    ]


def test_stops_behind_one_that_halts_the_market_go_back_to_waiting() -> None:
    config = MarketConfig(band_mode=BandMode.HALT, band=10_000_000, reference_price=100)
    engine, out = applied(
        Configure(config),
        NewOrder(1, Side.SELL, OrderType.LIMIT, 1, 101),
        NewOrder(1, Side.SELL, OrderType.LIMIT, 5, 120),
        NewOrder(2, Side.BUY, OrderType.STOP, 2, stop_price=101),
        NewOrder(3, Side.BUY, OrderType.STOP, 2, stop_price=101),
        NewOrder(4, Side.BUY, OrderType.LIMIT, 1, 101),
    )
    assert out[-1] == StateChanged(6, TradingState.HALTED, Reason.PRICE_BAND)
    waiting = engine.order(5)
    assert waiting is not None
    assert not waiting.triggered


def test_a_post_only_order_is_not_amended_into_the_other_side() -> None:
    engine, out = applied(
        NewOrder(1, Side.BUY, OrderType.LIMIT, 5, 95, post_only=True),
        NewOrder(2, Side.SELL, OrderType.LIMIT, 5, 100),
        AmendOrder(1, 1, price=100),
        AmendOrder(1, 1, price=99),
    )
    assert [event.reason for event in out if isinstance(event, Rejected)] == [Reason.WOULD_CROSS]
    assert engine.best(Side.BUY) == 99

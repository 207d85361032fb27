from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomatch.engine import (
    AmendOrder,
    NewOrder,
    OrderType,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from gomatch.engine.entry import order_fault
from gomatch.messages.codec import pack_command
from gomatch_api import codes
from gomatch_api.codes import ProblemCode
from gomatch_api.problems import Problem
from gomatch_api.requests import AmendRequest, NewOrderRequest
from gomatch_api.times import parse_time
from gomatch_api.transform import amend_order, limit_problem, new_order
from tests.unit.api.doubles import market

NOW = parse_time("2026-01-01T00:00:00Z")
LATER = "2027-01-01T00:00:00Z"


def request(**changes: Any) -> NewOrderRequest:
    fields: dict[str, Any] = {
        "market": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": "100.00",
        "quantity": "1.5",
        **changes,
    }
    return NewOrderRequest(**{k: v for k, v in fields.items() if v is not None})


def judged(**changes: Any) -> NewOrder | Problem:
    try:
        command = new_order(request(**changes), market(), 7)
    except Problem as problem:
        return problem
    return limit_problem(command, market(), NOW) or command


def refusal(**changes: Any) -> Problem:
    found = judged(**changes)
    assert isinstance(found, Problem)
    return found


def test_a_limit_order_in_ticks_and_lots() -> None:
    assert judged(side="sell", client_order_id="a.B-1:x") == NewOrder(
        7, Side.SELL, OrderType.LIMIT, 1500, 10_000, client_order_id="a.B-1:x"
    )


def test_every_field_arrives() -> None:
    command = judged(
        type="stop_limit",
        stop_price="99.99",
        time_in_force="gtd",
        expires_at=LATER,
        display_quantity="0.5",
        post_only=True,
        self_trade_prevention="decrement",
    )
    assert command == NewOrder(
        7,
        Side.BUY,
        OrderType.STOP_LIMIT,
        1500,
        10_000,
        TimeInForce.GTD,
        9_999,
        500,
        parse_time(LATER),
        SelfTrade.DECREMENT,
        True,
    )


def test_a_market_order_is_immediate_unless_told_otherwise() -> None:
    command = judged(type="market", price=None)
    assert isinstance(command, NewOrder)
    assert command.time_in_force is TimeInForce.IOC


NUMBERS = [
    ("", "invalid_decimal"),
    (" 1", "invalid_decimal"),
    ("1 ", "invalid_decimal"),
    ("1\n", "invalid_decimal"),
    ("+1", "invalid_decimal"),
    ("-1", "invalid_decimal"),
    ("-0", "invalid_decimal"),
    ("01", "invalid_decimal"),
    ("1.", "invalid_decimal"),
    (".5", "invalid_decimal"),
    ("1e3", "invalid_decimal"),
    ("1e400", "invalid_decimal"),
    ("NaN", "invalid_decimal"),
    ("nan", "invalid_decimal"),
    ("Infinity", "invalid_decimal"),
    ("-Infinity", "invalid_decimal"),
    ("0x10", "invalid_decimal"),
    ("1_000", "invalid_decimal"),
    ("1,5", "invalid_decimal"),
    ("\uff11", "invalid_decimal"),
    ("\u0661", "invalid_decimal"),
    ("1\u0000", "invalid_decimal"),
    ("1.00000000000000001", "invalid_decimal"),
    ("1" * 16, "invalid_decimal"),
    ("9" * 5_000, "invalid_decimal"),
]


@pytest.mark.parametrize(("text", "code"), NUMBERS, ids=range(len(NUMBERS)))
@pytest.mark.parametrize("field", ["price", "quantity", "stop_price", "display_quantity"])
def test_hostile_numbers_are_refused_by_name(text: str, code: str, field: str) -> None:
    problem = refusal(**{"type": "stop_limit", "stop_price": "1.00", field: text})
    assert (problem.code.code, problem.field) == (code, field)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"price": "100.001"}, codes.OFF_TICK, "price"),
        ({"price": "0.000000001"}, codes.OFF_TICK, "price"),
        ({"quantity": "1.0005"}, codes.OFF_LOT, "quantity"),
        ({"display_quantity": "0.0001"}, codes.OFF_LOT, "display_quantity"),
        ({"type": "stop", "price": None, "stop_price": "1.005"}, codes.OFF_TICK, "stop_price"),
        ({"price": "0"}, codes.INVALID_PRICE, "price"),
        ({"price": "0.00"}, codes.INVALID_PRICE, "price"),
        ({"quantity": "0"}, codes.INVALID_QUANTITY, "quantity"),
        ({"quantity": "0.001"}, codes.QUANTITY_TOO_SMALL, "quantity"),
        ({"quantity": "1000.001"}, codes.QUANTITY_TOO_LARGE, "quantity"),
        ({"quantity": "9" * 15}, codes.QUANTITY_TOO_LARGE, "quantity"),
        ({"price": "9" * 15}, codes.PRICE_TOO_HIGH, "price"),
        (
            {"type": "stop", "price": None, "stop_price": "9" * 15},
            codes.PRICE_TOO_HIGH,
            "stop_price",
        ),
        ({"price": "0.01"}, codes.NOTIONAL_TOO_SMALL, "quantity"),
        ({"price": None}, codes.MISSING_FIELD, "price"),
        ({"type": "stop_limit"}, codes.MISSING_FIELD, "stop_price"),
        ({"type": "stop", "price": None}, codes.MISSING_FIELD, "stop_price"),
        ({"type": "market"}, codes.FIELD_NOT_ALLOWED, "price"),
        ({"type": "stop", "stop_price": "1.00"}, codes.FIELD_NOT_ALLOWED, "price"),
        ({"stop_price": "1.00"}, codes.FIELD_NOT_ALLOWED, "stop_price"),
        (
            {"type": "market", "price": None, "post_only": True},
            codes.FIELD_NOT_ALLOWED,
            "post_only",
        ),
        ({"time_in_force": "ioc", "post_only": True}, codes.FIELD_NOT_ALLOWED, "post_only"),
        ({"time_in_force": "fok", "post_only": True}, codes.FIELD_NOT_ALLOWED, "post_only"),
        (
            {"time_in_force": "ioc", "display_quantity": "0.1"},
            codes.FIELD_NOT_ALLOWED,
            "display_quantity",
        ),
        (
            {"type": "market", "price": None, "time_in_force": "gtc"},
            codes.TIME_IN_FORCE_NOT_ALLOWED,
            "time_in_force",
        ),
        (
            {"type": "market", "price": None, "time_in_force": "gtd", "expires_at": LATER},
            codes.TIME_IN_FORCE_NOT_ALLOWED,
            "time_in_force",
        ),
        ({"display_quantity": "0"}, codes.INVALID_DISPLAY, "display_quantity"),
        ({"display_quantity": "1.501"}, codes.INVALID_DISPLAY, "display_quantity"),
        ({"display_quantity": "0.014"}, codes.INVALID_DISPLAY, "display_quantity"),
        ({"time_in_force": "gtd"}, codes.MISSING_FIELD, "expires_at"),
        ({"expires_at": LATER}, codes.FIELD_NOT_ALLOWED, "expires_at"),
        (
            {"time_in_force": "gtd", "expires_at": "2025-12-31T23:59:59Z"},
            codes.EXPIRY_IN_PAST,
            "expires_at",
        ),
        (
            {"time_in_force": "gtd", "expires_at": "1969-01-01T00:00:00Z"},
            codes.EXPIRY_IN_PAST,
            "expires_at",
        ),
        ({"time_in_force": "gtd", "expires_at": "tomorrow"}, codes.INVALID_TIME, "expires_at"),
        ({"time_in_force": "gtd", "expires_at": ""}, codes.INVALID_TIME, "expires_at"),
        ({"client_order_id": ""}, codes.INVALID_CLIENT_ID, "client_order_id"),
        ({"client_order_id": "x" * 65}, codes.INVALID_CLIENT_ID, "client_order_id"),
        ({"client_order_id": "a b"}, codes.INVALID_CLIENT_ID, "client_order_id"),
        ({"client_order_id": "a\n"}, codes.INVALID_CLIENT_ID, "client_order_id"),
        ({"client_order_id": "ä"}, codes.INVALID_CLIENT_ID, "client_order_id"),
        ({"client_order_id": "a\u0000"}, codes.INVALID_CLIENT_ID, "client_order_id"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    changes: dict[str, Any], code: ProblemCode, field: str
) -> None:
    problem = refusal(**changes)
    assert (problem.code, problem.field) == (code, field)


decimals = st.one_of(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["0.01", "1", "100.00", "0.5", "2.000"]),
    st.none(),
)


@given(
    price=decimals,
    stop_price=decimals,
    quantity=decimals.filter(lambda text: text is not None),
    display_quantity=decimals,
    kind=st.sampled_from(["limit", "market", "stop", "stop_limit"]),
    tif=st.sampled_from([None, "gtc", "ioc", "fok", "gtd"]),
    post_only=st.sampled_from([None, True, False]),
    expires_at=st.sampled_from([None, LATER, "2025-01-01T00:00:00Z"]),
)
def test_the_api_lets_nothing_through_that_the_engine_refuses_at_sight(
    kind: str, tif: str | None, **fields: Any
) -> None:
    found = judged(type=kind, time_in_force=tif, **fields)
    if isinstance(found, NewOrder):
        assert order_fault(found, market().config, NOW) is None
        assert pack_command(found)


def amended(**changes: Any) -> AmendOrder | Problem:
    try:
        command = amend_order(AmendRequest(**changes), market(), 7, 17)
    except Problem as problem:
        return problem
    return limit_problem(command, market(), NOW) or command


def test_an_amend_changes_what_is_given_and_leaves_the_rest() -> None:
    assert amended(price="101") == AmendOrder(7, 17, price=10_100)
    assert amended(quantity="2", expires_at=LATER) == AmendOrder(
        7, 17, quantity=2_000, expiry=parse_time(LATER)
    )
    assert amended(display_quantity="0.1", stop_price="3.00") == AmendOrder(
        7, 17, display=100, stop_price=300
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, codes.NOTHING_TO_AMEND),
        ({"request_id": "r"}, codes.NOTHING_TO_AMEND),
        ({"quantity": "0"}, codes.INVALID_QUANTITY),
        ({"quantity": "0.001"}, codes.QUANTITY_TOO_SMALL),
        ({"quantity": "2000"}, codes.QUANTITY_TOO_LARGE),
        ({"price": "0.001"}, codes.OFF_TICK),
        ({"price": "0.01", "quantity": "1"}, codes.NOTIONAL_TOO_SMALL),
        ({"expires_at": "2020-01-01T00:00:00Z"}, codes.EXPIRY_IN_PAST),
    ],
)
def test_an_amend_that_cannot_be_is_refused(changes: dict[str, Any], code: ProblemCode) -> None:
    found = amended(**changes)
    assert isinstance(found, Problem)
    assert found.code is code


def test_limits_of_the_api_have_the_names_of_the_engine() -> None:
    """So that a client need not care who refused."""
    shared = {
        codes.INVALID_QUANTITY,
        codes.QUANTITY_TOO_SMALL,
        codes.QUANTITY_TOO_LARGE,
        codes.INVALID_PRICE,
        codes.PRICE_TOO_HIGH,
        codes.INVALID_DISPLAY,
        codes.NOTIONAL_TOO_SMALL,
        codes.NOTHING_TO_AMEND,
        codes.UNKNOWN_ORDER,
    }
    assert {code.code for code in shared} <= {str(reason) for reason in Reason}

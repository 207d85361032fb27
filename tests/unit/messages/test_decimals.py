from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomatch.messages.decimals import (
    SCALE,
    DecimalError,
    NotAMultiple,
    format_decimal,
    format_product,
    format_ratio,
    parse_decimal,
    parse_signed_decimal,
    parse_units,
)

values = st.integers(min_value=0, max_value=10**15 * SCALE - 1)


@given(values)
def test_every_value_survives_formatting_and_parsing(value: int) -> None:
    assert parse_decimal(format_decimal(value)) == value


@given(values)
def test_formatting_is_the_shortest_plain_decimal(value: int) -> None:
    text = format_decimal(value)
    assert Decimal(text) == Decimal(value).scaleb(-9)
    assert "e" not in text.lower()
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "NaN", "nan", "Infinity", "-Infinity", "1e400", "1E2", "-0", "-1", "+1", "0x10",
        "１２", "1２", "1.", ".5", "01", "00", "1,5", "1_000", "1 ", " 1", "1\n", "1.0000000001",
        "1.00000000000000001", "1234567890123456", "0.1.2", "٣", "1e-2", "--1",
    ],
)  # fmt: skip
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(DecimalError):
        parse_decimal(text)


def test_units_are_exact_multiples_only() -> None:
    tick = parse_decimal("0.05")
    assert parse_units("100.10", tick) == 2002
    with pytest.raises(NotAMultiple):
        parse_units("100.11", tick)


def test_a_fee_may_be_negative_but_only_once() -> None:
    assert parse_signed_decimal("-0.0001") == -100_000
    with pytest.raises(DecimalError):
        parse_signed_decimal("--0.0001")


def test_products_of_ticks_and_lots_are_exact() -> None:
    assert format_product(123, parse_decimal("0.01"), parse_decimal("0.00001")) == "0.0000123"
    assert format_product(-5, SCALE, SCALE) == "-5"


def test_ratios_round_to_nine_places() -> None:
    assert format_ratio(10, 3, parse_decimal("0.01")) == "0.033333333"

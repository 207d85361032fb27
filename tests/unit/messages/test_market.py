import msgspec
import pytest

from gomatch.engine import NOTIONAL_LIMIT, BandMode, SelfTrade
from gomatch.errors import ConfigurationError
from gomatch.messages.market import MarketDefinition, order_id, parse_order_id

BTC = MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.00001")


def test_a_minimal_definition_gives_a_working_configuration() -> None:
    config = BTC.config()
    assert config.min_quantity == 1
    assert config.max_price * config.max_quantity <= NOTIONAL_LIMIT
    assert config.self_trade is SelfTrade.CANCEL_NEWEST


def test_every_field_reaches_the_engine_in_its_own_unit() -> None:
    config = msgspec.structs.replace(
        BTC,
        min_quantity="0.001",
        max_quantity="100",
        min_notional="5",
        self_trade_prevention="decrement",
        price_band_mode="halt",
        price_band="0.1",
        reference_price="50000",
        maker_fee="-0.0001",
        taker_fee="0.0005",
        max_open_orders=200,
    ).config()
    assert (config.min_quantity, config.max_quantity) == (100, 10_000_000)
    assert config.min_notional == 5 * 10**7
    assert config.self_trade is SelfTrade.DECREMENT
    assert (config.band_mode, config.band) == (BandMode.HALT, 100_000_000)
    assert config.reference_price == 5_000_000
    assert (config.maker_fee, config.taker_fee) == (-100_000, 500_000)
    assert config.max_open_orders == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base", "btc"),
        ("quote", ""),
        ("quote", "A" * 17),
        ("tick_size", "0"),
        ("tick_size", "NaN"),
        ("lot_size", "1e-5"),
        ("min_quantity", "0"),
        ("min_quantity", "0.000001"),
        ("max_quantity", "0.000001"),
        ("max_quantity", "1e9"),
        ("min_notional", "-5"),
        ("reference_price", "0.001"),
        ("maker_fee", "abc"),
        ("maker_fee", "1.1"),
        ("taker_fee", "-1.1"),
        ("price_band", "101"),
        ("max_quantity", "10000001"),
        ("max_open_orders", 10**10),
        ("max_open_orders", -1),
    ],
)
def test_a_definition_that_cannot_work_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        msgspec.structs.replace(BTC, **{field: value}).config()


def test_a_price_band_needs_a_width() -> None:
    with pytest.raises(ConfigurationError, match="price_band"):
        msgspec.structs.replace(BTC, price_band_mode="refuse").config()


def test_order_ids_are_the_market_and_the_number() -> None:
    assert parse_order_id(order_id("BTC-USDT", 17)) == ("BTC-USDT", 17)


@pytest.mark.parametrize(
    "text", ["", "17", "BTC-USDT-", "-17", "BTC-USDT-017", "BTC-USDT-１７", "BTC-USDT-x", "A" * 99]
)
def test_other_texts_are_no_order_ids(text: str) -> None:
    assert parse_order_id(text) is None


def test_an_order_id_of_absurd_size_is_none() -> None:
    assert parse_order_id("BTC-USDT-" + "9" * 30) is None

"""What of a Market may change once it is stored, and what may not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.market_schema import MINIMAL, market_schema
from tests.integration.operator.crd.market_kind import MarketKind, Refused

_BAND = {"mode": "Halt", "fraction": "0.1"}


def _never(field: str, kept: str) -> str:
    return (
        f"spec.{field}: Forbidden: the {field} of a market never changes: "
        f"keep {kept}, or create another Market"
    )


IDENTITY: list[tuple[Mapping[str, Any], list[str]]] = [
    (
        {"symbol": "ETH-USDT", "base": "ETH"},
        [_never("base", "BTC"), _never("symbol", "BTC-USDT")],
    ),
    (
        {"symbol": "BTC-EUR", "quote": "EUR"},
        [_never("quote", "USDT"), _never("symbol", "BTC-USDT")],
    ),
    ({"tickSize": "0.001"}, [_never("tickSize", '"0.01"')]),
    ({"lotSize": "1"}, [_never("lotSize", '"0.00001"')]),
]

CHANGES: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
    ({"minQuantity": "1", "maxQuantity": "2"}, {"minQuantity": "3", "maxQuantity": "4"}),
    ({"minNotional": "10"}, {"minNotional": "5"}),
    ({"referencePrice": "100"}, {"referencePrice": "200"}),
    ({"state": "Closed"}, {"state": "Running"}),
    ({"transport": "Kafka"}, {"transport": "RabbitMQ"}),
    ({"selfTradePrevention": "None"}, {"selfTradePrevention": "Decrement"}),
    ({"priceBand": {"mode": "None"}}, {"priceBand": _BAND}),
    ({"fees": {"maker": "-0.001"}}, {"fees": {"taker": "0.002"}}),
    ({"maxOpenOrders": 10}, {"maxOpenOrders": 5}),
    ({"standbys": 2}, {"standbys": 1}),
    (
        {"matcher": {"image": "example.com/matcher:1", "podLabels": {"team": "a"}}},
        {"matcher": {"image": "example.com/matcher:2", "nodeSelector": {"zone": "b"}}},
    ),
    ({"queue": {"maxLength": 10}}, {"queue": {"maxLength": 20}}),
    ({"snapshot": {"interval": "1m"}}, {"snapshot": {"interval": "2h"}}),
    ({"retention": {"orders": "1d", "journal": "2d"}}, {"retention": {"orders": "3d"}}),
    ({"deletionPolicy": "Delete"}, {"deletionPolicy": "Retain"}),
    ({"drainTimeoutSeconds": 10}, {"drainTimeoutSeconds": 20}),
]


def _id(case: object) -> str:
    return json.dumps(case)[:60]


@pytest.mark.parametrize(("changed", "says"), IDENTITY, ids=_id)
def test_identity_never_changes(
    markets: MarketKind, changed: Mapping[str, Any], says: list[str]
) -> None:
    stored = markets.created(MINIMAL)

    with pytest.raises(Refused) as refused:
        markets.changed(stored, {**MINIMAL, **changed})

    assert sorted(refused.value.lines) == says


@pytest.mark.parametrize(
    ("field", "written", "rewritten"),
    [("tickSize", "0.10", "0.1"), ("tickSize", "5", "5.000"), ("lotSize", "0.1", "0.100000000")],
)
def test_the_same_decimal_written_otherwise_is_no_change_of_identity(
    markets: MarketKind, field: str, written: str, rewritten: str
) -> None:
    stored = markets.created({**MINIMAL, field: written})

    assert markets.changed(stored, {**MINIMAL, field: rewritten})["spec"][field] == rewritten


def test_the_smallest_difference_is_a_change_of_identity(markets: MarketKind) -> None:
    stored = markets.created({**MINIMAL, "tickSize": "999999999999999.999999999"})

    with pytest.raises(Refused) as refused:
        markets.changed(stored, {**MINIMAL, "tickSize": "999999999999999.999999998"})

    assert refused.value.blamed == {"spec.tickSize"}


@pytest.mark.parametrize("text", ["0,02", "1e999999999"])
def test_a_malformed_identity_is_refused_for_its_form(markets: MarketKind, text: str) -> None:
    stored = markets.created(MINIMAL)

    with pytest.raises(Refused) as refused:
        markets.changed(stored, {**MINIMAL, "tickSize": text})

    assert [line.partition(" such as")[0] for line in refused.value.lines[1:]] == [
        'spec.tickSize: Invalid value: "string": write a plain decimal above 0 in quotes,'
    ]


@pytest.mark.parametrize(("before", "after"), CHANGES, ids=_id)
def test_everything_else_may_be_changed(
    markets: MarketKind, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    stored = markets.created({**MINIMAL, **before})

    changed = markets.changed(stored, {**MINIMAL, **after})

    wanted = markets.tried({**MINIMAL, **after})
    assert changed["spec"] == wanted["spec"]
    assert changed["metadata"]["generation"] == 2


@pytest.mark.parametrize("before", [before for before, _ in CHANGES], ids=_id)
def test_what_is_optional_may_be_left_out_again(
    markets: MarketKind, before: Mapping[str, Any]
) -> None:
    stored = markets.created({**MINIMAL, **before})

    assert markets.changed(stored, MINIMAL)["spec"] == markets.tried(MINIMAL)["spec"]


def test_the_table_of_changes_has_every_field_but_the_identity() -> None:
    changed = {field for before, _ in CHANGES for field in before}

    assert changed == set(market_schema()["properties"]["spec"]["properties"]) - set(MINIMAL)


def test_a_price_band_is_not_lost_by_leaving_it_out(markets: MarketKind) -> None:
    stored = markets.created({**MINIMAL, "priceBand": _BAND})

    with pytest.raises(Refused) as refused:
        markets.changed(stored, MINIMAL)

    assert str(refused.value) == (
        "spec.priceBand: Required value: a price band is not removed by leaving it out: to trade "
        "without one, write priceBand: {mode: None}"
    )
    off = markets.changed(stored, {**MINIMAL, "priceBand": {"mode": "None"}})
    assert "priceBand" not in markets.changed(off, MINIMAL)["spec"]


def test_a_price_band_does_not_lose_its_reference_price(markets: MarketKind) -> None:
    stored = markets.created({**MINIMAL, "priceBand": _BAND, "referencePrice": "100"})

    with pytest.raises(Refused) as refused:
        markets.changed(stored, {**MINIMAL, "priceBand": _BAND})

    assert str(refused.value) == (
        "spec.referencePrice: Required value: the price band needs it until the first trade: keep "
        "it or write another price, or set priceBand.mode to None"
    )
    other = markets.changed(stored, {**MINIMAL, "priceBand": _BAND, "referencePrice": "200"})
    off = markets.changed(other, {**MINIMAL, "priceBand": {"mode": "None"}})
    assert "referencePrice" not in off["spec"]

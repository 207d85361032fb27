"""The name of a Market, which the market's objects carry as well."""

from __future__ import annotations

import pytest

from tests.fixtures.market_schema import MINIMAL
from tests.integration.operator.crd.market_kind import MarketKind, Refused


@pytest.mark.parametrize("name", ["a", "btc-usdt", "x1", "a" * 40])
def test_a_name_of_a_label_of_at_most_40_is_taken(markets: MarketKind, name: str) -> None:
    assert markets.tried(MINIMAL, name=name)["metadata"]["name"] == name


@pytest.mark.parametrize("name", ["default", "kubernetes", "kube-system", "gomatch", "status"])
def test_names_that_kubernetes_uses_elsewhere_are_taken(markets: MarketKind, name: str) -> None:
    """No object is called by the name alone."""
    assert markets.tried(MINIMAL, name=name)["metadata"]["name"] == name


@pytest.mark.parametrize(
    "name",
    ["1btc", "btc.usdt", "BTC-USDT", "btc_usdt", "btc-", "-btc", "a" * 41, "a" * 253, "a" * 254],
    ids=lambda name: f"{name[:9]}-{len(name)}",
)
def test_any_other_name_is_refused_with_what_to_write(markets: MarketKind, name: str) -> None:
    with pytest.raises(Refused) as refused:
        markets.tried(MINIMAL, name=name)

    assert refused.value.lines[-1] == (
        'metadata.name: Invalid value: "object": the market\'s objects are called by it: write '
        '1 to 40 of a-z, 0-9 and "-", beginning with a letter and not ending with "-", '
        "such as btc-usdt"
    )

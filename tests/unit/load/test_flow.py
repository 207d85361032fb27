from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import msgspec
import pytest

from gomatch.errors import ConfigurationError
from gomatch.load.flow import BENCH_MIX, REALISTIC_MIX, FlowMarket, FlowMix, Kind, OrderFlow
from gomatch.messages.decimals import parse_units

TICK = 10_000_000
LOT = 1_000_000
MARKET = FlowMarket(symbol="BTC-USDT", tick=TICK, lot=LOT, mid=50_000)


def orders(mix: FlowMix, count: int, *, seed: int = 7) -> list[tuple[Kind, dict[str, Any]]]:
    flow = OrderFlow(MARKET, mix, seed=seed)
    return [
        (operation.kind, msgspec.json.decode(b"{" + operation.members + b"}"))
        for operation in islice(flow, count)
    ]


def test_the_same_seed_gives_the_same_flow_and_another_seed_another() -> None:
    assert orders(REALISTIC_MIX, 500) == orders(REALISTIC_MIX, 500)
    assert orders(REALISTIC_MIX, 500) != orders(REALISTIC_MIX, 500, seed=8)


@pytest.mark.parametrize("mix", [BENCH_MIX, REALISTIC_MIX])
def test_the_shares_of_the_mix_are_kept(mix: FlowMix) -> None:
    kinds = Counter(kind for kind, _ in orders(mix, 20_000))
    assert kinds[Kind.REST] / 20_000 == pytest.approx(mix.resting, abs=0.02)
    assert kinds[Kind.CROSS] / 20_000 == pytest.approx(mix.crossing, abs=0.02)
    assert kinds[Kind.MARKET] / 20_000 == pytest.approx(mix.market, abs=0.02)
    assert kinds[Kind.CANCEL] / 20_000 == pytest.approx(mix.cancel, abs=0.02)


def test_every_order_is_on_tick_and_on_lot_and_near_the_mid() -> None:
    for kind, order in orders(REALISTIC_MIX, 20_000):
        if kind is Kind.CANCEL:
            assert order == {}
            continue
        assert order["market"] == "BTC-USDT"
        assert order["side"] in {"buy", "sell"}
        assert 1 <= parse_units(order["quantity"], LOT) <= 100
        if kind is Kind.MARKET:
            assert order["type"] == "market"
            assert "price" not in order
        else:
            assert order["type"] == "limit"
            assert abs(parse_units(order["price"], TICK) - MARKET.mid) < 500


def test_the_walk_stays_in_its_band_over_a_long_flow() -> None:
    crossing = FlowMix(resting=0, crossing=1, market=0, cancel=0)
    prices = [parse_units(order["price"], TICK) for _, order in orders(crossing, 100_000)]
    assert max(prices) > MARKET.mid + 10
    assert max(abs(price - MARKET.mid) for price in prices) <= 208


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5, -0.5), (0.5, 0.2, 0.1, 0.1)])
def test_shares_that_do_not_make_a_whole_are_refused(
    shares: tuple[float, float, float, float],
) -> None:
    resting, crossing, market, cancel = shares
    with pytest.raises(ConfigurationError):
        FlowMix(resting=resting, crossing=crossing, market=market, cancel=cancel)


def test_a_mid_too_low_for_the_walk_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        OrderFlow(FlowMarket(symbol="A-B", tick=1, lot=1, mid=200), BENCH_MIX, seed=1)

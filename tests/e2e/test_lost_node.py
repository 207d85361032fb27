"""The trading node stops without a word, as a machine that loses its network or hangs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fixtures.images import docker
from tests.fixtures.venue_on_cluster import Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_NO_ANSWER_SECONDS = 3.0


@pytest.fixture(autouse=True)
def led_from_the_trading_node(venue: VenueOnCluster) -> None:
    """Both markets. A standby of ETH-USDT is on the other node."""
    venue.kubectl("cordon", venue.servers_node)
    try:
        for market in ("btc-usdt", "eth-usdt"):
            venue.wait_until_ready(market)
            leader = venue.leader(market)
            if venue.matchers(market)[leader] == venue.servers_node:
                venue.kubectl("delete", "pod", leader)
            wait_for(
                lambda name=market: (  # type: ignore[misc]
                    venue.matchers(name).get(venue.leader(name)) == venue.trading_node
                ),
                what=f"{market} is led from the trading node",
            )
    finally:
        venue.kubectl("uncordon", venue.servers_node)
    wait_for(lambda: venue.status("eth-usdt").get("standbys") == 1, what="a standby that waits")
    venue.wait_until_ready("btc-usdt", "eth-usdt")


def test_a_standby_leads_within_15_seconds_and_the_old_leader_is_fenced(
    venue: VenueOnCluster, traders: Traders
) -> None:
    old = venue.leader("eth-usdt")
    (standby,) = set(venue.matchers("eth-usdt")) - {old}
    epoch = venue.epoch("ETH-USDT")

    with traders.client.load(
        "standby", traders.tokens, ["ETH-USDT"], timeout=_NO_ANSWER_SECONDS
    ) as sent:
        traders.wait_until_accepted(5)
        with paused(venue.trading_node):
            traders.trade("ETH-USDT", price="3000.00", timeout=15)
            assert venue.epoch("ETH-USDT") == epoch + 1
            wait_for(lambda: venue.leader("eth-usdt") == standby, what="the new leader shows")
        wait_for(lambda: "fenced" in venue.kubectl("logs", old), what="the old leader is fenced")
        wait_for(lambda: venue.status("eth-usdt").get("standbys") == 1, what="it stands by")
        traders.wait_until_accepted(5)

    assert venue.leader("eth-usdt") == standby
    assert venue.epoch("ETH-USDT") == epoch + 1
    (load,) = sent
    assert load.refused == []
    traders.check_all_are_found(load.accepted)


def test_without_a_standby_a_replacement_leads_within_90_seconds(
    venue: VenueOnCluster, traders: Traders
) -> None:
    old = venue.leader("btc-usdt")

    with traders.client.load(
        "replaced", traders.tokens, ["BTC-USDT"], timeout=_NO_ANSWER_SECONDS
    ) as sent:
        traders.wait_until_accepted(5)
        with paused(venue.trading_node):
            traders.trade("BTC-USDT", price="3000.00", timeout=90)
            wait_for(lambda: venue.leader("btc-usdt") != old, what="the new leader shows")
            replacement = venue.leader("btc-usdt")
        wait_for(lambda: not venue.exists("pod", old), what="the old leader has gone")
        traders.wait_until_accepted(5)

    assert venue.leader("btc-usdt") == replacement
    (load,) = sent
    assert load.refused == []
    traders.check_all_are_found(load.accepted)


@contextmanager
def paused(node: str) -> Iterator[None]:
    docker("pause", node)
    try:
        yield
    finally:
        docker("unpause", node)

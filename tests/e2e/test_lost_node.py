"""The trading node stops without a word, as a machine that loses its network or hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.fixtures.figures import Figures
from tests.fixtures.images import docker
from tests.fixtures.venue_on_cluster import Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_NO_ANSWER_SECONDS = 3.0


def test_a_standby_leads_within_15_seconds_and_the_old_leader_is_fenced(
    venue: VenueOnCluster, traders: Traders, figures: Figures
) -> None:
    old = led_from_the_trading_node(venue, "eth-usdt")
    standby = waits_on_the_other_node(venue, "eth-usdt", old)
    epoch = venue.epoch("ETH-USDT")
    before = datetime.now(UTC)

    with traders.client.load(
        "standby", traders.tokens, ["ETH-USDT"], timeout=_NO_ANSWER_SECONDS
    ) as sent:
        traders.wait_until_accepted(5)
        with paused(venue.trading_node):
            began = time.monotonic()
            wait_for(
                lambda: venue.holder("ETH-USDT") == standby, what="the standby leads", timeout=15
            )
            figures.add(
                "Node paused, to a standby that leads", time.monotonic() - began, aim="15 s"
            )
            traders.trade("ETH-USDT", price="3000.00")
            assert venue.epoch("ETH-USDT") == epoch + 1
            wait_for(lambda: venue.leader("eth-usdt") == standby, what="the new leader shows")
        wait_for(lambda: gave_up(venue, old, since=before), what="the old leader is fenced")
        wait_for(lambda: venue.status("eth-usdt").get("standbys") == 1, what="it stands by")
        traders.wait_until_accepted(5)

    assert venue.leader("eth-usdt") == standby
    assert venue.epoch("ETH-USDT") == epoch + 1
    (load,) = sent
    assert load.refused == []
    traders.check_all_are_found(load.accepted)


def test_without_a_standby_a_replacement_leads_within_90_seconds(
    venue: VenueOnCluster, traders: Traders, figures: Figures
) -> None:
    old = led_from_the_trading_node(venue, "btc-usdt")

    with traders.client.load(
        "replaced", traders.tokens, ["BTC-USDT"], timeout=_NO_ANSWER_SECONDS
    ) as sent:
        traders.wait_until_accepted(5)
        with paused(venue.trading_node):
            began = time.monotonic()
            wait_for(
                lambda: venue.holder("BTC-USDT") != old, what="a replacement leads", timeout=90
            )
            figures.add(
                "Node paused, to a replacement that leads", time.monotonic() - began, aim="90 s"
            )
            traders.trade("BTC-USDT", price="3000.00")
            wait_for(lambda: venue.leader("btc-usdt") != old, what="the new leader shows")
            replacement = venue.leader("btc-usdt")
        wait_for(lambda: not venue.exists("pod", old), what="the old leader has gone")
        traders.wait_until_accepted(5)

    assert venue.leader("btc-usdt") == replacement
    (load,) = sent
    assert load.refused == []
    traders.check_all_are_found(load.accepted)


def gave_up(venue: VenueOnCluster, pod: str, *, since: datetime) -> bool:
    """By the word of PostgreSQL, or as its session was ended there by the one that leads now:
    whichever it hears first."""
    said = venue.kubectl("logs", pod, f"--since-time={since:%Y-%m-%dT%H:%M:%SZ}")
    return any(f'"event": "{event}"' in said for event in ("fenced", "store_unavailable"))


def led_from_the_trading_node(venue: VenueOnCluster, market: str) -> str:
    """The pod that leads, moved there if need be."""
    with cordoned(venue, venue.servers_node):
        for pod, node in venue.matchers(market).items():
            if node == venue.servers_node:
                venue.kubectl("delete", "pod", pod, timeout=120)
        wait_for(
            lambda: venue.matchers(market).get(venue.leader(market)) == venue.trading_node,
            what=f"{market} is led from the trading node",
        )
    return venue.leader(market)


def waits_on_the_other_node(venue: VenueOnCluster, market: str, leader: str) -> str:
    """The standby, moved there if need be."""
    with cordoned(venue, venue.trading_node):
        for pod in venue.matchers(market).keys() - {leader}:
            venue.kubectl("delete", "pod", pod, timeout=120)

        def standby() -> str:
            others = {pod: node for pod, node in venue.matchers(market).items() if pod != leader}
            assert list(others.values()) == [venue.servers_node], others
            (pod,) = others
            # The status may still tell of the one before.
            assert _is_ready(venue.object("pod", pod)), f"{pod} is not ready"
            assert venue.status(market).get("standbys") == 1
            return pod

        return wait_for(standby, what=f"a standby of {market} waits")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


@contextmanager
def cordoned(venue: VenueOnCluster, node: str) -> Iterator[None]:
    venue.kubectl("cordon", node)
    try:
        yield
    finally:
        venue.kubectl("uncordon", node)


@contextmanager
def paused(node: str) -> Iterator[None]:
    # With cgroup v1, runc gives up on a node whose processes do not all freeze at once.
    wait_for(lambda: docker("pause", node), what=f"{node} is paused", timeout=30)
    try:
        yield
    finally:
        docker("unpause", node)

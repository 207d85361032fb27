"""The operator's pod is killed at any time; its successor finishes what it began."""

from __future__ import annotations

from tests.fixtures.venue_on_cluster import Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_OPERATOR = "app.kubernetes.io/component=operator"


def test_a_market_is_finished_by_the_successor_of_an_operator_killed_in_the_middle(
    venue: VenueOnCluster, traders: Traders
) -> None:
    (killed,) = venue.objects("pods", _OPERATOR)
    venue.apply_market("ADA", deletionPolicy="Delete")
    wait_for(
        lambda: venue.objects("configmaps", "gomatch.io/market=ada-usdt"),
        what="the first object of the Market",
        every=0,
    )

    venue.kubectl(
        *("delete", "pod", killed["metadata"]["name"], "--grace-period=0", "--force"),
    )

    venue.wait_until_ready("ada-usdt")
    traders.trade("ADA-USDT", price="1.00")
    wait_for(
        lambda: venue.condition("ada-usdt", "Progressing") == ("False", "Settled"),
        what="the successor has nothing left to do",
    )


def test_markets_trade_while_there_is_no_operator(venue: VenueOnCluster, traders: Traders) -> None:
    operator = "deployment/gomatch-operator"
    venue.kubectl("scale", operator, "--replicas=0")
    wait_for(lambda: not venue.objects("pods", _OPERATOR), what="no operator")

    traders.trade("BTC-USDT", price="50000.00")
    killed = venue.leader("btc-usdt")
    venue.kubectl("delete", "pod", killed, "--wait=false")
    traders.trade("BTC-USDT", price="50000.00")

    venue.kubectl("scale", operator, "--replicas=1")
    venue.kubectl("rollout", "status", operator, "--timeout=120s", timeout=150)
    assert venue.leader("btc-usdt") != killed


def test_a_deleted_market_goes_with_everything_of_it(venue: VenueOnCluster) -> None:
    venue.kubectl("delete", "market", "ada-usdt", "--timeout=120s", timeout=150)

    selector = "gomatch.io/market=ada-usdt"
    kinds = "deployments,services,configmaps,networkpolicies,poddisruptionbudgets,pods"
    wait_for(lambda: not venue.objects(kinds, selector), what="no object of the Market")
    assert "ADA-USDT" not in venue.rabbitmqctl("list_queues", "--silent", "name")
    assert not venue.valkey("KEYS", "*ADA-USDT*")
    assert venue.sql("SELECT count(*) FROM markets WHERE symbol = 'ADA-USDT'") == "0"

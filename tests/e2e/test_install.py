"""From `helm install` and `kubectl apply` to trades."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.fixtures.figures import Figures
from tests.fixtures.venue_on_cluster import RELEASE, Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_ADDED = 5
_OF_HELM = "app.kubernetes.io/managed-by=Helm"


def test_helm_install_brings_up_api_operator_and_servers(venue: VenueOnCluster) -> None:
    """Helm looks at ReplicaSets, of which the Deployments tell a moment later."""
    expected = [
        f"{RELEASE}-{component}"
        for component in ("api", "operator", "postgresql", "rabbitmq", "valkey")
    ]

    def all_ready() -> bool:
        deployments = {
            each["metadata"]["name"]: each for each in venue.objects("deployments", _OF_HELM)
        }
        assert sorted(deployments) == expected
        for name, each in deployments.items():
            assert each["status"].get("readyReplicas") == each["spec"]["replicas"], name
        return True

    wait_for(all_ready, what="all replicas ready", timeout=30)


def test_helm_test_passes(venue: VenueOnCluster) -> None:
    said = venue.helm("test", RELEASE, "--timeout=2m")

    assert "Phase:          Succeeded" in said


def test_an_applied_market_becomes_ready_and_trades(
    venue: VenueOnCluster, traders: Traders
) -> None:
    venue.apply_example("btc-usdt")
    venue.wait_until_ready("btc-usdt")
    order = traders.trade("BTC-USDT", price="50000.00")

    alice, _ = traders.tokens
    fills = [each for each in traders.trades(alice) if each["order_id"] == order]
    assert [(each["side"], each["price"], each["quantity"]) for each in fills] == [
        ("buy", "50000", "0.01")
    ]


def test_each_market_added_to_a_running_venue_trades(
    venue: VenueOnCluster, traders: Traders, figures: Figures
) -> None:
    for number in range(_ADDED):
        started = time.monotonic()
        name = venue.apply_market(f"ADD{number}", deletionPolicy="Delete")
        venue.wait_until_ready(name)
        figures.add("`kubectl apply` to Ready", time.monotonic() - started)
        traders.trade(f"ADD{number}-USDT", price="100.00")
        figures.add("`kubectl apply` to the first trade", time.monotonic() - started, aim="10 s")

    added = [f"add{number}-usdt" for number in range(_ADDED)]
    venue.kubectl("delete", "market", *added, "--wait", "--timeout=240s", timeout=300)
    assert venue.sql("SELECT count(*) FROM markets WHERE symbol LIKE 'ADD%'") == "0"


def test_a_market_with_a_standby_has_it_on_another_node(
    venue: VenueOnCluster, traders: Traders
) -> None:
    venue.apply_example("eth-usdt")
    venue.wait_until_ready("eth-usdt")
    traders.trade("ETH-USDT", price="3000.00")

    wait_for(lambda: venue.status("eth-usdt")["standbys"] == 1, what="a standby that waits")
    nodes = venue.matchers("eth-usdt").values()
    assert sorted(nodes) == sorted([venue.servers_node, venue.trading_node])


def test_the_namespace_of_the_release_refuses_pods_that_are_not_restricted(
    venue: VenueOnCluster,
) -> None:
    """So what runs in it, and is ready above, meets the restricted Pod Security Standard."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        venue.kubectl("run", "privileged", "--image=none", "--privileged", "--dry-run=server")

    assert 'violates PodSecurity "restricted' in refused.value.stderr

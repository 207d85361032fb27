"""What kubectl shows of a Market, and what it can do with one."""

from __future__ import annotations

import subprocess

import pytest

from tests.fixtures.venue_on_cluster import Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

pytestmark = pytest.mark.usefixtures("traders")


def test_get_mkt_shows_symbol_state_readiness_leader_and_depth(venue: VenueOnCluster) -> None:
    expected = ["btc-usdt", "BTC-USDT", "Running", "True", venue.leader("btc-usdt"), "0"]

    def shown() -> bool:
        header, line = venue.kubectl("get", "mkt", "btc-usdt").splitlines()
        assert header.split() == ["NAME", "SYMBOL", "STATE", "READY", "LEADER", "DEPTH", "AGE"]
        *columns, age = line.split()
        assert age
        assert columns == expected, columns
        return True

    wait_for(shown, what=f"{expected}")


def test_explain_describes_a_field(venue: VenueOnCluster) -> None:
    assert "Immutable" in venue.kubectl("explain", "market.spec.tickSize")


def test_scale_adds_and_removes_standbys(venue: VenueOnCluster) -> None:
    venue.kubectl("scale", "mkt/btc-usdt", "--replicas=1")
    wait_for(lambda: venue.status("btc-usdt").get("standbys") == 1, what="one standby")
    scale = venue.kubectl("get", "mkt/btc-usdt", "--subresource=scale", "--output=name")
    assert scale
    leader = venue.leader("btc-usdt")

    venue.kubectl("scale", "mkt/btc-usdt", "--replicas=0")
    wait_for(lambda: list(venue.matchers("btc-usdt")) == [leader], what="the leader is left alone")
    wait_for(lambda: venue.status("btc-usdt").get("standbys", 0) == 0, what="no standby")


def test_the_roles_of_pods_are_labels(venue: VenueOnCluster) -> None:
    leader = venue.leader("eth-usdt")

    def roles() -> dict[str, str]:
        pods = venue.objects("pods", "gomatch.io/market=eth-usdt")
        return {
            pod["metadata"]["name"]: pod["metadata"]["labels"].get("gomatch.io/role", "")
            for pod in pods
        }

    wait_for(lambda: sorted(roles().values()) == ["leader", "standby"], what="both have a role")
    assert roles()[leader] == "leader"


def test_a_change_of_the_identity_is_refused_with_what_to_do(venue: VenueOnCluster) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        venue.kubectl("patch", "mkt/btc-usdt", "--type=merge", '-p={"spec":{"tickSize":"0.1"}}')

    assert 'keep "0.01"' in refused.value.stderr


def test_a_halt_by_state_shows_and_ends(venue: VenueOnCluster, traders: Traders) -> None:
    def request(state: str) -> None:
        patch = f'-p={{"spec":{{"state":"{state}"}}}}'
        venue.kubectl("patch", "mkt/btc-usdt", "--type=merge", patch)
        wait_for(lambda: venue.status("btc-usdt")["state"] == state, what=state)

    request("Halted")
    assert venue.condition("btc-usdt", "Halted")[0] == "True"

    request("Running")
    traders.trade("BTC-USDT", price="50000.00")
    wait_for(lambda: venue.condition("btc-usdt", "Ready")[0] == "True", what="Ready is True")

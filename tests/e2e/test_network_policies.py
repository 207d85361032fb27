"""Nothing enforces NetworkPolicies here, so what the release really does is held against them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.connections import Network
from tests.fixtures.network_policies import Connection, Peer, refused_by
from tests.fixtures.venue_on_cluster import NAMESPACE, Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_MATCHER = "gomatch-matcher"
_EXPECTED = {
    ("client", "gomatch-api", 8080),
    ("gomatch-api", "gomatch-postgresql", 5432),
    ("gomatch-api", "gomatch-rabbitmq", 5672),
    (_MATCHER, "gomatch-postgresql", 5432),
    (_MATCHER, "gomatch-rabbitmq", 5672),
    (_MATCHER, "gomatch-valkey", 6379),
    (_MATCHER, "gomatch-api", 8081),
    (_MATCHER, "coredns", 53),
    ("gomatch-operator", "gomatch-postgresql", 5432),
    ("gomatch-operator", "gomatch-rabbitmq", 15672),
    ("gomatch-operator", "gomatch-valkey", 6379),
    ("gomatch-operator", "node", 6443),
}


@pytest.fixture(scope="module")
def policies(venue: VenueOnCluster) -> list[Mapping[str, Any]]:
    found = venue.cluster.kubectl("get", "networkpolicies", "--all-namespaces", "--output=json")
    return list(json.loads(found)["items"])


@pytest.fixture(scope="module")
def connections(venue: VenueOnCluster, traders: Traders) -> list[Connection]:
    """Of the pods that run, with those that ended during the last minute: looked at until all that
    are expected were seen."""
    nodes = [venue.servers_node, venue.trading_node]
    network = Network(venue.cluster)
    found: list[Connection] = []

    def all_seen() -> bool:
        for market in ("BTC-USDT", "ETH-USDT"):
            traders.trade(market, price="3000.00")
        found.extend(
            each
            for each in network.connections(nodes)
            if NAMESPACE in (each.source.namespace, each.target.namespace)
        )
        missing = _EXPECTED - {
            (_name(each.source), _name(each.target), each.port) for each in found
        }
        assert not missing, missing
        return True

    wait_for(all_seen, what="every connection that the release needs")
    return found


def test_every_connection_of_the_release_is_allowed(
    connections: list[Connection], policies: list[Mapping[str, Any]]
) -> None:
    refused = {str(each): by for each in connections if (by := refused_by(each, policies))}

    assert refused == {}


@pytest.mark.parametrize(
    ("source", "target", "port", "by"),
    [
        ("client", "gomatch-postgresql", 5432, ["ingress"]),
        ("client", "gomatch-api", 8081, ["ingress"]),
        ("gomatch-api", "gomatch-valkey", 6379, ["egress"]),
        ("gomatch-postgresql", "gomatch-api", 8080, ["egress"]),
        (_MATCHER, "gomatch-rabbitmq", 15672, ["egress"]),
        (_MATCHER, "gomatch-operator", 9091, ["egress"]),
    ],
)
def test_what_the_release_does_not_do_is_refused(
    connections: list[Connection],
    policies: list[Mapping[str, Any]],
    source: str,
    target: str,
    port: int,
    by: list[str],
) -> None:
    peers: dict[str, Peer] = {}
    for each in connections:
        peers |= {_name(each.source): each.source, _name(each.target): each.target}

    connection = Connection(source=peers[source], target=peers[target], port=port)

    assert refused_by(connection, policies) == by


def _name(peer: Peer) -> str:
    if peer.is_node:
        return "node"
    if peer.namespace == "kube-system":
        return "coredns"
    return peer.labels.get("app.kubernetes.io/name", peer.name)

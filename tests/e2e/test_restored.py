"""What a person deletes or edits by hand comes back, in the cluster and outside, and the market
trades on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.venue_on_cluster import Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_NAME = "btc-usdt-matcher"
_QUEUE = "gomatch.orders.BTC-USDT"

pytestmark = pytest.mark.usefixtures("traders")


@pytest.mark.parametrize(
    "kind", ["service", "poddisruptionbudget", "networkpolicy", "configmap", "deployment"]
)
def test_a_deleted_object_comes_back(venue: VenueOnCluster, traders: Traders, kind: str) -> None:
    before = venue.object(kind, _NAME)

    venue.kubectl("delete", kind, _NAME)

    wait_for(lambda: venue.exists(kind, _NAME), what=f"{kind} {_NAME} is there again")
    after = venue.object(kind, _NAME)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    venue.wait_until_ready("btc-usdt")
    traders.trade("BTC-USDT", price="50000.00")


@pytest.mark.parametrize(
    ("kind", "patch", "path"),
    [
        ("service", {"spec": {"selector": {"app": "another"}}}, ("spec", "selector")),
        ("poddisruptionbudget", {"spec": {"maxUnavailable": 0}}, ("spec", "maxUnavailable")),
        ("networkpolicy", {"spec": {"egress": None}}, ("spec", "egress")),
        ("configmap", {"data": {"GOMATCH_MARKET": "DOGE-USDT"}}, ("data", "GOMATCH_MARKET")),
        ("deployment", {"spec": {"replicas": 0}}, ("spec", "replicas")),
    ],
)
def test_an_edited_object_is_as_it_was(
    venue: VenueOnCluster,
    traders: Traders,
    kind: str,
    patch: dict[str, Any],
    path: tuple[str, str],
) -> None:
    def value() -> Any:
        part, field = path
        return venue.object(kind, _NAME)[part].get(field)

    before = value()
    generation = venue.object(kind, _NAME)["metadata"]["resourceVersion"]

    venue.kubectl("patch", kind, _NAME, "--type=merge", f"--patch={json.dumps(patch)}")

    wait_for(lambda: value() == before, what=f"{kind} has its {'.'.join(path)} again")
    assert venue.object(kind, _NAME)["metadata"]["resourceVersion"] != generation
    venue.wait_until_ready("btc-usdt")
    traders.trade("BTC-USDT", price="50000.00")


def test_what_others_add_to_an_object_stays(venue: VenueOnCluster) -> None:
    venue.kubectl("label", "deployment", _NAME, "team=markets")
    venue.kubectl("annotate", "deployment", _NAME, "example.com/contact=markets")
    patch = '{"spec":{"replicas":2}}'

    venue.kubectl("patch", "deployment", _NAME, "--type=merge", f"--patch={patch}")

    wait_for(lambda: venue.object("deployment", _NAME)["spec"]["replicas"] == 1, what="one replica")
    metadata = venue.object("deployment", _NAME)["metadata"]
    assert metadata["labels"]["team"] == "markets"
    assert metadata["annotations"]["example.com/contact"] == "markets"


def test_a_deleted_queue_comes_back(venue: VenueOnCluster, traders: Traders) -> None:
    venue.rabbitmqctl("delete_queue", _QUEUE)

    def queues() -> list[str]:
        return venue.rabbitmqctl("list_queues", "--silent", "name").split()

    wait_for(lambda: _QUEUE in queues(), what="the queue is there again")
    traders.trade("BTC-USDT", price="50000.00")
    wait_for(
        lambda: venue.condition("btc-usdt", "QueueReady")[0] == "True", what="QueueReady is True"
    )


def test_a_deleted_mirror_comes_back(venue: VenueOnCluster, traders: Traders) -> None:
    pattern = "gomatch:{BTC-USDT}:*"

    def mirror() -> set[str]:
        return set(venue.valkey("KEYS", pattern).split())

    meta = "gomatch:{BTC-USDT}:meta"
    wait_for(lambda: meta in mirror(), what="a mirror")
    venue.valkey("DEL", *mirror())

    wait_for(lambda: meta in mirror(), what="the mirror is there again", timeout=60)
    wait_for(
        lambda: venue.condition("btc-usdt", "CacheReady")[0] == "True", what="CacheReady is True"
    )
    traders.trade("BTC-USDT", price="50000.00")

"""The end: an audit over everything that was sent, and removal in the order of docs/install.md."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures.pasted import documented_commands
from tests.fixtures.venue_on_cluster import NAMESPACE, RELEASE, Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_CRD = "markets.gomatch.io"
_PAGE = "docs/install.md"
_BY_KUBERNETES = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def test_an_audit_of_everything_that_was_sent_is_clean(
    venue: VenueOnCluster, traders: Traders
) -> None:
    """As a Job with what a matcher has: its settings and its credentials, and none of the variables
    that Kubernetes makes of Services, as GOMATCH_API_PORT."""
    traders.trade("BTC-USDT", price="50000.00")
    pod = venue.object("deployment", "btc-usdt-matcher")["spec"]["template"]["spec"]

    venue.kubectl("apply", "-f", "-", stdin=json.dumps(_audit(pod)))
    wait_for(lambda: _ended(venue), what="the Job has ended", timeout=180)
    report = json.loads(venue.kubectl("logs", "job/audit"))
    venue.kubectl("delete", "job", "audit")

    assert report.get("findings") == [], report
    assert (report["clean"], report["complete"]) == (True, True)


def test_the_documented_audit_runs_in_the_pod_of_a_matcher(venue: VenueOnCluster) -> None:
    command = documented_commands(_PAGE, "kubectl -n markets-spot exec deployment/btc-usdt-matcher")

    said = venue.shell(command.replace("markets-spot", NAMESPACE))

    assert said.rstrip().endswith("clean"), said


def test_deleted_markets_leave_their_data_in_postgresql_alone(
    venue: VenueOnCluster, traders: Traders
) -> None:
    orders = len(traders.orders())
    counts = "SELECT count(*) FROM orders"
    stored = venue.sql(counts)
    assert orders > 0

    venue.kubectl("delete", "markets", "--all", "--wait", "--timeout=240s", timeout=300)

    wait_for(
        lambda: not venue.objects(_kinds(venue), "app.kubernetes.io/managed-by=gomatch-operator"),
        what="no object of a Market",
    )
    assert "USDT" not in venue.rabbitmqctl("list_queues", "--silent", "name")
    assert "USDT" not in venue.rabbitmqctl("list_policies", "--silent")
    assert not venue.valkey("KEYS", "*USDT*")
    assert venue.sql(counts) == stored
    assert venue.sql("SELECT count(*) FROM claims WHERE held") == "0"
    assert (
        venue.sql(
            "SELECT count(*) FROM intake JOIN heads USING (market_id) WHERE accepted <> applied"
        )
        == "0"
    )


def test_a_market_applied_again_goes_on_with_its_data(
    venue: VenueOnCluster, traders: Traders
) -> None:
    before = traders.orders()

    venue.apply_example("btc-usdt")
    venue.wait_until_ready("btc-usdt")
    order = traders.trade("BTC-USDT", price="50000.00")

    assert order not in before
    assert before.keys() < traders.orders().keys()
    venue.kubectl("delete", "market", "btc-usdt", "--wait", "--timeout=240s", timeout=300)


def test_helm_uninstall_leaves_what_it_says(venue: VenueOnCluster) -> None:
    venue.helm("uninstall", RELEASE, "--wait")

    def left() -> set[str]:
        return {
            f"{each['kind'].lower()}/{each['metadata']['name']}"
            for each in venue.objects(_kinds(venue))
            if each["metadata"]["name"] != NAMESPACE
        } - _BY_KUBERNETES

    def wait_until_left(expected: set[str]) -> None:
        def look() -> bool:
            found = left()
            assert found == expected, sorted(found)
            return True

        wait_for(look, what=f"only {sorted(expected)} are left")

    kept = {
        f"secret/{RELEASE}-{name}"
        for name in ("postgresql", "rabbitmq", "valkey", "server", "callback")
    } | {f"serviceaccount/{RELEASE}-matcher"}
    wait_until_left(kept)
    assert venue.exists("crd", _CRD)

    commands = documented_commands(_PAGE, "for namespace in gomatch markets-spot markets-test; do")
    venue.shell(commands.replace("gomatch markets-spot markets-test", NAMESPACE))

    wait_until_left(set())
    assert venue.objects("leases") == []
    assert not venue.exists("crd", _CRD)
    everywhere = venue.kubectl(
        *("get", "clusterroles,clusterrolebindings", "--output=name"),
    )
    assert "gomatch" not in everywhere


def _kinds(venue: VenueOnCluster) -> str:
    """Every kind of which there can be objects in a namespace, but Events and what follows from
    others."""
    names = venue.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name")
    passing = ("events", "endpoints", "endpointslices", "leases", "controllerrevisions")
    return ",".join(name for name in names.split() if name.partition(".")[0] not in passing)


def _ended(venue: VenueOnCluster) -> bool:
    status = venue.object("job", "audit").get("status", {})
    return bool(status.get("succeeded") or status.get("failed"))


def _audit(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    kept = ("image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext")
    template = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod["securityContext"],
        "volumes": pod["volumes"],
        "containers": [
            {
                "name": "audit",
                "command": ["python", "-m", "gomatch.cli", "audit", "--json"],
                **{each: container[each] for each in kept},
            }
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "audit"},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }

"""NetworkPolicies allow every connection that the programs make. Nothing enforces them here, so
the rules are followed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.chart.helm import Document, Helm, of_kind, pod_templates
from tests.integration.chart.test_configuration import operator_settings

MATCHER = {
    "app.kubernetes.io/name": "gomatch-matcher",
    "app.kubernetes.io/managed-by": "gomatch-operator",
}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
CONNECTIONS = [
    ("api", "postgresql", "postgresql"),
    ("api", "rabbitmq", "amqp"),
    ("operator", "postgresql", "postgresql"),
    ("operator", "rabbitmq", "management"),
    ("operator", "valkey", "redis"),
    ("test", "api", "http"),
]


@pytest.mark.parametrize("value_set", ["dev", "everything"])
@pytest.mark.parametrize(("source", "target", "port"), CONNECTIONS)
def test_what_the_programs_need_is_allowed(
    helm: Helm, value_set: str, source: str, target: str, port: str
) -> None:
    venue = Venue(helm.render(value_set))
    labels = venue.labels(source)
    assert venue.allows_in(target, port, labels, namespace="venue")
    assert venue.allows_out(source, venue.number(target, port))


@pytest.mark.parametrize("value_set", ["dev", "everything"])
def test_matchers_reach_the_api_and_their_servers(
    helm: Helm, value_set: str, tmp_path: Path
) -> None:
    documents = helm.render(value_set)
    venue = Venue(documents)
    for namespace in operator_settings(documents, tmp_path).namespaces:
        for target, port in (
            ("api", "callback"),
            ("postgresql", "postgresql"),
            ("rabbitmq", "amqp"),
            ("valkey", "redis"),
        ):
            assert venue.allows_in(target, port, MATCHER, namespace=namespace)


def test_strangers_reach_neither_servers_nor_the_callback(helm: Helm) -> None:
    venue = Venue(helm.render())
    for target, port in (
        ("api", "callback"),
        ("postgresql", "postgresql"),
        ("rabbitmq", "amqp"),
        ("rabbitmq", "management"),
        ("valkey", "redis"),
    ):
        assert not venue.allows_in(target, port, {"app": "stranger"}, namespace="venue")
        assert not venue.allows_in(target, port, MATCHER, namespace="elsewhere")


def test_everybody_may_use_the_api_unless_the_values_say_who(helm: Helm) -> None:
    open_to_all = Venue(helm.render())
    restricted = Venue(helm.render("everything"))
    assert open_to_all.allows_in("api", "http", {"app": "client"}, namespace="elsewhere")
    assert not restricted.allows_in("api", "http", {"app": "client"}, namespace="elsewhere")


@pytest.mark.parametrize("target", ["api", "operator"])
def test_prometheus_may_scrape(helm: Helm, target: str) -> None:
    port = "http" if target == "api" else "metrics"
    for value_set in ("dev", "everything"):
        venue = Venue(helm.render(value_set))
        assert venue.allows_in(target, port, PROMETHEUS, namespace="monitoring")


def test_the_operator_reaches_the_api_server(helm: Helm) -> None:
    venue = Venue(helm.render())
    assert venue.allows_out("operator", 443)
    assert venue.allows_out("operator", 6443)
    assert not venue.allows_out("api", 6443)


def test_names_can_be_resolved(helm: Helm) -> None:
    venue = Venue(helm.render())
    for source in ("api", "operator"):
        assert venue.allows_out(source, 53, protocol="UDP")
        assert venue.allows_out(source, 53)


def test_they_can_be_left_out(helm: Helm) -> None:
    documents = helm.render(values={"networkPolicy": {"enabled": False}})
    assert of_kind(documents, "NetworkPolicy") == []


class Venue:
    """Pods and policies of a release, by component."""

    def __init__(self, documents: list[Document]) -> None:
        component = "app.kubernetes.io/component"
        self._pods = {
            one["metadata"]["labels"][component]: one for one in pod_templates(documents).values()
        }
        self._policies = of_kind(documents, "NetworkPolicy")

    def labels(self, component: str) -> dict[str, str]:
        found: dict[str, str] = self._pods[component]["metadata"]["labels"]
        return found

    def number(self, component: str, port: str) -> int:
        (container,) = self._pods[component]["spec"]["containers"]
        (number,) = [one["containerPort"] for one in container["ports"] if one["name"] == port]
        return int(number)

    def allows_in(self, target: str, port: str, source: dict[str, str], *, namespace: str) -> bool:
        return any(
            any(one["port"] == port for one in rule["ports"])
            and ("from" not in rule or any(_is(p, source, namespace) for p in rule["from"]))
            for rule in self._policy(target)["spec"]["ingress"]
        )

    def allows_out(self, source: str, number: int, *, protocol: str = "TCP") -> bool:
        """To anywhere, as servers are known by name."""
        policies = [one for one in self._policies if self._selects(one, source)]
        return not policies or any(
            "to" not in rule and {"protocol": protocol, "port": number} in rule["ports"]
            for policy in policies
            for rule in policy["spec"]["egress"]
        )

    def _policy(self, component: str) -> Document:
        (policy,) = [one for one in self._policies if self._selects(one, component)]
        return policy

    def _selects(self, policy: Document, component: str) -> bool:
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        return bool(wanted <= self.labels(component).items())


def _is(peer: dict[str, Any], labels: dict[str, str], namespace: str) -> bool:
    """Whether a pod with ``labels`` in ``namespace`` is meant. The policy is in `venue`."""
    if "ipBlock" in peer:
        return False
    wanted = peer.get("podSelector", {}).get("matchLabels", {})
    if not wanted.items() <= labels.items():
        return False
    selector = peer.get("namespaceSelector")
    if selector is None:
        return namespace == "venue"
    names = [selector.get("matchLabels", {}).get("kubernetes.io/metadata.name", namespace)]
    for expression in selector.get("matchExpressions", []):
        assert expression["key"] == "kubernetes.io/metadata.name"
        assert expression["operator"] == "In"
        names = expression["values"]
    return namespace in names

"""What the chart lets the operator do, and who else gets rights: nobody."""

from __future__ import annotations

from tests.integration.chart.helm import Document, Helm, named, of_kind

_READ = {"get", "list", "watch"}
_KEEP = _READ | {"create", "patch", "update", "delete"}
WHERE_MARKETS_ARE = {
    "gomatch.io/markets": _READ | {"patch"},
    "gomatch.io/markets/status": {"patch"},
    "apps/deployments": _KEEP,
    "/services": _KEEP,
    "/configmaps": _KEEP,
    "policy/poddisruptionbudgets": _KEEP,
    "networking.k8s.io/networkpolicies": _KEEP,
    "/pods": _READ | {"patch"},
    "/events": {"list", "create"},
    "coordination.k8s.io/leases": {"create"},
    "coordination.k8s.io/leases gomatch-operator-canary": _READ | {"update"},
}
IN_ITS_OWN_NAMESPACE = {
    "/events": {"create"},
    "coordination.k8s.io/leases": {"create"},
    "coordination.k8s.io/leases gomatch-operator": {"get", "update"},
}
ON_THE_CRD = {
    "apiextensions.k8s.io/customresourcedefinitions markets.gomatch.io": {"get"},
}
LETTING_GO = {
    "gomatch.io/markets": {"get", "patch"},
    "gomatch.io/markets/status": {"patch"},
}
"""Everywhere, as the Role of a namespace that is being deleted goes before the Markets in it."""


def test_no_rule_has_a_wildcard_or_touches_secrets(rendered: list[Document]) -> None:
    for role in of_kind(rendered, "Role", "ClusterRole"):
        for rule in role["rules"]:
            for words in rule.values():
                assert not any("*" in word for word in words), rule
            assert "secrets" not in rule["resources"]


def test_the_operator_has_exactly_these_rights(helm: Helm) -> None:
    documents = helm.render()
    assert _rights(named(documents, "Role", "gomatch-operator-markets")) == WHERE_MARKETS_ARE
    assert _rights(named(documents, "Role", "gomatch-operator")) == IN_ITS_OWN_NAMESPACE
    (cluster_role,) = of_kind(documents, "ClusterRole")
    assert _rights(cluster_role) == ON_THE_CRD | LETTING_GO
    assert len(of_kind(documents, "Role")) == 2


def test_each_watched_namespace_has_a_role_and_no_other(helm: Helm) -> None:
    documents = helm.render(values={"watchNamespaces": ["spot", "test"]})
    for kind in ("Role", "RoleBinding"):
        namespaces = {
            one["metadata"]["namespace"]
            for one in of_kind(documents, kind)
            if one["metadata"]["name"] == "gomatch-operator-markets"
        }
        assert namespaces == {"spot", "test"}


def test_with_cluster_scope_the_same_rights_hold_everywhere(helm: Helm) -> None:
    documents = helm.render(values={"clusterScope": True})
    (cluster_role,) = of_kind(documents, "ClusterRole")
    assert _rights(cluster_role) == WHERE_MARKETS_ARE | ON_THE_CRD
    assert [one["metadata"]["name"] for one in of_kind(documents, "Role")] == ["gomatch-operator"]


def test_every_binding_gives_an_existing_role_to_the_operator_alone(
    rendered: list[Document],
) -> None:
    operator = next(
        one
        for one in of_kind(rendered, "Deployment")
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
    )
    subject = {
        "kind": "ServiceAccount",
        "name": operator["spec"]["template"]["spec"]["serviceAccountName"],
        "namespace": "venue",
    }
    for binding in of_kind(rendered, "RoleBinding", "ClusterRoleBinding"):
        assert binding["subjects"] == [subject]
        roles = [
            one
            for one in of_kind(rendered, binding["roleRef"]["kind"])
            if one["metadata"]["name"] == binding["roleRef"]["name"]
            and one["metadata"].get("namespace") == binding["metadata"].get("namespace")
        ]
        assert len(roles) == 1


def test_names_in_the_rights_are_those_in_the_configuration(helm: Helm) -> None:
    for release in ("gomatch", "another"):
        documents = helm.render(release=release)
        (configuration,) = [
            one["data"]["operator.yaml"]
            for one in of_kind(documents, "ConfigMap")
            if "operator.yaml" in one["data"]
        ]
        lease = next(
            line.split(": ")[1]
            for line in configuration.splitlines()
            if line.startswith("leaseName: ")
        )
        (own,) = [
            one
            for one in of_kind(documents, "Role")
            if not one["metadata"]["name"].endswith("-markets")
        ]
        assert f"coordination.k8s.io/leases {lease}" in _rights(own)


def _rights(role: Document) -> dict[str, set[str]]:
    """`group/resource` or, where objects are named, `group/resource name` -> verbs."""
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    key = f"{group}/{resource} {name}".strip()
                    found.setdefault(key, set()).update(rule["verbs"])
    return found

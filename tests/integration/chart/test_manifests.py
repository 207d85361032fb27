"""The chart gives what Kubernetes takes, under names that Kubernetes takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.integration.chart.helm import (
    CHART,
    OLDEST_KUBERNETES,
    REPOSITORY,
    VALUE_SETS,
    Document,
    Helm,
    named,
    of_kind,
    pod_templates,
)

_OF_PROMETHEUS = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
RELEASES = (
    "gomatch",
    "g",
    "1",
    "20-twenty",
    "with.dots",
    "a-release-whose-name-is-as-long-as-helm-allows-it-abc",
)


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_lint_has_no_complaint(helm: Helm, value_set: str) -> None:
    done = helm.run(
        *("lint", "--strict", str(CHART), "--kube-version", OLDEST_KUBERNETES),
        *("--values", str(VALUE_SETS[value_set])),
    )
    assert done.code == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_objects_are_what_the_schemas_of_kubernetes_say(
    helm: Helm, value_set: str, version: str
) -> None:
    documents = helm.render(value_set, kubernetes=version)
    for document in documents:
        if document["kind"] not in _OF_PROMETHEUS:
            kubernetes_validate.validate(document, version, strict=True)


def test_names_that_look_like_numbers_stay_names(helm: Helm) -> None:
    server = {"existingSecret": "1e3", "caConfigMap": "0123"}
    account = {"serviceAccount": {"create": False, "name": "1"}, "priorityClassName": "7"}
    values = {
        "global": {"imagePullSecrets": ["123"]},
        "postgresql": server,
        "rabbitmq": server,
        "redis": server,
        "server": {"existingSecret": "5"},
        "callback": {"existingSecret": "5"},
        "api": {**account, "ingress": {"enabled": True, "hosts": ["a.b"], "className": "9"}},
        "operator": account,
        "matcher": account,
        "dev": {"persistence": {"enabled": True, "storageClassName": "11"}},
    }
    for document in helm.render(values=values):
        kubernetes_validate.validate(document, OLDEST_KUBERNETES, strict=True)


def test_the_validation_sees_an_unknown_field(helm: Helm) -> None:
    service = named(helm.render(), "Service", "gomatch-api")
    service["spec"]["portz"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="portz"):
        kubernetes_validate.validate(service, OLDEST_KUBERNETES, strict=True)


def test_kubernetes_older_than_supported_is_refused(helm: Helm) -> None:
    done = helm.run(
        *("template", "gomatch", str(CHART), "--kube-version", "1.29.9"),
        *("--values", str(VALUE_SETS["dev"])),
    )
    assert done.code != 0
    assert "incompatible with Kubernetes v1.29.9" in done.stderr


@pytest.mark.parametrize("release", RELEASES)
def test_names_and_labels_are_valid_whatever_the_release_is_called(
    helm: Helm, release: str
) -> None:
    documents = helm.render("everything", release=release, namespace="n" * 63)
    for document in documents:
        metadata = document["metadata"]
        if document["kind"] != "CustomResourceDefinition":
            assert _SERVICE_NAME.fullmatch(metadata["name"]), metadata["name"]
        for labels in _labels(document):
            for label, value in labels.items():
                assert isinstance(value, str), label
                assert _LABEL.fullmatch(value), f"{label}: {value}"


def test_no_object_is_there_twice(rendered: list[Document]) -> None:
    keys = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered
    ]
    assert len(keys) == len(set(keys))


def test_releases_with_long_names_share_nothing(helm: Helm) -> None:
    names = []
    for ending in ("one", "two"):
        documents = helm.render(release="a-release-with-a-very-long-name-that-ends-in-" + ending)
        names.append({one["metadata"]["name"] for one in documents if not _shared(one)})
    assert names[0].isdisjoint(names[1])


def test_releases_of_two_namespaces_share_no_cluster_wide_object(helm: Helm) -> None:
    names = [
        {
            one["metadata"]["name"]
            for one in helm.render(namespace=namespace)
            if "namespace" not in one["metadata"] and not _shared(one)
        }
        for namespace in ("venue", "other")
    ]
    assert names[0]
    assert names[0].isdisjoint(names[1])


def test_selectors_select_the_pods_and_outlast_an_upgrade(helm: Helm) -> None:
    before = helm.render("everything")
    after = helm.render(
        "everything",
        {
            "commonLabels": {"example.com/team": "another", "app.kubernetes.io/version": "9"},
            "api": {"podLabels": {"app.kubernetes.io/name": "another"}, "image": {"tag": "9.9.9"}},
            "operator": {"podLabels": {"example.com/tier": "another"}},
            "dev": {"persistence": {"enabled": False}},
        },
    )
    for deployment in of_kind(before, "Deployment"):
        selector = deployment["spec"]["selector"]
        changed = named(after, "Deployment", deployment["metadata"]["name"])
        assert changed["spec"]["selector"] == selector
        for one in (deployment, changed):
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert selector["matchLabels"].items() <= labels.items()


def test_services_and_budgets_select_the_pods_of_one_component(rendered: list[Document]) -> None:
    pods = {name: one["metadata"]["labels"] for name, one in pod_templates(rendered).items()}
    for document in of_kind(rendered, "Service", "PodDisruptionBudget"):
        selector = document["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        selected = [name for name, labels in pods.items() if wanted <= labels.items()]
        assert len(selected) == 1, document["metadata"]["name"]


def test_services_lead_to_ports_that_the_pods_have(rendered: list[Document]) -> None:
    for service in of_kind(rendered, "Service"):
        wanted = service["spec"]["selector"].items()
        for pods in pod_templates(rendered).values():
            if wanted <= pods["metadata"]["labels"].items():
                ports = {port["name"] for port in pods["spec"]["containers"][0]["ports"]}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_crd_is_the_one_of_this_repository(helm: Helm) -> None:
    copied = CHART / "files" / "crds" / "markets.gomatch.io.yaml"
    original = REPOSITORY / "crds" / "markets.gomatch.io.yaml"
    assert copied.read_text() == original.read_text(), f"copy {original} to {copied}"


@pytest.mark.parametrize("keep", [True, False])
def test_the_crd_is_installed_whole_and_kept_by_choice(helm: Helm, keep: bool) -> None:
    original = yaml.safe_load((REPOSITORY / "crds" / "markets.gomatch.io.yaml").read_text())
    documents = helm.render(values={"crds": {"keep": keep}})
    crd = named(documents, "CustomResourceDefinition", "markets.gomatch.io")
    annotations = crd["metadata"].pop("annotations", {})
    assert annotations == ({"helm.sh/resource-policy": "keep"} if keep else {})
    assert crd == original


def test_the_crd_can_be_left_out(helm: Helm) -> None:
    documents = helm.render(values={"crds": {"enabled": False}})
    assert not of_kind(documents, "CustomResourceDefinition")


def _shared(document: Document) -> bool:
    return bool(document["kind"] == "CustomResourceDefinition")


def _labels(part: Any) -> Iterator[dict[str, Any]]:
    """All maps that are called labels or matchLabels, wherever they stand."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("labels", "matchLabels") and isinstance(value, dict):
                if all(not isinstance(one, dict) for one in value.values()):
                    yield value
            else:
                yield from _labels(value)
    elif isinstance(part, list):
        for one in part:
            yield from _labels(one)

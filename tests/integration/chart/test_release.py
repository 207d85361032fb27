"""Releases on a real API server, which runs no pods: what is taken, kept, left, and allowed."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.waiting import wait_for
from tests.integration.chart.helm import CHART, VALUE_SETS, Document, Finished, Helm, Values

CRD = "markets.gomatch.io"
MARKET = {
    "apiVersion": "gomatch.io/v1alpha1",
    "kind": "Market",
    "metadata": {"name": "btc-usdt"},
    "spec": {
        "symbol": "BTC-USDT",
        "base": "BTC",
        "quote": "USDT",
        "tickSize": "0.01",
        "lotSize": "0.00001",
    },
}


class Release:
    """A release called gomatch in a namespace that enforces the restricted standard."""

    def __init__(self, plane: ControlPlane, helm: Helm, namespace: str) -> None:
        self._plane = plane
        self.helm = helm
        self.namespace = namespace

    def upgrade(self, values: Values | None = None, *, value_set: str = "dev") -> Finished:
        """Install or upgrade; Helm's words are kept for warnings of the API server."""
        done = self.helm.run(
            *("upgrade", "--install", "gomatch", str(CHART), "--namespace", self.namespace),
            *("--values", str(VALUE_SETS[value_set])),
            values=values or {},
        )
        assert done.code == 0, done.stderr
        return done

    def uninstall(self) -> None:
        done = self.helm.run("uninstall", "gomatch", "--namespace", self.namespace)
        assert done.code == 0, done.stderr

    def wait_for_crd(self) -> None:
        self._plane.wait_for_kind(CRD)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self._plane.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def secrets(self, namespace: str = "") -> dict[str, dict[str, str]]:
        """Name -> data of what the chart made."""
        listed = self._plane.kubectl(
            *("get", "secrets", f"--namespace={namespace or self.namespace}"),
            *("--selector=app.kubernetes.io/part-of=gomatch", "--output=json"),
        )
        return {one["metadata"]["name"]: one["data"] for one in json.loads(listed)["items"]}

    def get(self, kind: str, name: str) -> Document:
        found: Document = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def exists(self, kind: str, name: str) -> bool:
        return bool(self.kubectl("get", kind, name, "--ignore-not-found=true"))


@pytest.fixture
def release(control_plane: ControlPlane, helm_program: Path, namespace: str) -> Release:
    control_plane.kubectl(
        *("label", "namespace", namespace),
        "pod-security.kubernetes.io/enforce=restricted",
        "pod-security.kubernetes.io/warn=restricted",
    )
    helm = Helm(helm_program, home=control_plane.folder, kubeconfig=control_plane.kubeconfig)
    release = Release(control_plane, helm, namespace)
    _forget_crd(control_plane)
    return release


def test_the_api_server_takes_every_object_without_a_warning(
    control_plane: ControlPlane, release: Release
) -> None:
    for namespace in ("markets-a", "markets-b"):
        control_plane.kubectl("create", "namespace", namespace)
    for kind in ("servicemonitors", "podmonitors", "prometheusrules"):
        control_plane.kubectl("apply", "--filename=-", stdin=_of_prometheus(kind))
    for definition in control_plane.kubectl("get", "crd", "--output=name").split():
        control_plane.wait_for_kind(definition.rpartition("/")[2])
    done = release.upgrade(value_set="everything")
    assert "violate PodSecurity" not in done.stderr
    assert "unknown field" not in done.stderr
    release.wait_for_crd()


def test_what_helm_says_leads_to_a_market(control_plane: ControlPlane, release: Release) -> None:
    """Its commands name what there is, and the Market in them is taken."""
    said = release.upgrade().stdout
    release.wait_for_crd()
    applied = re.search(r"^ {5}(kubectl .* apply -f - <<EOF\n(?: {5}.*\n)*? {5}EOF\n)", said, re.M)
    assert applied is not None, said

    subprocess.run(
        ["/bin/sh", "-eu", "-c", textwrap.dedent(f"     {applied[1]}")],
        check=True,
        timeout=60,
        env={
            "PATH": f"{control_plane.programs}:/usr/bin:/bin",
            "HOME": str(control_plane.folder),
            "KUBECONFIG": str(control_plane.kubeconfig),
        },
    )

    assert release.get("market", "btc-usdt")["spec"]["tickSize"] == "0.01"
    for kind, name in re.findall(r"(deployment|service|market)/([\w-]+)", said):
        assert release.exists(kind, name), f"{kind} {name}"


def test_an_upgrade_changes_no_secret(control_plane: ControlPlane, release: Release) -> None:
    release.upgrade()
    before = release.secrets()
    assert set(before) == {
        *("gomatch-server", "gomatch-callback"),
        *("gomatch-postgresql", "gomatch-rabbitmq", "gomatch-valkey"),
    }
    another = f"{release.namespace}-more"
    control_plane.kubectl("create", "namespace", another)
    release.upgrade({"watchNamespaces": [release.namespace, another]})
    assert release.secrets() == before
    added = release.secrets(another)
    assert added == {name: data for name, data in before.items() if name != "gomatch-server"}


def test_an_upgrade_leaves_the_number_of_replicas_to_the_autoscaler(release: Release) -> None:
    scaled = {"api": {"autoscaling": {"enabled": True}}}
    release.upgrade(scaled)
    release.kubectl("scale", "deployment/gomatch-api", "--replicas=7")
    release.upgrade({**scaled, "logLevel": "debug"})
    assert release.get("deployment", "gomatch-api")["spec"]["replicas"] == 7


def test_changed_values_can_be_rolled_out_and_back(release: Release) -> None:
    release.upgrade()
    release.upgrade(
        {
            "commonLabels": {"example.com/team": "exchange"},
            "api": {"image": {"tag": "9.9.9"}, "podLabels": {"example.com/tier": "trading"}},
            "operator": {"replicas": 2},
        }
    )
    (container,) = _pod_spec(release)["containers"]
    assert container["image"] == "gomatch-api:9.9.9"
    assert release.exists("poddisruptionbudget", "gomatch-operator")
    done = release.helm.run("rollback", "gomatch", "1", "--namespace", release.namespace)
    assert done.code == 0, done.stderr
    (container,) = _pod_spec(release)["containers"]
    assert container["image"] == "gomatch-api:0.1.0"
    assert not release.exists("poddisruptionbudget", "gomatch-operator")


def test_markets_and_what_they_need_outlive_the_release_and_are_taken_up_again(
    release: Release,
) -> None:
    release.upgrade()
    release.wait_for_crd()
    release.kubectl("apply", "--filename=-", stdin=json.dumps(MARKET))
    secrets, uid = release.secrets(), release.get("market", "btc-usdt")["metadata"]["uid"]
    release.uninstall()
    assert release.secrets() == secrets
    assert release.exists("serviceaccount", "gomatch-matcher")
    assert release.get("market", "btc-usdt")["metadata"]["uid"] == uid
    assert not release.exists("deployment", "gomatch-operator")
    release.upgrade()
    assert release.secrets() == secrets
    assert release.get("market", "btc-usdt")["metadata"]["uid"] == uid


ALLOWED = [
    "watch gomatch.io/markets",
    "patch gomatch.io/markets",
    "patch gomatch.io/markets/status",
    "create apps/deployments",
    "delete apps/deployments",
    "patch /services",
    "update /configmaps",
    "create policy/poddisruptionbudgets",
    "delete networking.k8s.io/networkpolicies",
    "patch /pods",
    "create /events",
    "list /events",
    "create coordination.k8s.io/leases",
    "watch coordination.k8s.io/leases gomatch-operator-canary",
]
ALLOWED_AT_HOME = [
    "get coordination.k8s.io/leases gomatch-operator",
    "update coordination.k8s.io/leases gomatch-operator",
]
FORBIDDEN = [
    "get /secrets",
    "list /secrets",
    "create /pods",
    "delete /pods",
    "create /pods/exec",
    "create gomatch.io/markets",
    "delete gomatch.io/markets",
    "update gomatch.io/markets",
    "update gomatch.io/markets/finalizers",
    "patch /events",
    "update coordination.k8s.io/leases another",
    "delete coordination.k8s.io/leases gomatch-operator",
    "create rbac.authorization.k8s.io/rolebindings",
]
ALLOWED_IN_THE_CLUSTER = [
    f"get apiextensions.k8s.io/customresourcedefinitions {CRD}",
    "patch gomatch.io/markets",
]
FORBIDDEN_IN_THE_CLUSTER = [
    "list apiextensions.k8s.io/customresourcedefinitions",
    f"update apiextensions.k8s.io/customresourcedefinitions {CRD}",
    "list /namespaces",
    "list /nodes",
    "list gomatch.io/markets",
    "get /secrets",
]


def test_the_operator_may_do_its_work_and_nothing_else(
    control_plane: ControlPlane, release: Release
) -> None:
    markets = f"{release.namespace}-markets"
    control_plane.kubectl("create", "namespace", markets)
    release.upgrade({"watchNamespaces": [markets]})
    operator = control_plane.service_account_kubeconfig(
        "gomatch-operator", namespace=release.namespace
    )

    def may(actions: list[str], namespace: str) -> list[str]:
        """Those of ``actions`` that the operator may do in ``namespace``; in all if empty."""
        reviews = [_review(action, namespace) for action in actions]
        answer = control_plane.kubectl_as(
            *(operator, "create", "--filename=-", '--output=jsonpath={.status.allowed}{"\\n"}'),
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}),
        )
        return [
            action
            for action, allowed in zip(actions, answer.split(), strict=True)
            if allowed == "true"
        ]

    def in_force() -> bool:
        """The API server hears of Roles a moment after they are made."""
        return (
            may(ALLOWED, markets) == ALLOWED
            and may(ALLOWED_AT_HOME, release.namespace) == ALLOWED_AT_HOME
            and may(ALLOWED_IN_THE_CLUSTER, "") == ALLOWED_IN_THE_CLUSTER
        )

    wait_for(in_force, what="the operator's rights")
    everything = [*ALLOWED, *ALLOWED_AT_HOME, *FORBIDDEN]
    assert may(everything, markets) == ALLOWED
    assert may(everything, release.namespace) == [
        *("patch gomatch.io/markets", "patch gomatch.io/markets/status"),
        *("create /events", "create coordination.k8s.io/leases"),
        *ALLOWED_AT_HOME,
    ]
    assert may(everything, "default") == [
        *("patch gomatch.io/markets", "patch gomatch.io/markets/status"),
    ]
    in_the_cluster = [*ALLOWED_IN_THE_CLUSTER, *FORBIDDEN_IN_THE_CLUSTER]
    assert may(in_the_cluster, "") == ALLOWED_IN_THE_CLUSTER


def test_a_stranger_s_crd_is_not_taken_over(control_plane: ControlPlane, release: Release) -> None:
    crd = (CHART / "files" / "crds" / f"{CRD}.yaml").read_text()
    control_plane.kubectl("create", "--filename=-", stdin=crd)
    done = release.helm.run(
        *("install", "gomatch", str(CHART), "--namespace", release.namespace),
        *("--values", str(VALUE_SETS["dev"])),
    )
    assert done.code != 0
    assert CRD in done.stderr
    assert "cannot be imported into the current release" in done.stderr
    release.upgrade({"crds": {"enabled": False}})


def _review(action: str, namespace: str) -> Document:
    """``action`` as ``verb group/resource``, perhaps with the name of an object."""
    verb, resource, *name = action.split()
    group, kind, *part = resource.split("/")
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": kind,
                "subresource": "".join(part),
                "name": "".join(name),
            }
        },
    }


def _pod_spec(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = release.get("deployment", "gomatch-api")["spec"]["template"]["spec"]
    return found


def _forget_crd(plane: ControlPlane) -> None:
    """Each test begins without one; with it go the Markets of the test before."""
    plane.kubectl("delete", "crd", CRD, "--ignore-not-found=true", "--wait=true")


def _of_prometheus(plural: str) -> str:
    """A definition that takes anything, as nothing of the Prometheus operator is here."""
    kind = {
        "servicemonitors": "ServiceMonitor",
        "podmonitors": "PodMonitor",
        "prometheusrules": "PrometheusRule",
    }[plural]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return json.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }
    )

"""What somebody changes in a Market's objects: a row for each edit, whether it is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gomatch_operator import names
from gomatch_operator.cluster.projection import difference
from gomatch_operator.desired import Desired
from tests.fixtures.cluster_layer import ClusterLayer
from tests.fixtures.example_markets import FULL_SETTINGS, FULL_SPEC, example_settings

_TEMPLATE = "/spec/template"
_POD = f"{_TEMPLATE}/spec"
_CONTAINER = f"{_POD}/containers/0"


@dataclass(frozen=True)
class Edit:
    name: str
    kind: str
    patch: Any
    """JSON Patch if it is a list, else strategic merge."""


def _container(**fields: Any) -> dict[str, Any]:
    return _pod(containers=[{"name": names.CONTAINER, **fields}])


def _pod(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": fields}}}


def _template(**metadata: Any) -> dict[str, Any]:
    return {"spec": {"template": {"metadata": metadata}}}


def _operation(op: str, path: str, value: Any = None) -> dict[str, Any]:
    return {"op": op, "path": path, **({} if op == "remove" else {"value": value})}


UNDONE = [
    Edit("a value", "ConfigMap", {"data": {"GOMATCH_MARKET": "X-Y"}}),
    Edit("a value more", "ConfigMap", {"data": {"GOMATCH_RATE_LIMIT": "1"}}),
    Edit("binary data", "ConfigMap", {"binaryData": {"more": "AAAA"}}),
    Edit("a value less", "ConfigMap", {"data": {"GOMATCH_MARKET": None}}),
    Edit("no values", "ConfigMap", [_operation("remove", "/data")]),
    Edit("a label", "ConfigMap", {"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}),
    Edit("a label less", "Service", {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}}),
    Edit("the owner", "Service", [_operation("remove", "/metadata/ownerReferences")]),
    Edit(
        "the owner's role",
        "ConfigMap",
        [_operation("replace", "/metadata/ownerReferences/0/controller", False)],
    ),
    Edit("the hash", "Deployment", {"metadata": {"annotations": {names.ANNOTATION_HASH: "0"}}}),
    Edit("a port", "Service", [_operation("replace", "/spec/ports/0/port", 1234)]),
    Edit("a port more", "Service", {"spec": {"ports": [{"name": "more", "port": 1}]}}),
    Edit("the selector", "Service", {"spec": {"selector": {"app": "theirs"}}}),
    Edit("the budget", "PodDisruptionBudget", {"spec": {"maxUnavailable": 0}}),
    Edit(
        "the budget's other way",
        "PodDisruptionBudget",
        {"spec": {"maxUnavailable": None, "minAvailable": 1}},
    ),
    Edit("more traffic in", "NetworkPolicy", [_operation("add", "/spec/ingress/-", {})]),
    Edit(
        "more traffic out",
        "NetworkPolicy",
        [_operation("add", "/spec/egress/0", {"ports": [{"port": 25}]})],
    ),
    Edit("no traffic out", "NetworkPolicy", [_operation("remove", "/spec/egress")]),
    Edit("the policy's types", "NetworkPolicy", {"spec": {"policyTypes": ["Ingress"]}}),
    Edit("replicas", "Deployment", {"spec": {"replicas": 0}}),
    Edit("a pause", "Deployment", {"spec": {"paused": True}}),
    Edit(
        "the strategy",
        "Deployment",
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}},
    ),
    Edit(
        "another strategy",
        "Deployment",
        [_operation("replace", "/spec/strategy", {"type": "Recreate"})],
    ),
    Edit("a label of pods", "Deployment", _template(labels={"team": "theirs"})),
    Edit("a label of pods less", "Deployment", _template(labels={"tier": None})),
    Edit(
        "the hash of the configuration",
        "Deployment",
        _template(annotations={names.ANNOTATION_CONFIG: "0"}),
    ),
    Edit("the image", "Deployment", _container(image="theirs:1")),
    Edit("the pull policy", "Deployment", _container(imagePullPolicy="Never")),
    Edit("a command", "Deployment", _container(command=["sleep"])),
    Edit("arguments", "Deployment", _container(args=["1"])),
    Edit(
        "a variable more", "Deployment", _container(env=[{"name": "GOMATCH_MARKET", "value": "X"}])
    ),
    Edit("no variables", "Deployment", [_operation("remove", f"{_CONTAINER}/env")]),
    Edit("no configuration", "Deployment", [_operation("remove", f"{_CONTAINER}/envFrom")]),
    Edit("a port of the container", "Deployment", _container(ports=[{"containerPort": 22}])),
    Edit("resources", "Deployment", _container(resources={"limits": {"memory": "3Gi"}})),
    Edit("no readiness", "Deployment", [_operation("remove", f"{_CONTAINER}/readinessProbe")]),
    Edit(
        "another handler of readiness",
        "Deployment",
        [
            _operation("remove", f"{_CONTAINER}/readinessProbe/httpGet"),
            _operation("add", f"{_CONTAINER}/readinessProbe/exec", {"command": ["true"]}),
        ],
    ),
    Edit(
        "a variable's source",
        "Deployment",
        [_operation("replace", f"{_CONTAINER}/env/0", {"name": "GOMATCH_POD_NAME", "value": "x"})],
    ),
    Edit("another liveness", "Deployment", _container(livenessProbe={"periodSeconds": 1})),
    Edit(
        "privileges",
        "Deployment",
        _container(securityContext={"readOnlyRootFilesystem": False, "runAsUser": 0}),
    ),
    Edit(
        "a mount",
        "Deployment",
        {
            **_pod(
                volumes=[{"name": "theirs", "emptyDir": {}}],
                containers=[
                    {
                        "name": names.CONTAINER,
                        "volumeMounts": [{"name": "theirs", "mountPath": "/more"}],
                    }
                ],
            )
        },
    ),
    Edit(
        "a secret's name",
        "Deployment",
        _pod(volumes=[{"name": "gomatch-redis-credentials", "secret": {"secretName": "x"}}]),
    ),
    Edit("an account", "Deployment", _pod(serviceAccountName="default")),
    Edit("a token", "Deployment", _pod(automountServiceAccountToken=True)),
    Edit("the host's network", "Deployment", _pod(hostNetwork=True)),
    Edit("the user", "Deployment", _pod(securityContext={"runAsUser": 1000})),
    Edit("the grace period", "Deployment", _pod(terminationGracePeriodSeconds=1)),
    Edit("a node", "Deployment", _pod(nodeSelector={"more": "x"})),
    Edit("tolerations", "Deployment", [_operation("remove", f"{_POD}/tolerations")]),
    Edit("affinity", "Deployment", [_operation("remove", f"{_POD}/affinity")]),
    Edit("a pull secret", "Deployment", _pod(imagePullSecrets=[{"name": "theirs"}])),
]
KEPT = [
    Edit(
        "a restart", "Deployment", _template(annotations={"kubectl.kubernetes.io/restartedAt": "x"})
    ),
    Edit("a foreign label", "Deployment", {"metadata": {"labels": {"theirs": "1"}}}),
    Edit("a foreign annotation", "ConfigMap", {"metadata": {"annotations": {"theirs": "1"}}}),
    Edit("a foreign label of pods", "Deployment", _template(labels={"theirs": "1"})),
    Edit("a sidecar", "Deployment", _pod(containers=[{"name": "sidecar", "image": "theirs:1"}])),
    Edit(
        "an init container",
        "Deployment",
        _pod(initContainers=[{"name": "before", "image": "theirs:1"}]),
    ),
    Edit("a foreign volume", "Deployment", _pod(volumes=[{"name": "theirs", "emptyDir": {}}])),
    Edit("a policy of names", "Deployment", _pod(dnsPolicy="Default")),
    Edit("a finalizer", "Service", {"metadata": {"finalizers": ["example.com/theirs"]}}),
]


@pytest.mark.parametrize("edit", UNDONE, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_it_is_undone(lasting_layer: ClusterLayer, edit: Edit) -> None:
    layer = lasting_layer
    wanted = await _reconciled(layer)
    layer.edit(edit.kind, edit.patch)
    await layer.look()

    done = await layer.reconcile(wanted)

    body = next(each.body for each in wanted.objects if each.key.kind == edit.kind)
    assert [action.kind for action in done] == [edit.kind]
    assert difference(await layer.get(edit.kind), body) == []
    assert await layer.reconcile(wanted) == []


@pytest.mark.parametrize("edit", KEPT, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_it_stays(lasting_layer: ClusterLayer, edit: Edit) -> None:
    layer = lasting_layer
    wanted = await _reconciled(layer)
    layer.edit(edit.kind, edit.patch)
    edited = await layer.get(edit.kind)
    await layer.look()

    assert await layer.reconcile(wanted) == []

    layer.edit(edit.kind, {"metadata": {"annotations": {names.ANNOTATION_HASH: "0"}}})
    await layer.look()
    assert [action.kind for action in await layer.reconcile(wanted)] == [edit.kind]
    assert _meaning(await layer.get(edit.kind)) == _meaning(edited)


async def _reconciled(layer: ClusterLayer) -> Desired:
    if not await layer.exists():
        layer.make_market(FULL_SPEC)
    await layer.look()
    wanted = await layer.desired(example_settings(FULL_SETTINGS))
    await layer.reconcile(wanted)
    return wanted


def _meaning(body: dict[str, Any]) -> dict[str, Any]:
    """Without what changes with every write, and what controllers say."""
    metadata = {
        name: value
        for name, value in body["metadata"].items()
        if name not in {"managedFields", "resourceVersion", "generation"}
    }
    annotations = {
        name: text
        for name, text in metadata["annotations"].items()
        if name != "deployment.kubernetes.io/revision"
    }
    return {**body, "metadata": {**metadata, "annotations": annotations}, "status": None}

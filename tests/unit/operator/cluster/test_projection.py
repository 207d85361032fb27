"""What counts as a difference between an object as it is and as it shall be."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch_operator import names
from gomatch_operator.cluster.normal_form import quantity
from gomatch_operator.cluster.projection import KINDS, difference, projection_hash, restored
from gomatch_operator.desired import desired
from tests.fixtures.example_markets import (
    FULL_SETTINGS,
    FULL_SPEC,
    PLAIN_SETTINGS,
    PLAIN_SPEC,
    example_market,
    example_settings,
)

specs = st.sampled_from([PLAIN_SPEC, FULL_SPEC])
configs = st.sampled_from([PLAIN_SETTINGS, FULL_SETTINGS])

_SAME_WHEN_MISSING = {"kind", "apiVersion", "protocol", "targetPort", "name", "namespace"}
"""Last steps of paths: defaults of the API server, and what objects and entries are known by."""


def bodies(
    spec: Mapping[str, Any] = FULL_SPEC, config: Mapping[str, Any] = FULL_SETTINGS
) -> dict[str, Mapping[str, Any]]:
    wanted = desired(example_market(spec), example_settings(config), image="gomatch-matcher:1")
    return {each.key.kind: each.body for each in wanted.objects}


@given(spec=specs, config=configs, kind=st.sampled_from(KINDS), data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_the_api_server_adds_is_no_difference(
    spec: Mapping[str, Any], config: Mapping[str, Any], kind: str, data: st.DataObject
) -> None:
    body = bodies(spec, config)[kind]
    live = _as_kept(body)
    shuffled = _shuffled(live, data)

    assert difference(shuffled, body) == []
    assert projection_hash(shuffled) == projection_hash(body)
    assert restored(shuffled, body) == shuffled


@pytest.mark.parametrize(
    ("one", "other"),
    [("1000m", "1"), ("1Gi", "1024Mi"), (2, "2"), (0.5, "500m"), ("1e3", "1k"), ("0.1", "100m")],
)
def test_equal_quantities_are_the_same(one: object, other: object) -> None:
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize(("one", "other"), [("1Gi", "1G"), ("1", "1m"), ("nonsense", "1")])
def test_different_quantities_are_not_the_same(one: object, other: object) -> None:
    assert quantity(one) != quantity(other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_that_is_ours_is_seen_to_be_missing(kind: str) -> None:
    body = bodies()[kind]
    for path in _leaves(body):
        if path[-1] in _SAME_WHEN_MISSING:
            continue
        without = copy.deepcopy(dict(body))
        holder: Any = without
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]

        assert difference(without, body), path


def test_what_others_put_beside_ours_is_no_difference() -> None:
    body = bodies()["Deployment"]
    live = _as_kept(body)
    template = live["spec"]["template"]["metadata"]
    template["labels"]["theirs"] = "1"
    template["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    live["metadata"]["ownerReferences"].append({"kind": "Other", "apiVersion": "v1", "uid": "x"})

    assert difference(live, body) == []
    assert restored(live, body) == live


def test_what_we_wrote_before_is_a_difference_until_it_is_gone() -> None:
    body = bodies()["Deployment"]
    live = _as_kept(body)
    live["spec"]["template"]["metadata"]["labels"]["before"] = "1"
    live["metadata"]["managedFields"].append(
        {
            "manager": names.FIELD_MANAGER,
            "operation": "Update",
            "fieldsV1": {"f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:before": {}}}}}},
        }
    )

    assert difference(live, body) == ["spec.template.metadata.labels.before"]
    assert "before" not in restored(live, body)["spec"]["template"]["metadata"]["labels"]


def test_what_somebody_took_over_is_a_difference() -> None:
    body = bodies()["Service"]
    live = _as_kept(body)
    live["metadata"]["labels"]["app.kubernetes.io/part-of"] = "theirs"
    del live["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"][
        "f:app.kubernetes.io/part-of"
    ]

    assert difference(live, body) == ["metadata.labels.app.kubernetes.io/part-of"]
    assert restored(live, body)["metadata"]["labels"] == body["metadata"]["labels"]


def test_an_object_is_put_right_around_what_belongs_to_others() -> None:
    body = bodies()["Deployment"]
    live = _as_kept(body)
    pod = live["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "sidecar", "image": "theirs:1"})
    pod["volumes"].append({"name": "theirs", "emptyDir": {}})
    pod["volumes"].append({"name": "gomatch-before", "emptyDir": {}})
    pod["containers"][1]["env"].append({"name": "MORE", "value": "1"})
    pod["containers"][1]["command"] = ["sleep"]
    live["spec"]["paused"] = True
    live["metadata"]["ownerReferences"].append({"kind": "Other", "apiVersion": "v1", "uid": "x"})

    right = restored(live, body)

    assert difference(right, body) == []
    assert [each["name"] for each in right["spec"]["template"]["spec"]["containers"]] == [
        "sidecar",
        "matcher",
    ]
    volumes = {each["name"] for each in right["spec"]["template"]["spec"]["volumes"]}
    assert "theirs" in volumes
    assert "gomatch-before" not in volumes
    assert {each["kind"] for each in right["metadata"]["ownerReferences"]} == {"Market", "Other"}
    assert right["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


def _as_kept(body: Mapping[str, Any]) -> dict[str, Any]:
    """As the API server keeps what was written: with its defaults and who wrote what."""
    live = copy.deepcopy(dict(body))
    live["metadata"] = {
        **live["metadata"],
        "uid": "x",
        "resourceVersion": "7",
        "managedFields": [
            {
                "manager": names.FIELD_MANAGER,
                "operation": "Update",
                "fieldsV1": _fields(body),
            },
            {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {}},
        ],
    }
    live["status"] = {"observedGeneration": 1}
    match live["kind"]:
        case "Service":
            live["spec"] |= {
                "clusterIPs": ["None"],
                "internalTrafficPolicy": "Cluster",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "sessionAffinity": "None",
            }
        case "NetworkPolicy":
            for rule in live["spec"]["egress"]:
                rule["ports"] = [{"protocol": "TCP", **port} for port in rule["ports"]]
        case "Deployment":
            _default_pod(live["spec"]["template"]["spec"])
    return live


def _default_pod(pod: dict[str, Any]) -> None:
    pod |= {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "serviceAccount": pod["serviceAccountName"],
    }
    (container,) = pod["containers"]
    container |= {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    kept = {"1000m": "1", "1024Mi": "1Gi", 2: "2"}
    container["resources"] = {
        sort: {name: kept.get(amount, amount) for name, amount in amounts.items()}
        for sort, amounts in container["resources"].items()
    }


def _shuffled(live: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """Lists whose order says nothing, in another order."""
    live = copy.deepcopy(live)
    if live["kind"] == "Deployment":
        pod = live["spec"]["template"]["spec"]
        pod["volumes"] = data.draw(st.permutations(pod["volumes"]))
        (container,) = pod["containers"]
        container["volumeMounts"] = data.draw(st.permutations(container["volumeMounts"]))
    return live


def _fields(value: Any) -> dict[str, Any]:
    """As `fieldsV1` names them, as far as maps go."""
    if not isinstance(value, Mapping):
        return {}
    return {f"f:{name}": _fields(part) for name, part in value.items()}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, Mapping) and value:
        parts = list(value.items())
    elif isinstance(value, list) and value:
        parts = list(enumerate(value))
    else:
        return [path]
    return [leaf for name, part in parts for leaf in _leaves(part, (*path, name))]

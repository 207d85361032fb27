"""What the operator keeps of the objects that it watches."""

from __future__ import annotations

from typing import Any

import pytest

from gomatch_operator import names
from gomatch_operator.cluster.reading import read_owned, read_pod
from gomatch_operator.desired import desired
from gomatch_operator.watched import DeploymentStatus, ObjectKey
from tests.fixtures.example_markets import UID, example_market, example_settings


def live(kind: str, **metadata: Any) -> dict[str, Any]:
    wanted = desired(example_market(), example_settings(), image="gomatch-matcher:1")
    body = dict(next(each.body for each in wanted.objects if each.key.kind == kind))
    body["metadata"] = {**body["metadata"], "uid": "u", "resourceVersion": "5", **metadata}
    return body


def pod(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "namespace": "venue",
            "name": "btc-usdt-matcher-1",
            "uid": "p",
            "resourceVersion": "6",
            "creationTimestamp": "2026-01-01T00:00:01Z",
            "labels": names.labels("btc-usdt"),
            **metadata,
        },
        "spec": {
            "nodeName": "trading",
            "containers": [{"name": "sidecar", "image": "theirs"}, {"name": "matcher"}],
        },
        "status": status or {},
    }


def test_an_object_is_known_by_its_owner_and_hashes() -> None:
    body = live("Service", annotations={names.ANNOTATION_HASH: "abc"})

    owned = read_owned(body)

    assert owned.key == ObjectKey("Service", "venue", "btc-usdt-matcher")
    assert (owned.market, owned.managed) == ("btc-usdt", True)
    assert (owned.owner_uid, owned.owner_name) == (UID, "btc-usdt")
    assert owned.desired_hash == "abc"
    assert (owned.uid, owned.resource_version, owned.deleting) == ("u", "5", False)


def test_the_hash_of_what_is_there_is_the_desired_one_until_it_is_edited() -> None:
    wanted = desired(example_market(), example_settings(), image="gomatch-matcher:1")
    hashes = {each.key.kind: each.hash for each in wanted.objects}
    body = live("Service")

    assert read_owned(body).actual_hash == hashes["Service"]
    body["spec"] = {**body["spec"], "selector": {"app": "theirs"}}
    assert read_owned(body).actual_hash != hashes["Service"]


def test_a_controller_that_is_no_market_is_the_owner() -> None:
    theirs = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "t"}

    owned = read_owned(live("Service", ownerReferences=[{**theirs, "controller": True}]))
    merely_listed = read_owned(live("Service", ownerReferences=[theirs]))

    assert (owned.owner_uid, owned.owner_name) == ("t", "")
    assert merely_listed.owner_uid == ""


def test_a_deployment_says_how_far_it_is_and_what_fails() -> None:
    body = live("Deployment", generation=4, deletionTimestamp="2026-01-01T00:00:00Z")
    body["status"] = {
        "observedGeneration": 3,
        "replicas": 2,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": "exceeded quota",
            },
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        ],
    }

    owned = read_owned(body)

    assert owned.deleting
    assert owned.replicas == DeploymentStatus(
        image="gomatch-matcher:1",
        desired=1,
        stale=True,
        updated=1,
        ready=1,
        total=2,
        overdue=True,
        failure="exceeded quota",
    )


def test_a_deployment_is_not_stale_once_its_controller_has_seen_its_last_change() -> None:
    body = live("Deployment", generation=4)
    body["status"] = {"observedGeneration": 4}
    replicas = read_owned(body).replicas

    assert replicas is not None
    assert not replicas.stale


def test_a_failure_that_is_over_is_none() -> None:
    body = live("Deployment")
    body["status"] = {
        "conditions": [{"type": "ReplicaFailure", "status": "False", "message": "was"}]
    }

    replicas = read_owned(body).replicas

    assert replicas is not None
    assert replicas.failure == ""


def test_a_pod_of_nobody_is_not_kept() -> None:
    assert read_pod(pod(labels={"app": "theirs"})) is None


def test_a_pod_that_runs() -> None:
    body = pod(
        {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": "sidecar", "restartCount": 9},
                {"name": "matcher", "restartCount": 2, "state": {"running": {}}},
            ],
        },
        labels={**names.labels("btc-usdt"), names.LABEL_ROLE: names.ROLE_LEADER},
        annotations={names.ANNOTATION_DELETION_COST: "100"},
    )

    summary = read_pod(body)

    assert summary is not None
    assert (summary.market, summary.role, summary.deletion_cost) == ("btc-usdt", "leader", "100")
    assert (summary.ready, summary.phase, summary.node) == (True, "Running", "trading")
    assert (summary.restarts, summary.waiting_reason, summary.unschedulable) == (2, "", "")
    assert summary.created_at == 1_767_225_601_000_000


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff"])
def test_a_pod_says_what_its_container_waits_for(reason: str) -> None:
    waiting = {"waiting": {"reason": reason, "message": "why"}}

    summary = read_pod(pod({"containerStatuses": [{"name": "matcher", "state": waiting}]}))

    assert summary is not None
    assert (summary.waiting_reason, summary.waiting_message) == (reason, "why")


def test_a_pod_that_no_node_takes_has_the_message_of_the_scheduler() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available",
    }

    summary = read_pod(pod({"phase": "Pending", "conditions": [condition]}))

    assert summary is not None
    assert summary.unschedulable == "0/3 nodes are available"
    assert not summary.ready

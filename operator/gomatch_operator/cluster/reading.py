"""Objects of the watches as the summaries that the operator keeps of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gomatch_operator import names
from gomatch_operator.cluster.projection import is_market, projection_hash
from gomatch_operator.market import microseconds
from gomatch_operator.watched import DeploymentStatus, ObjectKey, OwnedObject, PodSummary


def read_owned(body: Mapping[str, Any]) -> OwnedObject:
    """``body`` is an object of one of `projection.KINDS`, with kind, as it is kept by the API
    server."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    owner = _owner(metadata.get("ownerReferences") or [])
    return OwnedObject(
        key=ObjectKey(body["kind"], metadata["namespace"], metadata["name"]),
        market=labels.get(names.LABEL_MARKET, ""),
        managed=labels.get(names.LABEL_MANAGED_BY) == names.FIELD_MANAGER,
        uid=metadata["uid"],
        resource_version=metadata.get("resourceVersion", ""),
        owner_uid=owner.get("uid", ""),
        owner_name=owner.get("name", "") if is_market(owner) else "",
        desired_hash=(metadata.get("annotations") or {}).get(names.ANNOTATION_HASH, ""),
        actual_hash=projection_hash(body),
        deleting="deletionTimestamp" in metadata,
        replicas=_deployment_status(body) if body["kind"] == "Deployment" else None,
    )


def read_pod(body: Mapping[str, Any]) -> PodSummary | None:
    """None when the pod has no label of a Market."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels = metadata.get("labels") or {}
    market = labels.get(names.LABEL_MARKET)
    if not market:
        return None
    container = _named(status.get("containerStatuses"), names.CONTAINER)
    waiting = (container.get("state") or {}).get("waiting") or {}
    scheduled = _condition(status, "PodScheduled")
    return PodSummary(
        namespace=metadata["namespace"],
        name=metadata["name"],
        market=market,
        uid=metadata["uid"],
        resource_version=metadata.get("resourceVersion", ""),
        role=labels.get(names.LABEL_ROLE, ""),
        deletion_cost=(metadata.get("annotations") or {}).get(names.ANNOTATION_DELETION_COST, ""),
        ready=_condition(status, "Ready").get("status") == "True",
        deleting="deletionTimestamp" in metadata,
        phase=status.get("phase", ""),
        node=spec.get("nodeName", ""),
        created_at=microseconds(metadata["creationTimestamp"]),
        image=_named(spec.get("containers"), names.CONTAINER).get("image", ""),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        unschedulable=(
            scheduled.get("message", "Unschedulable")
            if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
            else ""
        ),
        restarts=container.get("restartCount", 0),
    )


def _owner(references: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The Market, else whatever controls the object."""
    candidates = list(references)
    for candidate in candidates:
        if is_market(candidate):
            return candidate
    return next((each for each in candidates if each.get("controller")), {})


def _deployment_status(body: Mapping[str, Any]) -> DeploymentStatus:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    pod = spec.get("template", {}).get("spec") or {}
    failure = _condition(status, "ReplicaFailure")
    return DeploymentStatus(
        image=_named(pod.get("containers"), names.CONTAINER).get("image", ""),
        desired=spec.get("replicas", 0),
        stale=status.get("observedGeneration", 0) < body["metadata"].get("generation", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        total=status.get("replicas", 0),
        overdue=_condition(status, "Progressing").get("status") == "False",
        failure=failure.get("message", "") if failure.get("status") == "True" else "",
    )


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _named(entries: Iterable[Mapping[str, Any]] | None, name: str) -> Mapping[str, Any]:
    return next((entry for entry in entries or [] if entry["name"] == name), {})

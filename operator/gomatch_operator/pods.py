"""Pods of a Market: which role each has, and why one cannot start."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ObjectMissing
from gomatch_operator.watched import PodSummary

LEADER_COST = "1000"
"""Of scaling down, the leader goes last: see the annotation pod-deletion-cost of Kubernetes."""
STANDBY_COST = "0"


async def mark_roles(api: ClusterApi, pods: Sequence[PodSummary], *, leader: str) -> int:
    """Label each pod with its role; returns how many were changed. Raises ClusterError."""
    changed = 0
    if not any(pod.name == leader for pod in pods):
        return 0
    for pod in pods:
        leads = pod.name == leader
        role = names.ROLE_LEADER if leads else names.ROLE_STANDBY
        cost = LEADER_COST if leads else STANDBY_COST
        if pod.deleting or (pod.role, pod.deletion_cost) == (role, cost):
            continue
        patch = {
            "metadata": {
                "labels": {names.LABEL_ROLE: role},
                "annotations": {names.ANNOTATION_DELETION_COST: cost},
            }
        }
        try:
            await api.merge_patch("Pod", pod.namespace, pod.name, patch)
        except ObjectMissing:
            continue
        changed += 1
    return changed


async def mount_problem(api: ClusterApi, pods: Sequence[PodSummary], *, before: int) -> str:
    """Why a volume cannot be mounted, of the first pod that waits for one since ``before``
    (microseconds); empty when none does.

    The pod itself does not say it; only the kubelet's Event does. Raises ClusterError.
    """
    for pod in pods:
        waits = pod.phase == "Pending" and not pod.unschedulable and pod.node
        if not waits or pod.created_at > before or pod.waiting_reason not in _CREATING:
            continue
        selector = f"involvedObject.uid={pod.uid},reason=FailedMount"
        async for event in api.list("Event", pod.namespace, field_selector=selector):
            return f"{pod.name}: {event.get('message', '')}"
    return ""


_CREATING = ("", "ContainerCreating", "PodInitializing")

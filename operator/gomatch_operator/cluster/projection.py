"""The fields of each kind that are the operator's, taken out of an object, hashed and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gomatch_operator import names
from gomatch_operator.cluster import normal_form as normal
from gomatch_operator.cluster.mask import Entries, Exact, Fields, Keys, Mask, owned_by
from gomatch_operator.hashing import content_hash

_PLAIN = Exact(normal.optional)
_ZERO = Exact(normal.zero_if_absent)


class _OwnerReferences:
    """Those to a Market: an object has one, whatever else owns it."""

    def project(self, live: Any, owned: Any) -> Any:
        del owned
        return [normal.plain(owner) for owner in live or [] if is_market(owner)] or None

    def restore(self, live: Any, desired: Any, owned: Any) -> Any:
        if self.project(live, owned) == self.project(desired, owned):
            return live
        others = [owner for owner in live or [] if not is_market(owner)]
        return [*others, *(desired or [])] or None


def is_market(owner: Mapping[str, Any]) -> bool:
    """Whether an owner reference is to a Market, of whatever version."""
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    return group == names.GROUP and owner.get("kind") == names.KIND


_CONTAINER = Fields(
    {
        "image": _PLAIN,
        "imagePullPolicy": _PLAIN,
        "command": _PLAIN,
        "args": _PLAIN,
        "workingDir": _PLAIN,
        "env": Exact(normal.environment),
        "envFrom": _PLAIN,
        "ports": Exact(normal.by("containerPort", protocol="TCP")),
        "resources": _PLAIN,
        "startupProbe": _PLAIN,
        "livenessProbe": _PLAIN,
        "readinessProbe": _PLAIN,
        "lifecycle": _PLAIN,
        "securityContext": _PLAIN,
        "volumeMounts": Exact(normal.by("mountPath")),
    }
)
_POD = Fields(
    {
        "serviceAccountName": _PLAIN,
        "automountServiceAccountToken": _PLAIN,
        "enableServiceLinks": _PLAIN,
        "terminationGracePeriodSeconds": _PLAIN,
        "securityContext": _PLAIN,
        "hostNetwork": _ZERO,
        "hostPID": _ZERO,
        "hostIPC": _ZERO,
        "affinity": _PLAIN,
        "tolerations": _PLAIN,
        "nodeSelector": Exact(normal.text_map),
        "imagePullSecrets": Exact(normal.by("name")),
        "priorityClassName": _PLAIN,
        "containers": Entries(lambda entry: entry["name"] == names.CONTAINER, _CONTAINER),
        "volumes": Entries(
            lambda entry: str(entry["name"]).startswith(names.VOLUME_PREFIX), Exact(normal.plain)
        ),
    }
)
_SPECS: Mapping[str, Mapping[str, Mask]] = {
    "ConfigMap": {
        "data": Exact(normal.text_map),
        "binaryData": Exact(normal.text_map),
        "immutable": _ZERO,
    },
    "Service": {
        "spec": Fields(
            {
                "type": _PLAIN,
                "clusterIP": _PLAIN,
                "publishNotReadyAddresses": _ZERO,
                "selector": Exact(normal.text_map),
                "ports": Exact(normal.service_ports),
            }
        )
    },
    "PodDisruptionBudget": {
        "spec": Fields(
            {
                "minAvailable": _PLAIN,
                "maxUnavailable": _PLAIN,
                "selector": _PLAIN,
                "unhealthyPodEvictionPolicy": _PLAIN,
            }
        )
    },
    "NetworkPolicy": {
        "spec": Fields(
            {
                "podSelector": _PLAIN,
                "policyTypes": _PLAIN,
                "ingress": Exact(normal.policy_rules),
                "egress": Exact(normal.policy_rules),
            }
        )
    },
    "Deployment": {
        "spec": Fields(
            {
                "replicas": _PLAIN,
                "paused": _ZERO,
                "selector": _PLAIN,
                "strategy": _PLAIN,
                "minReadySeconds": _ZERO,
                "progressDeadlineSeconds": _PLAIN,
                "revisionHistoryLimit": _PLAIN,
                "template": Fields(
                    {
                        "metadata": Fields({"labels": Keys(), "annotations": Keys()}),
                        "spec": _POD,
                    }
                ),
            }
        )
    },
}
_METADATA = Fields({"labels": Keys(), "ownerReferences": _OwnerReferences()})
_MASKS: Mapping[str, Mask] = {
    kind: Fields({"metadata": _METADATA, **fields}) for kind, fields in _SPECS.items()
}

KINDS = tuple(_MASKS)
"""Kinds of objects that belong to a Market."""


def project(body: Mapping[str, Any]) -> Any:
    """The operator's part of an object, normalised."""
    return _MASKS[body["kind"]].project(body, owned_by(body, names.FIELD_MANAGER))


def projection_hash(body: Mapping[str, Any]) -> str:
    """The same for what is desired and what is there when nothing of the operator's differs."""
    return content_hash(project(body))


def restored(live: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """``live`` with all that is the operator's as in ``desired``, and nothing else changed."""
    mask = _MASKS[desired["kind"]]
    together: dict[str, Any] = mask.restore(live, desired, owned_by(live, names.FIELD_MANAGER))
    return together


def difference(live: Mapping[str, Any], desired: Mapping[str, Any]) -> list[str]:
    """Paths of the operator's fields that differ, as spec.template.spec.replicas; for people."""
    return sorted(set(_paths(project(live), project(desired), "")))


def _paths(one: Any, other: Any, path: str) -> list[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return [
            found
            for name in {*one, *other}
            for found in _paths(
                one.get(name), other.get(name), f"{path}.{name}" if path else str(name)
            )
        ]
    return [] if one == other else [path]

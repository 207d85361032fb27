"""The matchers of a Market: one leads, the others stand by."""

from __future__ import annotations

from typing import Any

from gomatch_operator import names
from gomatch_operator.desired.metadata import metadata
from gomatch_operator.desired.mounts import mounts
from gomatch_operator.desired.service import PORT_NAME
from gomatch_operator.hashing import content_hash
from gomatch_operator.market import Market, MarketSpec
from gomatch_operator.settings import OperatorSettings

_USER = 65_532
_REVISIONS = 3
_LOST_NODE_SECONDS = 10
_STARTUP_SECONDS = 60
_HOSTNAME = "kubernetes.io/hostname"


def deployment(
    market: Market,
    spec: MarketSpec,
    settings: OperatorSettings,
    *,
    image: str,
    environment: dict[str, str],
) -> dict[str, Any]:
    """``environment`` is what the ConfigMap holds: when it changes, the pods are replaced."""
    matcher, common = spec.matcher, settings.matcher
    template_labels = {
        **common.pod_labels,
        **matcher.pod_labels,
        **names.labels(market.key.name),
    }
    template_annotations = {
        **common.pod_annotations,
        **matcher.pod_annotations,
        names.ANNOTATION_CONFIG: content_hash(environment),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(market),
        "spec": {
            "replicas": 1 + spec.standbys,
            "selector": {"matchLabels": names.selector(market.key.name)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "progressDeadlineSeconds": settings.rollout.deadline_seconds,
            "revisionHistoryLimit": _REVISIONS,
            "template": {
                "metadata": {"labels": template_labels, "annotations": template_annotations},
                "spec": _pod(market, spec, settings, image=image),
            },
        },
    }


def _pod(
    market: Market, spec: MarketSpec, settings: OperatorSettings, *, image: str
) -> dict[str, Any]:
    matcher, common = spec.matcher, settings.matcher
    pod: dict[str, Any] = {
        "serviceAccountName": common.service_account_name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": common.termination_grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": matcher.affinity or common.affinity or _apart(market),
        "tolerations": _tolerations([*common.tolerations, *matcher.tolerations]),
        "containers": [_container(market, spec, settings, image=image)],
        "volumes": [mount.volume for mount in mounts(settings)],
    }
    if node_selector := {**common.node_selector, **matcher.node_selector}:
        pod["nodeSelector"] = node_selector
    if common.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in common.image_pull_secrets]
    if priority := matcher.priority_class_name or common.priority_class_name:
        pod["priorityClassName"] = priority
    return pod


def _container(
    market: Market, spec: MarketSpec, settings: OperatorSettings, *, image: str
) -> dict[str, Any]:
    matcher, common = spec.matcher, settings.matcher
    return {
        "name": names.CONTAINER,
        "image": image,
        "imagePullPolicy": matcher.image_pull_policy or common.image_pull_policy,
        "envFrom": [{"configMapRef": {"name": names.matcher_name(market.key.name)}}],
        "env": [
            {
                "name": "GOMATCH_POD_NAME",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            }
        ],
        "ports": [
            {"name": PORT_NAME, "containerPort": names.METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": matcher.resources or common.resources,
        "startupProbe": _probe("/healthz", period=1, failures=_STARTUP_SECONDS),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=3),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [mount.container_part for mount in mounts(settings)],
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    """The time limit leaves room for a commit and a collection of garbage under load."""
    return {
        "httpGet": {"path": path, "port": names.METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def _apart(market: Market) -> dict[str, Any]:
    """On different nodes where there are some."""
    term = {
        "labelSelector": {"matchLabels": names.selector(market.key.name)},
        "topologyKey": _HOSTNAME,
    }
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": term}
            ]
        }
    }


def _tolerations(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A matcher leaves a lost node soon, unless its Market tolerates that node by itself."""
    named = {
        toleration.get("key")
        for toleration in given
        if toleration.get("effect") in (None, "", "NoExecute")
    }
    return [
        {
            "key": key,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _LOST_NODE_SECONDS,
        }
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        if key not in named
    ] + given

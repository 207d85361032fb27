"""Names, labels and annotations that the operator and the people who use it share."""

from __future__ import annotations

GROUP = "gomatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Market"
PLURAL = "markets"
CRD_NAME = f"{PLURAL}.{GROUP}"

FINALIZER = "gomatch.io/market"
FIELD_MANAGER = "gomatch-operator"

LABEL_MARKET = "gomatch.io/market"
LABEL_ROLE = "gomatch.io/role"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
ROLE_LEADER = "leader"
ROLE_STANDBY = "standby"

ANNOTATION_HASH = "gomatch.io/desired-hash"
ANNOTATION_CONFIG = "gomatch.io/config-hash"
ANNOTATION_PAUSED = "gomatch.io/paused"
ANNOTATION_RESUME = "gomatch.io/resume"
ANNOTATION_ADOPT = "gomatch.io/adopt"
ANNOTATION_ABANDON = "gomatch.io/abandon"
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

CONTAINER = "matcher"
VOLUME_PREFIX = "gomatch-"
"""Volumes of a matcher's pod whose names begin so are the operator's, all others are not."""
METRICS_PORT = 9090


def matcher_name(market: str) -> str:
    """The name of every cluster object of the Market called ``market``."""
    return f"{market}-matcher"


def labels(market: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "gomatch-matcher",
        "app.kubernetes.io/instance": market,
        "app.kubernetes.io/part-of": "gomatch",
        LABEL_MANAGED_BY: FIELD_MANAGER,
        LABEL_MARKET: market,
    }


def selector(market: str) -> dict[str, str]:
    """Selects the pods of a Market; never changes, as a Deployment's may not."""
    return {"app.kubernetes.io/name": "gomatch-matcher", LABEL_MARKET: market}

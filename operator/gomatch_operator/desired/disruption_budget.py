"""A drain of nodes takes one matcher of a Market at a time."""

from __future__ import annotations

from typing import Any

from gomatch_operator import names
from gomatch_operator.desired.metadata import metadata
from gomatch_operator.market import Market


def disruption_budget(market: Market) -> dict[str, Any]:
    """It never holds up a drain for good: a single matcher may go, and one that is not ready."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(market),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector(market.key.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }

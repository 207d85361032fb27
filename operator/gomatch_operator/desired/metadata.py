"""What all objects of a Market have in common."""

from __future__ import annotations

from typing import Any

from gomatch_operator import names
from gomatch_operator.market import Market


def metadata(market: Market) -> dict[str, Any]:
    """``blockOwnerDeletion`` is false, as a true one needs a right on the Market's finalizers of
    whoever writes the object, and would hold up a foreground deletion."""
    return {
        "name": names.matcher_name(market.key.name),
        "namespace": market.key.namespace,
        "labels": names.labels(market.key.name),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": market.key.name,
                "uid": market.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }

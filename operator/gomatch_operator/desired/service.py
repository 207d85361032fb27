"""A headless Service, by which Prometheus finds the matchers."""

from __future__ import annotations

from typing import Any

from gomatch_operator import names
from gomatch_operator.desired.metadata import metadata
from gomatch_operator.market import Market

PORT_NAME = "metrics"


def service(market: Market) -> dict[str, Any]:
    """Pods that are not ready are in it, too: their metrics say why."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(market),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.selector(market.key.name),
            "ports": [
                {
                    "name": PORT_NAME,
                    "port": names.METRICS_PORT,
                    "protocol": "TCP",
                    "targetPort": names.METRICS_PORT,
                }
            ],
        },
    }

"""Who may talk to a matcher, and to whom it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gomatch_operator import names
from gomatch_operator.desired.addresses import ports, target_ports
from gomatch_operator.desired.metadata import metadata
from gomatch_operator.market import Market
from gomatch_operator.settings import OperatorSettings

_DNS = 53
_NAMESPACE_NAME = "kubernetes.io/metadata.name"


def network_policy(market: Market, settings: OperatorSettings) -> dict[str, Any]:
    """Servers are allowed by their port, wherever they are: they are known by name, and policies
    know addresses only."""
    network, servers = settings.network, settings.servers
    egress: list[dict[str, Any]] = [
        {
            "ports": [
                {"port": _DNS, "protocol": "UDP"},
                {"port": _DNS, "protocol": "TCP"},
            ]
        },
        {
            "ports": _tcp(
                port
                for server in (servers.postgres, servers.rabbitmq, servers.redis)
                for port in ports(server.url)
            )
        },
        {
            "to": [
                {
                    "namespaceSelector": {
                        "matchLabels": {
                            _NAMESPACE_NAME: network.api_namespace or settings.namespace
                        }
                    },
                    "podSelector": {"matchLabels": dict(network.api_pod_labels)},
                }
            ],
            "ports": _tcp(target_ports(settings.matcher.callback_targets)),
        },
        *network.extra_egress,
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(market),
        "spec": {
            "podSelector": {"matchLabels": names.selector(market.key.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": list(network.metrics_from) or [{"namespaceSelector": {}}],
                    "ports": _tcp([names.METRICS_PORT]),
                }
            ],
            "egress": egress,
        },
    }


def _tcp(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"port": number, "protocol": "TCP"} for number in sorted(set(numbers))]

"""The environment of a matcher. What is secret is in files, see mounts.py."""

from __future__ import annotations

from typing import Any

from gomatch_operator import names
from gomatch_operator.desired.addresses import with_parameters
from gomatch_operator.desired.metadata import metadata
from gomatch_operator.desired.mounts import CA_FILE, CERTIFICATES, CREDENTIALS, TOKEN_FILE
from gomatch_operator.market import Market, MarketSpec, seconds
from gomatch_operator.settings import OperatorSettings, Server

_CA_PARAMETERS = {
    "postgres": ("sslrootcert", {"sslmode": "verify-full"}),
    "rabbitmq": ("cafile", {}),
    "redis": ("ssl_ca_certs", {}),
}
"""Query parameters by which each driver is told of a CA."""


def config_map(market: Market, spec: MarketSpec, settings: OperatorSettings) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(market),
        "data": environment(spec, settings),
    }


def environment(spec: MarketSpec, settings: OperatorSettings) -> dict[str, str]:
    """What this function sets itself cannot be changed by the settings' own environment."""
    servers = settings.servers
    ours = {
        "GOMATCH_MARKET": spec.symbol,
        "GOMATCH_POSTGRES_URL": _url(servers.postgres, "postgres"),
        "GOMATCH_POSTGRES_CREDENTIALS": f"{CREDENTIALS}/postgres",
        "GOMATCH_AMQP_URL": _url(servers.rabbitmq, "rabbitmq"),
        "GOMATCH_AMQP_CREDENTIALS": f"{CREDENTIALS}/rabbitmq",
        "GOMATCH_REDIS_URL": _url(servers.redis, "redis"),
        "GOMATCH_REDIS_CREDENTIALS": f"{CREDENTIALS}/redis",
        "GOMATCH_CALLBACK_TARGETS": settings.matcher.callback_targets,
        "GOMATCH_QUEUE_LENGTH": "0",
        "GOMATCH_SNAPSHOT_INTERVAL": str(seconds(spec.snapshot.interval)),
        "GOMATCH_MATCHER_HOST": "0.0.0.0",  # noqa: S104 - probes and metrics come from outside
        "GOMATCH_MATCHER_PORT": str(names.METRICS_PORT),
    }
    if settings.matcher.callback_secret_name:
        ours["GOMATCH_CALLBACK_TOKEN_FILE"] = f"{CREDENTIALS}/callback/{TOKEN_FILE}"
    return dict(sorted({**settings.matcher.environment, **ours}.items()))


def _url(server: Server, name: str) -> str:
    if not server.ca_config_map:
        return server.url
    parameter, others = _CA_PARAMETERS[name]
    return with_parameters(server.url, {**others, parameter: f"{CERTIFICATES}/{name}/{CA_FILE}"})

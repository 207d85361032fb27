"""The operator's settings: one YAML file, which the chart renders into a ConfigMap.

Names in the file are camelCase. Passwords are never in it: credentials are folders, each with the
files ``username`` and ``password``, as a Secret is mounted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from gomatch.errors import ConfigurationError
from gomatch.settings import Settings, check_url


class _Section(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Server(_Section):
    """A server as matchers and the operator reach it."""

    url: str = Field(description="With host, port and path, without user and password.")
    secret_name: str = Field(
        min_length=1,
        description="Secret of a Market's namespace with `username` and `password`, mounted into "
        "its matchers.",
    )
    ca_config_map: str = Field(
        default="", description="ConfigMap of a Market's namespace with `ca.crt`; none if empty."
    )
    credentials: Path = Field(description="The operator's own: a folder with a mounted Secret.")


class Broker(Server):
    management_url: str = Field(
        description="Management HTTP API, as http://rabbitmq:15672; its user has the tag "
        "`policymaker`, which includes `management`."
    )
    management_ca: Path | None = Field(
        default=None, description="CA bundle for an https management_url; the system's if absent."
    )
    vhost: str = Field(default="/", description="The one in `url`.")

    @field_validator("management_url")
    @classmethod
    def _check_management_url(cls, url: str) -> str:
        """Conditions and Events name it."""
        check_url(url, ("http", "https"))
        if "@" in url:
            raise ValueError("managementUrl has a user or password: they belong into the Secret")
        return url


_SCHEMES: Mapping[str, Sequence[str]] = {
    "postgres": ("postgresql", "postgres"),
    "rabbitmq": ("amqp", "amqps"),
    "redis": ("redis", "rediss"),
}
_CREDENTIALS = frozenset(("user", "username", "password", "sslpassword", "ssl_password"))
"""Query parameters that the drivers know."""
_SECRETS = frozenset(
    f"GOMATCH_{name.upper()}"
    for name, field in Settings.model_fields.items()
    if field.annotation is SecretStr
)
"""Environment variables of matchers that can hold a password, token or key."""


class Servers(_Section):
    postgres: Server
    rabbitmq: Broker
    redis: Server

    @field_validator("postgres", "rabbitmq", "redis")
    @classmethod
    def _check_url(cls, server: Server, info: ValidationInfo) -> Server:
        """The URL goes into ConfigMaps."""
        check_url(server.url, _SCHEMES[str(info.field_name)])
        address, _, query = server.url.partition("?")
        if "@" in address or _CREDENTIALS & parse_qs(query).keys():
            raise ValueError("url has a user or password: they belong into the Secret")
        return server


class MatcherPods(_Section):
    """What all matchers of this installation have in common."""

    image: str = Field(min_length=1, description="Default image; a Market may name its own.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When a node pulls the image."
    )
    image_pull_secrets: tuple[str, ...] = Field(
        default=(), description="Secrets of a Market's namespace, by name."
    )
    service_account_name: str = Field(default="default", description="Pods get no token of it.")
    resources: dict[str, Any] = Field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        description="As in a container.",
    )
    callback_targets: str = Field(
        description="host:port of the API's headless Service, its replicas' callback servers."
    )
    callback_secret_name: str = Field(
        default="", description="Secret of a Market's namespace with `token`; none if empty."
    )
    termination_grace_seconds: int = Field(
        default=60, ge=5, description="Longer than a commit and an image take."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="More GOMATCH_ variables, as GOMATCH_LOG_LEVEL."
    )
    pod_labels: dict[str, str] = Field(default_factory=dict, description="More labels of pods.")
    pod_annotations: dict[str, str] = Field(
        default_factory=dict, description="More annotations of pods."
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Labels that nodes must have."
    )
    tolerations: tuple[dict[str, Any], ...] = Field(default=(), description="As in a Pod.")
    affinity: dict[str, Any] = Field(
        default_factory=dict, description="In place of the soft anti-affinity of standbys."
    )
    priority_class_name: str = Field(default="", description="Of the pods; none if empty.")

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, environment: dict[str, str]) -> dict[str, str]:
        """It goes into ConfigMaps."""
        if secret := sorted(_SECRETS & environment.keys()):
            raise ValueError(f"{', '.join(secret)} can hold a secret: it belongs into a Secret")
        return environment


class Network(_Section):
    """NetworkPolicies of matchers. Ports of egress are those of the servers' URLs."""

    enabled: bool = Field(default=True, description="Whether each Market has one.")
    api_namespace: str = Field(default="", description="Where the API runs; default: namespace.")
    api_pod_labels: dict[str, str] = Field(
        default_factory=lambda: {"app.kubernetes.io/name": "gomatch-api"},
        description="Pods of the API, whose callback servers matchers may reach.",
    )
    metrics_from: tuple[dict[str, Any], ...] = Field(
        default=(), description="NetworkPolicyPeers that may scrape; all pods if empty."
    )
    extra_egress: tuple[dict[str, Any], ...] = Field(
        default=(), description="More rules of egress, as in a NetworkPolicy."
    )


class Rollout(_Section):
    max_concurrent: int = Field(default=5, ge=1, description="Markets that roll at once.")
    deadline_seconds: int = Field(
        default=300, ge=5, description="A Market not Ready for so long stops the rollout."
    )


class OperatorSettings(_Section):
    """Durations are seconds."""

    installation: str = Field(
        min_length=1,
        max_length=253,
        description="Names this installation in the claims: two that share a database differ.",
    )
    namespace: str = Field(min_length=1, description="The operator's own.")
    watch_namespaces: tuple[str, ...] = Field(default=(), description="Where Markets are served.")
    cluster_scope: bool = Field(default=False, description="Serve Markets of all namespaces.")
    lease_name: str = Field(
        default="gomatch-operator",
        description="Of the Lease in `namespace` that the active one has.",
    )
    lease_seconds: float = Field(
        default=15.0, gt=1, description="After so long without renewal another may take the Lease."
    )
    renew_deadline: float = Field(
        default=10.0, ge=1, description="One that cannot renew it for so long ends."
    )
    retry_period: float = Field(
        default=2.0, ge=1, description="Between two attempts to take or renew it."
    )
    servers: Servers
    matcher: MatcherPods
    network: Network = Network()
    rollout: Rollout = Rollout()
    workers: int = Field(default=8, ge=1, le=64, description="Markets reconciled at once.")
    queue_limit: int = Field(default=20_000, ge=1, description="Markets that may wait.")
    sweep_seconds: float = Field(default=30.0, gt=0, description="Drift outside the cluster.")
    status_seconds: float = Field(
        default=30.0, ge=0, description="Least time between writes of volatile status."
    )
    outage_seconds: float = Field(
        default=10.0, ge=0, description="A server away for so long turns conditions."
    )
    stale_seconds: float = Field(
        default=10.0, ge=0, description="A mirror behind for so long is rebuilt."
    )
    canary_seconds: float = Field(
        default=90.0, gt=0, description="A change unseen by the watch for so long ends liveness."
    )
    watch_silence_seconds: float = Field(
        default=70.0,
        gt=0,
        description="A watch that brings nothing for so long is opened anew; API servers send "
        "a bookmark every minute.",
    )
    request_timeout: float = Field(default=10.0, gt=0, description="Each call to any server.")
    backlog_limit: int = Field(default=200_000, ge=1, description="As the API's.")
    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - probes and metrics come from outside of the pod
        description="Address of health and metrics.",
    )
    port: int = Field(default=9091, ge=0, le=65535, description="Health and metrics.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="`console` is for people."
    )

    @model_validator(mode="after")
    def _check_namespaces(self) -> OperatorSettings:
        if self.cluster_scope and self.watch_namespaces:
            raise ValueError("give watchNamespaces or clusterScope, not both")
        return self

    @model_validator(mode="after")
    def _check_lease(self) -> OperatorSettings:
        if not self.lease_seconds > self.renew_deadline > 1.2 * self.retry_period:
            raise ValueError(
                "leaseSeconds must be above renewDeadline, and that above 1.2 times retryPeriod"
            )
        return self

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where Markets are served; empty: in all namespaces."""
        if self.cluster_scope:
            return ()
        return self.watch_namespaces or (self.namespace,)


def load_settings(path: Path) -> OperatorSettings:
    """Raises ConfigurationError that names the file and what in it cannot be used."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return OperatorSettings.model_validate(content)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(f"{path}: {wrong}") from error

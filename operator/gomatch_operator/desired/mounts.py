"""Secrets and CA certificates as files in a matcher's pod: where they are, and the volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gomatch_operator import names
from gomatch_operator.settings import OperatorSettings

CREDENTIALS = "/etc/gomatch/credentials"
CERTIFICATES = "/etc/gomatch/ca"
CA_FILE = "ca.crt"
TOKEN_FILE = "token"  # noqa: S105 - the name of a file
_TEMPORARY_LIMIT = "64Mi"
_READ_ONLY = 0o444
_TEMPORARY = f"{names.VOLUME_PREFIX}temporary"
_CALLBACK = f"{names.VOLUME_PREFIX}callback-token"


@dataclass(frozen=True, slots=True)
class Mount:
    volume: dict[str, Any]
    path: str

    @property
    def container_part(self) -> dict[str, Any]:
        mount: dict[str, Any] = {"name": self.volume["name"], "mountPath": self.path}
        if self.volume["name"] != _TEMPORARY:
            mount["readOnly"] = True
        return mount


def mounts(settings: OperatorSettings) -> list[Mount]:
    """Secrets are readable for all in the pod, whatever user the image runs as: nobody else is in
    it. Their folders are mounted whole, so that a changed Secret reaches the files."""
    servers = {
        "postgres": settings.servers.postgres,
        "rabbitmq": settings.servers.rabbitmq,
        "redis": settings.servers.redis,
    }
    found = [
        Mount(
            {
                "name": f"{names.VOLUME_PREFIX}{name}-credentials",
                "secret": {"secretName": server.secret_name, "defaultMode": _READ_ONLY},
            },
            f"{CREDENTIALS}/{name}",
        )
        for name, server in servers.items()
    ]
    found += [
        Mount(
            {
                "name": f"{names.VOLUME_PREFIX}{name}-ca",
                "configMap": {"name": server.ca_config_map, "defaultMode": _READ_ONLY},
            },
            f"{CERTIFICATES}/{name}",
        )
        for name, server in servers.items()
        if server.ca_config_map
    ]
    if settings.matcher.callback_secret_name:
        found.append(
            Mount(
                {
                    "name": _CALLBACK,
                    "secret": {
                        "secretName": settings.matcher.callback_secret_name,
                        "defaultMode": _READ_ONLY,
                        "items": [{"key": TOKEN_FILE, "path": TOKEN_FILE}],
                    },
                },
                f"{CREDENTIALS}/callback",
            )
        )
    found.append(
        Mount({"name": _TEMPORARY, "emptyDir": {"sizeLimit": _TEMPORARY_LIMIT}}, "/tmp")  # noqa: S108
    )
    return found

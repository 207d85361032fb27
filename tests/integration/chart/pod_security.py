"""The restricted Pod Security Standard, as far as a chart can break it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.chart.helm import Document, containers

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_PROFILES = ("RuntimeDefault", "Localhost")


def violations(template: Document) -> list[str]:
    """What the standard forbids in these pods, and a root file system that can be written."""
    return [*_of_pod(template["spec"]), *_of_containers(template)]


def _of_pod(spec: Document) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= _VOLUMES:
            yield f"volume {volume['name']}"


def _of_containers(template: Document) -> Iterator[str]:
    pod = template["spec"].get("securityContext", {})
    for container in containers(template):
        own = container.get("securityContext", {})
        context = {**pod, **own}
        name = container["name"]
        if own.get("privileged"):
            yield f"{name}: privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name}: capabilities.drop"
        if not set(own.get("capabilities", {}).get("add", [])) <= {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities.add"
        if context.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if context.get("runAsUser", 1) == 0:
            yield f"{name}: runAsUser"
        if context.get("seccompProfile", {}).get("type") not in _PROFILES:
            yield f"{name}: seccompProfile"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name}: hostPort"

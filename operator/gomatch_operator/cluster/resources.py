"""Where objects are in the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from gomatch_operator import names


@dataclass(frozen=True, slots=True)
class Resource:
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group_path(self) -> str:
        """Of its group and version."""
        return f"{'/apis' if '/' in self.api_version else '/api'}/{self.api_version}"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """``namespace`` empty: of all namespaces, or of a kind that is in none."""
        parts = [self.group_path]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


RESOURCES: Mapping[str, Resource] = {
    names.KIND: Resource(names.API_VERSION, names.PLURAL),
    "ConfigMap": Resource("v1", "configmaps"),
    "CustomResourceDefinition": Resource(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
    ),
    "Deployment": Resource("apps/v1", "deployments"),
    "Event": Resource("v1", "events"),
    "Lease": Resource("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "Pod": Resource("v1", "pods"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "Service": Resource("v1", "services"),
}
"""All kinds that the operator reads or writes."""

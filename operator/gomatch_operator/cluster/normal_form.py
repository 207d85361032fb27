"""Values of Kubernetes objects in a form that is equal when they mean the same: quantities as
numbers, what is left out as the API server fills it in, lists without a meaning to their order
sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

_parse: Callable[[str], Decimal] = parse_quantity
_MAPS_OF_STRINGS = frozenset({"matchLabels", "nodeSelector", "labels", "annotations"})
_QUANTITIES = frozenset({"limits", "requests"})


def plain(value: Any) -> Any:
    """Without what the API server drops as it says nothing: null, empty text, lists and maps of
    strings. An empty structure stays: `podSelector: {}` selects all pods."""
    if isinstance(value, Mapping):
        parts = {name: _field(name, part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part is not None}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def text_map(value: Any) -> Any:
    """Empty text is kept: as a value of a ConfigMap or label it says something."""
    return dict(value) if value else None


def optional(value: Any) -> Any:
    """As `plain`; empty is the same as left out."""
    return _field("", value)


def zero_if_absent(value: Any) -> Any:
    """A boolean or number whose absence is false or 0."""
    return value or None


def by(key: str, **defaults: Any) -> Callable[[Any], Any]:
    """Normalises lists of structures: in the order of ``key``, with ``defaults`` filled in."""

    def normalise(value: Any) -> Any:
        entries = [plain({**defaults, **entry}) for entry in value or []]
        return sorted(entries, key=lambda entry: str(entry.get(key, ""))) or None

    return normalise


def environment(value: Any) -> Any:
    """Of a container."""
    entries = []
    for entry in value or []:
        normal = plain(entry)
        if "fieldRef" in (source := normal.get("valueFrom", {})):
            source["fieldRef"] = {"apiVersion": "v1", **source["fieldRef"]}
        entries.append(normal)
    return sorted(entries, key=lambda entry: str(entry["name"])) or None


def service_ports(value: Any) -> Any:
    """A port of a node is the API server's to give."""
    return by("port", protocol="TCP")(
        [
            {"targetPort": entry.get("port"), **{k: v for k, v in entry.items() if k != "nodePort"}}
            for entry in value or []
        ]
    )


def policy_rules(value: Any) -> Any:
    """Ingress or egress of a NetworkPolicy; rules keep their order."""
    rules = []
    for rule in value or []:
        normal = plain(rule)
        if "ports" in normal:
            normal["ports"] = [{"protocol": "TCP", **port} for port in normal["ports"]]
        rules.append(normal)
    return rules or None


def quantity(value: Any) -> str:
    """1000m and 1 are the same, as are 1Gi and 1024Mi. What is no quantity stays as it is."""
    try:
        number = _parse(str(value))
    except ValueError:
        return str(value)
    return format(number.normalize(), "f")


def _field(name: str, value: Any) -> Any:
    if name in _MAPS_OF_STRINGS:
        return text_map(value)
    if name in _QUANTITIES:
        return {each: quantity(amount) for each, amount in (value or {}).items()} or None
    if name == "sizeLimit":
        return None if value is None else quantity(value)
    if value is None or value in ("", []):
        return None
    return plain(value)

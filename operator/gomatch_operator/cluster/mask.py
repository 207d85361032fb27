"""Which parts of an object are the operator's. A mask takes them out of an object, to compare, and
puts them into one that has more, to restore.

``owned`` is the part of ``metadata.managedFields`` that names the operator's fields, as a tree of
``f:name`` and ``k:{...}`` keys; None means that all there is counts as the operator's, as in an
object that it is about to write. None as a value means that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

Owned = Mapping[str, Any] | None


class Mask(Protocol):
    def project(self, live: Any, owned: Owned) -> Any:
        """The operator's part of ``live``, normalised: equal when it means the same."""
        ...

    def restore(self, live: Any, desired: Any, owned: Owned) -> Any:
        """``live`` with the operator's part as in ``desired``."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """All of it is the operator's."""

    normalise: Callable[[Any], Any]

    def project(self, live: Any, owned: Owned) -> Any:
        del owned
        return self.normalise(live)

    def restore(self, live: Any, desired: Any, owned: Owned) -> Any:
        del owned
        return live if self.normalise(live) == self.normalise(desired) else desired


@dataclass(frozen=True, slots=True)
class Fields:
    """Some fields of a structure."""

    fields: Mapping[str, Mask]

    def project(self, live: Any, owned: Owned) -> Any:
        live = live or {}
        parts = {
            name: mask.project(live.get(name), _below(owned, f"f:{name}"))
            for name, mask in self.fields.items()
        }
        return {name: part for name, part in parts.items() if part is not None}

    def restore(self, live: Any, desired: Any, owned: Owned) -> Any:
        restored = dict(live or {})
        desired = desired or {}
        for name, mask in self.fields.items():
            part = mask.restore(restored.get(name), desired.get(name), _below(owned, f"f:{name}"))
            if part is None:
                restored.pop(name, None)
            else:
                restored[name] = part
        return restored


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a list of structures that have a ``name``; others stay, where they are."""

    ours: Callable[[Mapping[str, Any]], bool]
    entry: Mask

    def project(self, live: Any, owned: Owned) -> Any:
        found = [
            {"name": entry["name"], **self.entry.project(entry, _named(owned, entry["name"]))}
            for entry in live or []
            if self.ours(entry)
        ]
        return sorted(found, key=lambda entry: str(entry["name"])) or None

    def restore(self, live: Any, desired: Any, owned: Owned) -> Any:
        wanted = {entry["name"]: entry for entry in desired or []}
        restored = []
        for entry in live or []:
            if not self.ours(entry):
                restored.append(entry)
            elif (want := wanted.pop(entry["name"], None)) is not None:
                restored.append(self.entry.restore(entry, want, _named(owned, entry["name"])))
        return [*restored, *wanted.values()] or None


class Keys:
    """Keys of a map of strings: those that the operator wrote. Others stay."""

    def project(self, live: Any, owned: Owned) -> Any:
        return {name: text for name, text in (live or {}).items() if _has(owned, name)} or None

    def restore(self, live: Any, desired: Any, owned: Owned) -> Any:
        foreign = {name: text for name, text in (live or {}).items() if not _has(owned, name)}
        return {**foreign, **(desired or {})} or None


def owned_by(body: Mapping[str, Any], manager: str) -> Owned:
    """The fields that ``manager`` wrote and nobody else changed since; None when the object does
    not say who wrote what."""
    entries = body.get("metadata", {}).get("managedFields")
    if not entries:
        return None
    together: dict[str, Any] = {}
    for entry in entries:
        if entry.get("manager") == manager and not entry.get("subresource"):
            _merge(together, entry.get("fieldsV1") or {})
    return together


def _merge(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, below in fields.items():
        _merge(into.setdefault(name, {}), below)


def _below(owned: Owned, key: str) -> Owned:
    return None if owned is None else owned.get(key, {})


def _named(owned: Owned, name: str) -> Owned:
    return _below(owned, f"k:{msgspec.json.encode({'name': name}).decode()}")


def _has(owned: Owned, name: str) -> bool:
    return owned is None or f"f:{name}" in owned

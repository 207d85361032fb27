"""What the API server's refusals mean."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gomatch_operator.errors import (
    ClusterError,
    ClusterUnavailable,
    Forbidden,
    ListExpired,
    NamespaceTerminating,
    ObjectChanged,
    ObjectExists,
    ObjectInvalid,
    ObjectMissing,
    QuotaExceeded,
)

_MESSAGE_LIMIT = 1_000
_UNDECLARED = "field not declared in schema"


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    retry_after_seconds: int = 0
    causes: list[_Cause] = []


class _Status(msgspec.Struct, frozen=True):
    """A `Status` of the Kubernetes API, as far as it is needed."""

    message: str = ""
    reason: str = ""
    details: _Details | None = None


def failure(what: str, status: int, headers: Mapping[str, str], body: bytes) -> ClusterError:
    """``what`` was asked, as "create Deployment default/a"; ``body`` came with ``status``."""
    said = _read(body)
    message = f"{what}: {said.message or f'HTTP {status}'}"[:_MESSAGE_LIMIT]
    # Not 401: a token that has just expired is read again, and the next call has the new one.
    if status in (401, 429) or (status >= 500 and _UNDECLARED not in said.message):
        return ClusterUnavailable(message, status=status, retry_after=_wait(said, headers))
    return _meaning(status, said)(message, status=status)


def _meaning(status: int, said: _Status) -> type[ClusterError]:
    causes = {cause.reason for cause in said.details.causes} if said.details else set()
    match status:
        case 403 if "NamespaceTerminating" in causes or _TERMINATING in said.message:
            return NamespaceTerminating
        case 403 if "exceeded quota" in said.message:
            return QuotaExceeded
        case 403:
            return Forbidden
        case 404:
            return ObjectMissing
        case 409 if said.reason == "AlreadyExists":
            return ObjectExists
        case 409:
            return ObjectChanged
        case 410:
            return ListExpired
        case 400 | 422 | 500:
            return ObjectInvalid
        case _:
            return ClusterError


_TERMINATING = "because it is being terminated"


def _read(body: bytes) -> _Status:
    try:
        return msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        return _Status(message=body.decode(errors="replace").strip())


def _wait(said: _Status, headers: Mapping[str, str]) -> float | None:
    named = headers.get("Retry-After", "")
    if named.isdecimal():
        return float(named)
    asked = said.details.retry_after_seconds if said.details else 0
    return float(asked) if asked else None

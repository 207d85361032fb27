"""Pieces of the OpenAPI document that routes give along."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from gomatch_api import codes, problems
from gomatch_api.codes import ProblemCode

Responses = dict[int | str, dict[str, Any]]

AUTHENTICATION = (
    codes.UNAUTHENTICATED,
    codes.KEY_REVOKED,
    codes.SIGNATURE_INVALID,
    codes.TIMESTAMP_EXPIRED,
    codes.SCOPE_MISSING,
    codes.RATE_LIMITED,
    codes.DATABASE_UNAVAILABLE,
)
"""What every route with a caller may answer."""

BODY = (
    codes.MALFORMED_JSON,
    codes.DUPLICATE_KEY,
    codes.BODY_TOO_LARGE,
    codes.UNSUPPORTED_MEDIA_TYPE,
    codes.REQUEST_TIMEOUT,
)
ACCEPTANCE = (
    codes.NOT_ACCEPTED,
    codes.OUTCOME_UNKNOWN,
    codes.OVERLOADED,
    codes.BACKLOG_FULL,
    codes.SHUTTING_DOWN,
)
SECURITY: list[dict[str, list[str]]] = [
    {"bearer": []},
    {"signatureKey": [], "signatureTimestamp": [], "signature": []},
]
COMMON = (codes.MALFORMED_REQUEST, codes.METHOD_NOT_ALLOWED, codes.INTERNAL_ERROR)


def reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def documented(
    schema: str, *refusals: ProblemCode, status: int = 200, description: str = "Done."
) -> Responses:
    """One successful answer and the problems that may come instead."""
    content = {"application/json": {"schema": reference(schema)}}
    return {
        status: {"description": description, "content": content},
        **refused(*refusals),
    }


def refused(*refusals: ProblemCode) -> Responses:
    """Problems by status, with their codes in the description."""
    by_status: dict[int, list[ProblemCode]] = defaultdict(list)
    for code in dict.fromkeys((*refusals, *COMMON)):
        by_status[code.status].append(code)
    return {
        status: {
            "description": "; ".join(f"`{code.code}`: {code.title}" for code in found) + ".",
            "content": {problems.MEDIA_TYPE: {"schema": reference("Problem")}},
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status, found in sorted(by_status.items())
    }


RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

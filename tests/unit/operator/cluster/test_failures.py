"""What the API server's refusals become."""

from __future__ import annotations

import json

import pytest

from gomatch_operator.cluster.failures import failure
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


def status(message: str = "said so", reason: str = "", **details: object) -> bytes:
    return json.dumps(
        {"kind": "Status", "message": message, "reason": reason, "details": details}
    ).encode()


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (400, status(), ObjectInvalid),
        (401, status(), ClusterUnavailable),
        (403, status("pods is forbidden: exceeded quota: few"), QuotaExceeded),
        (
            403,
            status("forbidden", causes=[{"reason": "NamespaceTerminating"}]),
            NamespaceTerminating,
        ),
        (
            403,
            status("in namespace a because it is being terminated"),
            NamespaceTerminating,
        ),
        (403, status('User "a" cannot create'), Forbidden),
        (404, status(), ObjectMissing),
        (405, status(), ClusterError),
        (409, status(reason="AlreadyExists"), ObjectExists),
        (409, status(reason="Conflict"), ObjectChanged),
        (410, status(reason="Expired"), ListExpired),
        (422, status(), ObjectInvalid),
        (429, status(), ClusterUnavailable),
        (500, status(), ClusterUnavailable),
        (500, status(".spec.a: field not declared in schema"), ObjectInvalid),
        (503, b"upstream connect error", ClusterUnavailable),
    ],
)
def test_a_refusal_is_told_by_status_and_body(
    code: int, body: bytes, expected: type[ClusterError]
) -> None:
    error = failure("create Pod a/b", code, {}, body)

    assert type(error) is expected
    assert error.status == code


@pytest.mark.parametrize("body", [status(), b"said so"])
def test_the_message_has_what_was_asked_and_the_answer(body: bytes) -> None:
    assert str(failure("create Pod a/b", 403, {}, body)) == "create Pod a/b: said so"


def test_an_answer_without_words_is_named_by_its_status() -> None:
    assert str(failure("get Pod a/b", 502, {}, b"")) == "get Pod a/b: HTTP 502"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry-After": "7"}, status(), 7.0),
        ({}, status(retryAfterSeconds=3), 3.0),
        ({}, b"", None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", None),
    ],
)
def test_how_long_to_wait_is_kept(
    headers: dict[str, str], body: bytes, expected: float | None
) -> None:
    error = failure("list Pod a", 429, headers, body)

    assert isinstance(error, ClusterUnavailable)
    assert error.retry_after == expected

"""RFC 9457 problem documents: the one shape of every error answer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gomatch_api.codes import ProblemCode

MEDIA_TYPE = "application/problem+json"


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``code`` is stable and listed in docs/errors.md; ``field`` is the JSON path of the value
    that is at fault, where there is one."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class Problem(Exception):
    """Raised anywhere below a route; becomes a problem document. Never carries internals."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str = "",
        *,
        field: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code.code, detail, field)
        self.code = code
        self.detail = detail or code.title
        self.field = field
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(max(1, round(retry_after + 0.499)))
        if code.status == 401:
            self.headers["www-authenticate"] = 'Bearer realm="gomatch"'

    @property
    def status(self) -> int:
        return self.code.status

    def body(self) -> ProblemBody:
        return ProblemBody(
            type=self.code.type,
            title=self.code.title,
            status=self.code.status,
            code=self.code.code,
            detail=self.detail,
            field=self.field,
        )

    def again(self) -> Problem:
        """A fresh instance, for another waiter: an exception must not be raised twice at once."""
        return Problem(self.code, self.detail, field=self.field, retry_after=self.retry_after)


def encode(problem: Problem) -> bytes:
    return msgspec.json.encode(problem.body())

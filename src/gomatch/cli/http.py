"""Requests to the HTTP API, with problems and broken connections as exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, Self

import httpx
import msgspec
import typer

from gomatch.cli.output import CommandFailed, ExitCode
from gomatch.errors import ConfigurationError

UrlOption = Annotated[
    str, typer.Option("--url", envvar="GOMATCH_URL", help="Where the API listens.")
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="GOMATCH_TOKEN",
        help="The key's token, <key>.<secret>.",
        show_default=False,
    ),
]
DEFAULT_URL = "http://127.0.0.1:8080"
_TIMEOUT = 30.0
_UNAUTHENTICATED = 401


class ApiClient:
    """One command's connection to the API. ``call`` raises CommandFailed: REFUSED where the API
    says no, UNAVAILABLE where it or its database cannot be reached."""

    def __init__(self, url: str, token: str) -> None:
        """Raises ConfigurationError on a URL that cannot be one."""
        base = check_url(url)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(base_url=base, headers=headers, timeout=_TIMEOUT)
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """The decoded answer of a request that went well."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            response = await self._client.request(
                method, path, content=content, headers=headers, params=query
            )
            answer = msgspec.json.decode(response.content)
        except httpx.HTTPError as error:
            raise CommandFailed(
                f"{self._url} cannot be reached: {str(error) or type(error).__name__}; does an API "
                "listen there? Give another with --url or GOMATCH_URL",
                ExitCode.UNAVAILABLE,
                reason="unreachable",
            ) from error
        except msgspec.DecodeError as error:
            raise CommandFailed(
                f"{self._url} did not answer with JSON: is it a gomatch API?",
                ExitCode.UNAVAILABLE,
                reason="not_an_api",
            ) from error
        if response.is_success:
            return answer
        raise _problem(response.status_code, answer)


def check_url(url: str) -> str:
    """``url`` if it can be an API's. Raises ConfigurationError."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"--url {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"--url must begin with http:// or https://, not {url!r}")
    return url


def _problem(status: int, answer: Any) -> CommandFailed:
    problem = answer if isinstance(answer, dict) else {}
    code = str(problem.get("code", f"http_{status}"))
    text = f"{problem.get('detail') or problem.get('title') or 'the API refused'} ({code})"
    if field := problem.get("field"):
        text = f"{field}: {text}"
    if status == _UNAUTHENTICATED:
        text += "; give a key's token with --token or GOMATCH_TOKEN"
    return CommandFailed(
        text, ExitCode.UNAVAILABLE if status >= 500 else ExitCode.REFUSED, reason=code
    )

"""User names, passwords and tokens that are files: mounted Secrets, which change while we run.

They are read anew for each connection, so that the next connection uses what was rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from gomatch.errors import CredentialsMissing

Tokens = Callable[[], Sequence[str]]
"""The tokens that are valid now, the preferred one first; none means that none is asked for.
Raises CredentialsMissing."""


def no_tokens() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Credentials:
    """``username`` is empty where the folder names none."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is, and who we are there: by ``folder`` with the files ``username`` (may be
    absent) and ``password``, or else by what the URL says."""

    url: str = field(repr=False)
    folder: Path | None = None

    @classmethod
    def of(cls, server: str | Endpoint) -> Endpoint:
        return server if isinstance(server, Endpoint) else cls(server)

    def credentials(self) -> Credentials | None:
        """What the files say now; None without a folder. Raises CredentialsMissing."""
        if self.folder is None:
            return None
        return Credentials(
            username=_read(self.folder / "username", optional=True),
            password=_read(self.folder / "password"),
        )

    def current_url(self) -> str:
        """With the user and password of this moment. Raises CredentialsMissing."""
        credentials = self.credentials()
        if credentials is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        own, _, _ = _authority(rest).rpartition("@")
        user = quote(credentials.username, safe="") or own.partition(":")[0]
        return f"{scheme}://{user}:{quote(credentials.password, safe='')}@{_without_user(rest)}"

    def anonymous_url(self) -> str:
        """Without user and password."""
        scheme, separator, rest = self.url.partition("://")
        return f"{scheme}{separator}{_without_user(rest)}"


def read_secret(file: Path) -> str:
    """A file's text without the line end after it. Raises CredentialsMissing, also when it is
    empty."""
    return _read(file)


def read_lines(file: Path) -> list[str]:
    """Its lines that are not empty, at least one. Raises CredentialsMissing."""
    return [line.strip() for line in _read(file).splitlines() if line.strip()]


def _read(file: Path, *, optional: bool = False) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if optional and file.parent.is_dir():
            return ""
        raise CredentialsMissing(f"{file} does not exist: mount the Secret there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsMissing(f"{file} cannot be read: {_why(error)}") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip() and not optional:
        raise CredentialsMissing(f"{file} is empty: write the secret into it")
    return text


def _why(error: OSError | UnicodeDecodeError) -> str:
    # A decoding error's own message repeats bytes of the secret.
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"


def _authority(rest: str) -> str:
    return rest.partition("?")[0].partition("/")[0]


def _without_user(rest: str) -> str:
    authority = _authority(rest)
    return authority.rpartition("@")[2] + rest[len(authority) :]

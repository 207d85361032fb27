"""Credentials as a mounted Secret gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gomatch.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str = field(repr=False)


def read_credentials(folder: Path) -> Credentials:
    """The files ``username`` and ``password`` of ``folder``, without the newline at their ends.
    Raises ConfigurationError that names the file which cannot be read."""
    return Credentials(_read(folder / "username"), _read(folder / "password"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the credentials {path} cannot be read: {error}") from error

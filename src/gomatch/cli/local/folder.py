"""The folder in which `gomatch up` keeps everything between runs."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gomatch.errors import ConfigurationError


class DataFolder:
    """``server_key`` is made at the first run. Files with secrets are the owner's alone."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError when the folder cannot be used."""
        self.path = path.absolute()
        try:
            # Others may pass through, as PostgreSQL may run under another account, but not look.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the folder {path} cannot be used: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises ConfigurationError when another `gomatch up` has it."""
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ConfigurationError(
                    f"another `gomatch up` (process {lock.read().strip() or 'unknown'}) runs on "
                    f"{self.path}: stop it, or give another folder with --data"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def server_key(self) -> str:
        """Hex."""
        path = self.path / "server-key"
        if not path.exists():
            self._write_secret(path, secrets.token_hex(32) + "\n")
        return path.read_text().strip()

    @contextmanager
    def environment(self, variables: Mapping[str, str]) -> Iterator[None]:
        """While it runs, other `gomatch` commands find the venue by this file."""
        path = self.path / "environment"
        self._write_secret(path, "".join(f"{name}={variables[name]}\n" for name in variables))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    def _write_secret(self, path: Path, text: str) -> None:
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(text)
        unfinished.replace(path)

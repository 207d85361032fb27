"""One `gomatch up` for all tests of the command line, and commands run against it."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gomatch.cli import application
from gomatch.cli.servers.process import ServerProcess


@dataclass(frozen=True)
class Finished:
    """A command that has ended. ``code`` is its exit code."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)

    def refused(self, code: int, *words: str) -> None:
        """Ended with ``code``, with nothing printed, and a message with these words."""
        assert (self.code, self.stdout) == (code, ""), self
        assert "Traceback" not in self.stderr, self.stderr
        for word in words:
            assert word in " ".join(self.stderr.split()), self.stderr


@dataclass(frozen=True)
class Venue:
    """``folder`` is where it runs, ``variables`` what its other commands work with."""

    folder: Path
    url: str
    token: str
    greeting: str
    variables: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> Finished:
        """One command in this process, as the user demo."""
        return run(*arguments, **{**self.variables, "GOMATCH_TOKEN": self.token, **variables})

    def market(self, symbol: str, lot: str = "1") -> str:
        """A new market with an empty book, once it is served."""
        assert self.run("markets", "create", symbol, "--tick", "0.01", "--lot", lot).code == 0

        def served() -> bool:
            with self.client() as demo:
                return demo.get(f"/v1/markets/{symbol}/ticker").status_code == 200

        wait_for(served)
        return symbol

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=40)


def run(*arguments: str, **variables: str) -> Finished:
    """One command in this process, with nothing in its environment but ``variables``."""
    done = CliRunner().invoke(application(arguments), arguments, env={**_NOTHING, **variables})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Finished(done.exit_code, done.stdout, done.stderr)


_NOTHING: Mapping[str, Any] = {
    name: None for name in os.environ if name.startswith("GOMATCH_") or name == "FORCE_COLOR"
}


def command(*arguments: str) -> list[str]:
    """What a process runs for the same."""
    return [sys.executable, "-m", "gomatch.cli", *arguments]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def venue(server_folder: Path) -> Iterator[Venue]:
    folder = server_folder / "command-line"
    folder.mkdir(mode=0o711)
    log = folder / "up.log"
    process = ServerProcess(
        command("up", "--port", "0"),
        log=log,
        # A busy machine may take some seconds over a result.
        environment={"PATH": os.environ["PATH"], "GOMATCH_RESULT_TIMEOUT": "20"},
        folder=folder,
    )
    try:

        def up() -> bool:
            assert process.running, log.read_text()
            return (folder / ".data" / "environment").exists() and "curl" in log.read_text()

        wait_for(up, 150)
        lines = (folder / ".data" / "environment").read_text().splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        token = re.search(r"GOMATCH_TOKEN=(\S+)", log.read_text())
        assert token is not None
        yield Venue(folder, variables["GOMATCH_URL"], token[1], log.read_text(), variables)
    finally:
        process.stop(60)
        assert "Traceback" not in log.read_text(), log.read_text()

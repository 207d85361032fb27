"""What is said on a machine that lacks something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gomatch.cli.servers import __main__ as servers
from gomatch.cli.servers.process import ServerError
from gomatch.cli.servers.rabbitmq_install import RabbitInstallation

INSTALL = Path(__file__).parents[3] / "scripts" / "install.sh"


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout whose Python has no venv, for an account without rights; its programs are in
    ``bin`` and nowhere else."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(INSTALL, tmp_path / "scripts")
    write_program(programs / "python3", '[ "$1" = -c ]')
    write_program(programs / "id", "echo 1000")
    for name in ("sh", "dirname", "rm"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return tmp_path


def install(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", checkout / "scripts" / "install.sh"],
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_without_root_and_sudo_one_learns_what_to_install(bare: Path) -> None:
    for program in (None, "apt-get"):
        if program is not None:
            write_program(bare / "bin" / program, "echo called >&2")
        done = install(bare)
        assert done.returncode == 1
        assert "As root run: apt-get install python3-venv" in done.stderr
        assert "called" not in done.stderr
        assert not (bare / ".venv").exists()


def test_with_sudo_that_is_refused_too(bare: Path) -> None:
    write_program(bare / "bin" / "apt-get", "exit 0")
    write_program(bare / "bin" / "sudo", "echo no rights >&2; exit 1")
    done = install(bare)
    assert done.returncode == 1
    assert "As root run: apt-get install python3-venv" in done.stderr


def test_an_old_python_is_named(bare: Path) -> None:
    write_program(bare / "bin" / "python3", 'if [ "$1" = -c ]; then exit 1; fi; echo Python 3.9.2')
    done = install(bare)
    assert done.returncode == 1
    assert "gomatch needs Python 3.11 or newer; python3 is Python 3.9.2" in done.stderr


def test_a_missing_broker_is_announced_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(_: Path) -> RabbitInstallation:
        assert "RabbitMQ is missing: getting" in capsys.readouterr().out
        return RabbitInstallation(scripts=Path("/there"), epmd=Path("/there/epmd"))

    monkeypatch.setattr(servers, "find", lambda _: None)
    monkeypatch.setattr(servers, "find_or_install", fetch)
    assert servers.main() == 0
    assert capsys.readouterr().out == "RabbitMQ is in /there\n"


def test_a_broker_that_cannot_be_fetched_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> RabbitInstallation:
        raise ServerError("install rabbitmq-server yourself")

    monkeypatch.setattr(servers, "find", lambda _: None)
    monkeypatch.setattr(servers, "find_or_install", fail)
    assert servers.main() == 1
    assert capsys.readouterr().err == "error: install rabbitmq-server yourself\n"


def test_a_broker_that_is_there_is_not_spoken_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = RabbitInstallation(scripts=Path("/there"), epmd=Path("/there/epmd"))
    monkeypatch.setattr(servers, "find", lambda _: there)
    assert servers.main() == 0
    assert capsys.readouterr().out == ""

"""Finds Debian's RabbitMQ, or gets it: installed when root, else unpacked in a folder of ours."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gomatch.cli.servers.process import ServerError, run_program

_POLICY = Path("/usr/sbin/policy-rc.d")
_SYSTEM_SCRIPTS = Path("/usr/lib/rabbitmq/bin")


@dataclass(frozen=True)
class RabbitInstallation:
    """``scripts`` holds rabbitmq-server and rabbitmqctl; ``path`` goes before $PATH."""

    scripts: Path
    epmd: Path
    path: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def find(tools: Path) -> RabbitInstallation | None:
    """The system's RabbitMQ, else the one below ``tools``, else None."""
    return _of_system() or _unpacked(tools / "rabbitmq")


def find_or_install(tools: Path) -> RabbitInstallation:
    """As `find`, else a new one. Raises ServerError that says what to do when that fails."""
    found = find(tools)
    if found is not None:
        return found
    if shutil.which("apt-get") is None:
        raise ServerError(
            "RabbitMQ is not installed, and this is no Debian that could install it: install "
            "rabbitmq-server 3.10 or newer, or give GOMATCH_AMQP_URL"
        )
    if os.geteuid() == 0:
        _install()
        found = _of_system()
    else:
        _unpack(tools / "rabbitmq")
        found = _unpacked(tools / "rabbitmq")
    if found is None:
        raise ServerError("rabbitmq-server was installed but its programs are not where expected")
    return found


def _of_system() -> RabbitInstallation | None:
    epmd = shutil.which("epmd")
    if epmd is None or not (_SYSTEM_SCRIPTS / "rabbitmq-server").exists():
        return None
    return RabbitInstallation(scripts=_SYSTEM_SCRIPTS, epmd=Path(epmd))


def _install() -> None:
    """As root. The packages would start their service, which a policy forbids meanwhile."""
    forbid = not _POLICY.exists()
    if forbid:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "rabbitmq-server"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            _run(install, environment=environment)
        except ServerError:  # the package lists are missing or too old
            _run(["apt-get", "update", "-qq"], environment=environment)
            _run(install, environment=environment)
    finally:
        if forbid:
            _POLICY.unlink(missing_ok=True)


def _unpack(target: Path) -> None:
    """Without root: download rabbitmq-server and what it needs, and unpack it in ``target``."""
    packages = target / "packages"
    lists = target / "lists"
    for folder in (packages, lists / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={target}/cache"]
    (target / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    _run(["apt-get", *options, "update", "-qq"])
    plan = _run(
        ["apt-get", *options, "install", "-s", "--no-install-recommends", "rabbitmq-server"]
    )
    names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    if "rabbitmq-server" not in names:
        raise ServerError(f"apt-get does not know how to get rabbitmq-server: {plan}")
    _run(["apt-get", *options, "download", "-qq", *names], folder=packages)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(target / "root")])
    shutil.rmtree(lists)
    shutil.rmtree(packages)
    shutil.rmtree(target / "cache")
    (target / "complete").touch()


def _unpacked(target: Path) -> RabbitInstallation | None:
    """Erlang's start script names /usr/lib/erlang; the unpacked one is told where it lies."""
    root = target / "root"
    if not (target / "complete").exists():
        return None
    erlang = root / "usr/lib/erlang"
    start = erlang / "bin" / "erl"
    text = start.read_text()
    if "ROOTDIR=/usr/lib/erlang" in text:
        start.write_text(text.replace("ROOTDIR=/usr/lib/erlang", f'ROOTDIR="{erlang}"'))
    libraries = [
        str(folder) for folder in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"))
    ]
    return RabbitInstallation(
        scripts=root / "usr/lib/rabbitmq/bin",
        epmd=next(iter(sorted(erlang.glob("erts-*/bin/epmd"))), root / "usr/bin/epmd"),
        path=(erlang / "bin", root / "usr/bin"),
        environment={"LD_LIBRARY_PATH": ":".join(libraries)},
    )


def _run(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    try:
        return run_program(command, environment=environment, folder=folder, timeout=600)
    except ServerError as error:
        raise ServerError(
            f"{error}; install rabbitmq-server yourself, or give GOMATCH_AMQP_URL"
        ) from error

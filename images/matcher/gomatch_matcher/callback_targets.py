"""Finding the API replicas: every address behind the configured names is one replica."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gomatch.errors import ConfigurationError
from gomatch.observability import logs

_log = logs.get(__name__)

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> the IP addresses behind it now. Raises OSError when that cannot be told."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int

    def address(self, ip: str) -> str:
        """``ip:port`` as gRPC wants it."""
        return f"[{ip}]:{self.port}" if ":" in ip else f"{ip}:{self.port}"


def parse_targets(text: str) -> list[Target]:
    """Read ``host:port, [v6]:port, …``. Raises ConfigurationError."""
    targets: list[Target] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = part.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdecimal():
            raise ConfigurationError(f"callback target {part!r} is not host:port")
        if not 0 < int(port) < 65536:
            raise ConfigurationError(f"callback target {part!r} has an impossible port")
        target = Target(host.removeprefix("[").removesuffix("]"), int(port))
        if target not in targets:
            targets.append(target)
    return targets


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


class TargetResolver:
    """Knows the addresses of each target; a name that cannot be resolved now keeps those that
    it had, so that a DNS outage cuts nobody off."""

    def __init__(self, targets: list[Target], *, resolve: Resolver, timeout: float) -> None:
        self._targets = targets
        self._resolve = resolve
        self._timeout = timeout
        self._known: dict[Target, list[str]] = {}
        self._failing: set[Target] = set()
        """Names that could not be resolved the last time, so that each outage is told once."""

    async def addresses(self) -> list[str]:
        """All addresses now, without duplicates, in the order of the targets."""
        answers = await asyncio.gather(*(self._lookup(target) for target in self._targets))
        return list(dict.fromkeys(address for answer in answers for address in answer))

    async def _lookup(self, target: Target) -> list[str]:
        try:
            ipaddress.ip_address(target.host)
        except ValueError:
            pass
        else:
            return [target.address(target.host)]
        try:
            async with asyncio.timeout(self._timeout):
                ips = await self._resolve(target.host, target.port)
        except (OSError, TimeoutError, UnicodeError) as error:
            if target not in self._failing:
                self._failing.add(target)
                _log.warning("callback_target_not_resolved", host=target.host, why=repr(error))
        else:
            self._failing.discard(target)
            self._known[target] = [target.address(ip) for ip in ips]
        return self._known.get(target, [])

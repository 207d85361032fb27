"""Servers that are away: known once for the whole operator, so that a thousand Markets neither ask
one by one nor complain one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ServerName = Literal["PostgreSQL", "RabbitMQ", "Redis"]
_SETTLE_SECONDS = 30.0


class Fault(tuple[str, str]):
    """A reason of conditions.REASONS and a message for people."""

    __slots__ = ()

    def __new__(cls, reason: str, message: str) -> Fault:
        return super().__new__(cls, (reason, message))

    @property
    def reason(self) -> str:
        return self[0]

    @property
    def message(self) -> str:
        return self[1]


@dataclass(slots=True)
class _Server:
    since: float | None = None
    fault: Fault | None = None
    declared: bool = False
    begun: int = 0
    """Outages that were declared so far."""


class Outages:
    """``limit`` in seconds: a server must be away for so long before conditions say it."""

    def __init__(self, *, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._servers: dict[ServerName, _Server] = {}
        self._ended = float("-inf")

    def failed(self, server: ServerName, fault: Fault) -> bool:
        """A call failed. True once, when that makes it an outage."""
        state = self._servers.setdefault(server, _Server())
        now = self._clock()
        if state.since is None:
            state.since = now
        state.fault = fault
        if state.declared or now - state.since < self._limit:
            return False
        state.declared = True
        state.begun += 1
        return True

    def worked(self, server: ServerName) -> bool:
        """A call was answered. True once, when that ends an outage."""
        state = self._servers.get(server)
        if state is None or state.since is None:
            return False
        declared = state.declared
        self._servers[server] = _Server(begun=state.begun)
        if declared:
            self._ended = self._clock()
        return declared

    @property
    def settling(self) -> bool:
        """An outage is under way, or so lately over that leases have to be taken anew: what now
        turns in each Market is told by the Events on the operator."""
        declared = any(state.declared for state in self._servers.values())
        return declared or self._clock() - self._ended < _SETTLE_SECONDS

    def outage(self, server: ServerName) -> Fault | None:
        """What conditions say of a declared outage."""
        state = self._servers.get(server)
        return state.fault if state is not None and state.declared else None

    def begun(self, server: ServerName) -> int:
        """How many outages were declared so far: one may be over before anybody looks."""
        state = self._servers.get(server)
        return 0 if state is None else state.begun

    def suspected(self, server: ServerName) -> bool:
        """The last call failed, whether or not it has been an outage yet."""
        state = self._servers.get(server)
        return state is not None and state.since is not None

"""What all local servers have in common."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerError, ServerProcess

__all__ = ["LocalServer", "ServerError"]


class LocalServer(ABC):
    """A server as a child process, with its data in a folder of its own.

    The ``*_now`` methods block and are bound to no event loop; the others run them in a thread.
    The port stays the same over restarts, so a client's URL stays valid.
    """

    name: str
    start_timeout: float = 60.0
    stop_timeout: float = 30.0

    def __init__(self, data: Path, *, besides: Collection[int] = ()) -> None:
        """``besides`` are ports on which something else will listen."""
        self.data = data.absolute()
        self.port = free_port(besides)
        self._process: ServerProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to; valid once started."""

    @property
    def pid(self) -> int:
        """Raises ServerError when it does not run."""
        return self._require().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    async def start(self) -> None:
        """Returns when it answers. Raises ServerError with the end of its log when it does not."""
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        """Orderly, then by force after ``stop_timeout``."""
        await asyncio.to_thread(self.stop_now)

    async def kill(self) -> None:
        """SIGKILL to all its processes at once."""
        await asyncio.to_thread(self.kill_now)

    async def restart(self) -> None:
        await asyncio.to_thread(self.restart_now)

    async def pause(self) -> None:
        """Freeze all its processes (SIGSTOP): connections stay open and nothing answers."""
        await asyncio.to_thread(self.pause_now)

    async def resume(self) -> None:
        await asyncio.to_thread(self.resume_now)

    def start_now(self) -> None:
        if self.running:
            return
        self.data.mkdir(parents=True, exist_ok=True)
        self._prepare()
        process = self._process = self._spawn()
        deadline = time.monotonic() + self.start_timeout
        while not self._ready():
            if not process.running or time.monotonic() > deadline:
                reason = "took too long to start" if process.running else "ended while starting"
                process.kill()
                self._process = None
                raise ServerError(
                    f"{self.name} {reason}; the end of {process.log}:\n{process.log_tail()}"
                )
            time.sleep(0.02)
        self._started()

    def stop_now(self) -> None:
        if self._process is not None:
            self._process.stop(self.stop_timeout)
            self._process = None
        self._cleanup()

    def kill_now(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart_now(self) -> None:
        self.stop_now()
        self.start_now()

    def pause_now(self) -> None:
        self._require().pause()

    def resume_now(self) -> None:
        self._require().resume()

    def _require(self) -> ServerProcess:
        if self._process is None:
            raise ServerError(f"{self.name} does not run")
        return self._process

    @abstractmethod
    def _spawn(self) -> ServerProcess: ...

    @abstractmethod
    def _ready(self) -> bool: ...

    # Not abstract: only some servers have something to do there.

    def _prepare(self) -> None:  # noqa: B027
        """Before each start."""

    def _started(self) -> None:  # noqa: B027
        """After each start, once it answers."""

    def _cleanup(self) -> None:  # noqa: B027
        """After an orderly stop."""

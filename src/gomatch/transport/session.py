"""A connection with one channel to RabbitMQ that comes back by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError
from yarl import URL

from gomatch.errors import TransportError
from gomatch.observability import logs
from gomatch.transport.interfaces import TransportCounters

_log = logs.get(__name__)

BROKER_ERRORS = (AMQPError, OSError, TimeoutError, RuntimeError)
"""What aio-pika and aiormq raise when the broker is away, slow, or has closed the channel."""

_CONNECT_TIMEOUT = 5.0
_HEARTBEAT = 2
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0


class Session:
    """``run`` is its one task: it connects, opens a channel, calls ``on_open`` with it, and
    starts again with jittered backoff when anything of that ends. ``channel`` is the open one."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        counters: TransportCounters,
        on_open: Callable[[AbstractChannel], Awaitable[None]],
    ) -> None:
        self._url = URL(url).update_query(heartbeat=str(_HEARTBEAT))
        self._name = name
        self._counters = counters
        self._on_open = on_open
        self.channel: AbstractChannel | None = None
        self._opened = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def opened(self, timeout: float) -> AbstractChannel:
        """The open channel, waited for at most ``timeout`` seconds. Raises TransportError."""
        try:
            async with asyncio.timeout(timeout):
                while self.channel is None:
                    await self._opened.wait()
                return self.channel
        except TimeoutError as error:
            raise TransportError("RabbitMQ cannot be reached") from error

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        failures = 0
        while True:
            connection: AbstractConnection | None = None
            try:
                connection = await aio_pika.connect(
                    self._url,
                    timeout=_CONNECT_TIMEOUT,
                    client_properties={"connection_name": self._name},
                )
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                await self._on_open(channel)
                failures = 0
                self.channel = channel
                self._opened.set()
                await _first_of(connection.closed(), channel.closed())
                _log.warning("broker_lost", session=self._name)
            except BROKER_ERRORS as error:
                failures += 1
                _log.warning("broker_away", session=self._name, why=str(error) or repr(error))
            finally:
                self.channel = None
                self._opened.clear()
                if connection is not None:
                    await _close(connection)
            self._counters.reconnects += 1
            ceiling = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(failures, 10))
            await asyncio.sleep(ceiling * (1.0 - random.random()))


async def _first_of(*waits: Awaitable[object]) -> None:
    futures = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except BROKER_ERRORS as error:
        _log.debug("close_failed", why=str(error))

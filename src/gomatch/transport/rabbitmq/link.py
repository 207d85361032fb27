"""One connection and one channel to the broker, made again for as long as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    ProbableAuthenticationError,
)

from gomatch.cancellation import cancel_and_wait
from gomatch.credentials import Endpoint
from gomatch.errors import GomatchError
from gomatch.observability import logs
from gomatch.transport.hooks import TransportHooks

BROKER_ERRORS = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""What aio-pika raises when the broker, the connection or the channel fails."""

Setup = Callable[[AbstractConnection, AbstractChannel], Awaitable[None]]

_CONNECT_TIMEOUT = 5.0
_SETUP_TIMEOUT = 20.0
_CLOSE_TIMEOUT = 2.0
_FIRST_DELAY, _LAST_DELAY = 0.05, 2.0
_HEARTBEAT = 2

_log = logs.get(__name__)


@contextmanager
def driver_waits() -> Iterator[None]:
    """aio-pika cancels its own waits when a connection goes, or ends them with a bare Exception.
    Both become a ConnectionError, and only a cancellation from outside stays one."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("the connection to the broker was lost") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise ConnectionError("the connection to the broker was lost") from error


class BrokerLink:
    """``setup`` prepares each new channel; when it fails, the connection is tried again.

    aio-pika's own robust connection is not used: it restores what it remembers at a fixed pace,
    while here a queue that somebody deleted must come back, and delays must grow and differ.
    """

    def __init__(
        self, endpoint: Endpoint, *, name: str, setup: Setup, hooks: TransportHooks
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._setup = setup
        self._hooks = hooks
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._closed = False
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._task = asyncio.create_task(self._run(), name=f"{name} broker link")

    @property
    def channel(self) -> AbstractChannel | None:
        """None while there is no connection."""
        return self._channel if self._ready.is_set() else None

    @property
    def connection(self) -> AbstractConnection | None:
        return self._connection if self._ready.is_set() else None

    async def wait_ready(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    def give_up_connection(self) -> None:
        """Make a new one: this one does not serve any more."""
        self._ready.clear()
        self._broken.set()

    async def close(self) -> None:
        self._closed = True
        await cancel_and_wait([self._task])

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        connected_before = False
        while True:
            try:
                with driver_waits():
                    await self._connect()
                if connected_before:
                    self._hooks.reconnected()
                connected_before = True
                if self._closed:
                    # A cancellation that came while the driver connected may have got lost there.
                    return
                delay = _FIRST_DELAY
                await self._broken.wait()
                _log.warning("broker_connection_lost", link=self._name)
            except (*BROKER_ERRORS, GomatchError) as error:
                self._hooks.connect_failed()
                _log.warning("broker_unavailable", link=self._name, why=_describe(error))
            finally:
                self._ready.clear()
                await self._disconnect()
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, _LAST_DELAY)

    async def _connect(self) -> None:
        self._broken.clear()
        connection = self._connection = await aio_pika.connect(
            self._endpoint.current_url(),
            timeout=_CONNECT_TIMEOUT,
            heartbeat=_HEARTBEAT,
            client_properties={"connection_name": self._name},
        )
        connection.close_callbacks.add(self._on_closed)
        async with asyncio.timeout(_SETUP_TIMEOUT):
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
            channel.close_callbacks.add(self._on_closed)
            await self._setup(connection, channel)
        self._channel = channel
        if not self._broken.is_set():
            self._ready.set()

    async def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                with driver_waits():
                    await connection.close()
        except BROKER_ERRORS as error:
            _log.info("broker_close_failed", link=self._name, why=_describe(error))

    def _on_closed(self, *_: object) -> None:
        self._ready.clear()
        self._broken.set()


def _describe(error: BaseException) -> str:
    if isinstance(error, (AuthenticationError, ProbableAuthenticationError)):
        return f"credentials refused by RabbitMQ: {error}"
    return f"{type(error).__name__}: {error}"

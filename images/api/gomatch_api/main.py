"""The API as a program, ended by SIGTERM or SIGINT in order."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from contextlib import AsyncExitStack, suppress

import uvloop

from gomatch.errors import SchemaMismatch, StoreUnavailable
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch_api.server import ApiServer
from gomatch_api.services import Services, open_services
from gomatch_api.waiting import WaitingServer

_log = logs.get(__name__)
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 10.0


def run(settings: Settings) -> None:
    """Serve until a signal comes. Raises ConfigurationError and OSError; and StoreUnavailable and
    SchemaMismatch at the start, except in a pod: there it waits, not ready, and tries again."""
    settings.check_files()
    tracing = Tracing.configure(settings, "gomatch-api")
    logs.configure(level=settings.log_level, style=settings.log_format, tracing=tracing)
    tune_collector()
    try:
        uvloop.run(_serve(settings, tracing))
    finally:
        tracing.close()


def tune_collector() -> None:
    """Requests are freed by reference count; frequent collections of cycles only cost time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _serve(settings: Settings, tracing: Tracing) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        services = await _open(settings, tracing, stack, stop)
        if services is None:
            return
        server = ApiServer(services, host=settings.api_host, port=settings.api_port)
        await server.start()
        _log.info("serving", port=server.port, callback_port=services.callback_port)
        await stop.wait()
        _log.info("stopping")
        await server.stop(delay=settings.shutdown_delay)


async def _open(
    settings: Settings, tracing: Tracing, stack: AsyncExitStack, stop: asyncio.Event
) -> Services | None:
    """None when ``stop`` came first."""
    waiting = WaitingServer(host=settings.api_host, port=settings.api_port)
    pause = _FIRST_PAUSE
    try:
        while not stop.is_set():
            try:
                return await stack.enter_async_context(open_services(settings, tracing=tracing))
            except (StoreUnavailable, SchemaMismatch) as error:
                if not settings.pod_name:
                    raise
                if waiting.failed(error):
                    _log.error(error.code, why=str(error))
                await waiting.start()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                    await stop.wait()
            pause = min(pause * 2, _LAST_PAUSE)
    finally:
        await waiting.stop()
    return None

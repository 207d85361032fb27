"""The API as a program, ended by SIGTERM or SIGINT in order."""

from __future__ import annotations

import asyncio
import gc
import signal

import uvloop

from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch_api.server import ApiServer
from gomatch_api.services import open_services

_log = logs.get(__name__)


def run(settings: Settings) -> None:
    """Serve until a signal comes. Raises ConfigurationError, SchemaMismatch, StoreUnavailable,
    OSError."""
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
    async with open_services(settings, tracing=tracing) as services:
        server = ApiServer(services, host=settings.api_host, port=settings.api_port)
        await server.start()
        _log.info("serving", port=server.port, callback_port=services.callback_port)
        await stop.wait()
        _log.info("stopping")
        await server.stop()

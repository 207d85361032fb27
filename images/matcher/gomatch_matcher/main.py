"""The matcher as a program: one market to a process, ended by SIGTERM or SIGINT in order."""

from __future__ import annotations

import asyncio
import gc
import signal

import uvloop
from prometheus_client import CollectorRegistry

from gomatch.concurrency import run_together
from gomatch.errors import ConfigurationError
from gomatch.hosted_server import HostedServer
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.transport import RabbitMQTransport, prometheus_hooks
from gomatch_matcher.fault_points import Checkpoint, no_checkpoint
from gomatch_matcher.http import health_application, health_server
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService


def run(settings: Settings, *, checkpoint: Checkpoint = no_checkpoint) -> None:
    """Serve ``settings.market`` until a signal comes. Raises ConfigurationError."""
    if not settings.market:
        raise ConfigurationError("GOMATCH_MARKET is not set: name the market to serve")
    if settings.transport != "rabbitmq":
        raise ConfigurationError(
            "a matcher of its own needs GOMATCH_TRANSPORT=rabbitmq; the in-process transport "
            "works only under `gomatch up`"
        )
    settings.check_files()
    tracing = Tracing.configure(settings, f"gomatch-matcher {settings.market}")
    logs.configure(level=settings.log_level, style=settings.log_format, tracing=tracing)
    # A book is many small linked objects that are freed by reference count; the cycle collector
    # only costs time here. It still runs, rarely.
    gc.set_threshold(100_000, 50, 1_000)
    try:
        uvloop.run(_serve(settings, tracing, checkpoint))
    finally:
        tracing.close()


async def _serve(settings: Settings, tracing: Tracing, checkpoint: Checkpoint) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    registry = CollectorRegistry()
    transport = RabbitMQTransport(
        settings.amqp,
        queue_length=settings.queue_length,
        hooks=prometheus_hooks(registry),
    )
    try:
        service = MatcherService(
            settings,
            market=settings.market,
            transport=transport,
            metrics=MatcherMetrics(registry, settings.market),
            tracing=tracing,
            checkpoint=checkpoint,
        )
        server = health_server(
            health_application(service, registry),
            host=settings.matcher_host,
            port=settings.matcher_port,
        )
        await run_together(_serve_market(service, server, stop), server.serve())
    finally:
        await transport.close()


async def _serve_market(service: MatcherService, server: HostedServer, stop: asyncio.Event) -> None:
    """Health is answered for as long as the market is served, and no longer."""
    try:
        await service.run(stop)
    finally:
        server.should_exit = True

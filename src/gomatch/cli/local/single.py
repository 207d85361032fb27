"""API and all matchers in this process, over the in-process transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from gomatch.cli.local.markets import MarketWatch
from gomatch.errors import GomatchError
from gomatch.observability import logs
from gomatch.settings import Settings
from gomatch.transport import InProcessTransport
from gomatch_api.main import tune_collector
from gomatch_api.server import ApiServer
from gomatch_api.services import open_services
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService

_RESTART_SECONDS = 1.0

_log = logs.get(__name__)


async def serve(settings: Settings, *, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Until ``stop``; then first the API ends, then the matchers. ``ready`` is called with the
    API's port. Raises StoreUnavailable, OSError (a port is taken)."""
    tune_collector()
    transport = InProcessTransport()
    stop_matchers = asyncio.Event()
    async with open_services(settings, transport=transport) as services:
        targets = f"127.0.0.1:{services.callback_port}"
        for_matchers = settings.model_copy(update={"callback_targets": targets})

        async def lead(symbol: str) -> None:
            await _lead(for_matchers, symbol, transport, stop_matchers)

        server = ApiServer(services, host=settings.api_host, port=settings.api_port)
        watch = MarketWatch(services.pool, start=lead, stop=stop_matchers)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            try:
                await server.start()
                ready(server.port)
                await stop.wait()
            finally:
                await server.stop()
                stop_matchers.set()
    await transport.close()


async def _lead(
    settings: Settings, symbol: str, transport: InProcessTransport, stop: asyncio.Event
) -> None:
    """One market's matcher until ``stop``; what ends it by an error is logged and tried again."""
    while not stop.is_set():
        service = MatcherService(
            settings,
            market=symbol,
            transport=transport,
            metrics=MatcherMetrics(CollectorRegistry(), symbol),
        )
        try:
            await service.run(stop)
        except GomatchError:
            _log.exception("matcher_ended", market=symbol)
            await asyncio.sleep(_RESTART_SECONDS)

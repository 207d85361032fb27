"""API and all matchers in this process, over the in-process transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from gomatch.cli.local.markets import MarketWatch
from gomatch.errors import GomatchError
from gomatch.observability import logs
from gomatch.observability.families import Families
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import Markets
from gomatch.transport import InProcessTransport, prometheus_hooks
from gomatch_api.main import tune_collector
from gomatch_api.server import ApiServer
from gomatch_api.services import open_services
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService

_RESTART_SECONDS = 1.0

_log = logs.get(__name__)


async def serve(settings: Settings, *, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Until ``stop``; then first the API ends, then the matchers. ``ready`` is called with the
    API's port once all markets that exist are served. The API's /metrics shows everything.
    Raises ConfigurationError (tracing), StoreUnavailable, OSError (a port is taken)."""
    tune_collector()
    tracing = Tracing.configure(settings, "gomatch")
    try:
        await _serve(settings, tracing, stop=stop, ready=ready)
    finally:
        tracing.close()


async def _serve(
    settings: Settings, tracing: Tracing, *, stop: asyncio.Event, ready: Callable[[int], None]
) -> None:
    registry = CollectorRegistry()
    transport = InProcessTransport(hooks=prometheus_hooks(registry))
    stop_matchers = asyncio.Event()
    async with open_services(
        settings, transport=transport, tracing=tracing, registry=registry
    ) as services:
        targets = f"{settings.callback_host}:{services.callback_port}"
        matchers = _Matchers(
            settings.model_copy(update={"callback_targets": targets}),
            transport,
            stop_matchers,
            families=Families(registry),
            tracing=tracing,
        )
        watch = MarketWatch(services.pool, start=matchers.run, stop=stop_matchers)
        server = ApiServer(services, host=settings.api_host, port=settings.api_port)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            try:
                await server.start()
                for market in await Markets(services.pool).list():
                    await matchers.wait_leading(market.symbol, stop)
                if not stop.is_set():
                    ready(server.port)
                await stop.wait()
            finally:
                await server.stop()
                stop_matchers.set()
    await transport.close()


class _Matchers:
    def __init__(
        self,
        settings: Settings,
        transport: InProcessTransport,
        stop: asyncio.Event,
        *,
        families: Families,
        tracing: Tracing,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._stop = stop
        self._families = families
        self._tracing = tracing
        self._services: dict[str, MatcherService] = {}

    async def run(self, symbol: str) -> None:
        """Serve one market until told to stop; one that fails is started again."""
        while not self._stop.is_set():
            service = self._services[symbol] = MatcherService(
                self._settings,
                market=symbol,
                transport=self._transport,
                metrics=MatcherMetrics(self._families, symbol),
                tracing=self._tracing,
            )
            try:
                await service.run(self._stop)
            except GomatchError as error:
                _log.error("matcher_failed", market=symbol, why=str(error))
                await asyncio.sleep(_RESTART_SECONDS)

    async def wait_leading(self, symbol: str, stop: asyncio.Event) -> None:
        """Returns when the market is served, or when all is to stop."""
        while not stop.is_set():
            service = self._services.get(symbol)
            if service is not None and service.status.leading:
                return
            await asyncio.sleep(0.02)

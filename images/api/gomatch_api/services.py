"""Everything that one API replica is made of, built and taken down in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from prometheus_client import CollectorRegistry

from gomatch.errors import ConfigurationError
from gomatch.messages.credentials import parse_server_key
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import (
    ApiKeys,
    Disconnects,
    Intake,
    Journal,
    Markets,
    Orders,
    Probe,
    Trades,
    check_schema,
    close_pool,
    connect_pool,
    durability_warnings,
)
from gomatch.transport import RabbitMQTransport, Transport, prometheus_hooks
from gomatch_api.auth import KeyRing
from gomatch_api.callback_server import CallbackServer, CallbackServerHooks
from gomatch_api.client_ids import ClientOrderIds
from gomatch_api.database import DatabaseHealth
from gomatch_api.drain import Drain
from gomatch_api.feeds import Feeds
from gomatch_api.intake import IntakeService
from gomatch_api.markets import MarketRegistry
from gomatch_api.metrics import ApiMetrics
from gomatch_api.order_queries import OrderQueries
from gomatch_api.order_results import CommandResults
from gomatch_api.order_service import OrderService
from gomatch_api.publishing import BackgroundPublisher
from gomatch_api.rendering import order_of
from gomatch_api.stream import StreamHub
from gomatch_api.stream.disconnects import DisconnectGuard, lifetime_for
from gomatch_api.stream.limits import StreamLimits
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_api.stream.orders import ReplayTools
from gomatch_api.stream.session import SessionTools

_log = logs.get(__name__)

WATCH_CONNECTIONS = 2
"""For what must not wait behind reads or accepts: revocations, renewals, probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One replica. ``callback`` tells its port when port 0 was asked for; ``pool`` is for
    reading."""

    settings: Settings
    pool: asyncpg.Pool
    health: DatabaseHealth
    markets: MarketRegistry
    keys: KeyRing
    intake: IntakeService
    orders: OrderService
    queries: OrderQueries
    trades: Trades
    feeds: Feeds
    stream: StreamHub
    callback: CallbackServer
    metrics: ApiMetrics
    tracing: Tracing
    drain: Drain

    @property
    def callback_port(self) -> int:
        return self.callback.port

    def missing(self) -> list[str]:
        """What this replica lacks to serve everything; empty when it is ready."""
        parts = {
            "database": self.health.available,
            "markets": self.markets.loaded,
            "keys": self.keys.loaded,
            "callback": self.callback.port > 0,
            "serving": not self.drain.begun,
        }
        return [name for name, there in parts.items() if not there]


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    transport: Transport | None = None,
    tracing: Tracing | None = None,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[Services]:
    """Build a replica and run its background tasks. At the end it takes nothing more, finishes
    what was accepted, flushes what is being published and closes what it opened; a ``transport``
    that was passed in stays open. Metrics go to ``registry``, or to one of their own.

    Raises ConfigurationError, SchemaMismatch, StoreUnavailable, OSError (callback port taken).
    """
    async with AsyncExitStack() as stack:
        services = await _build(
            settings, transport, tracing or Tracing.off(), ApiMetrics(registry), stack
        )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(run)
                for run in (
                    services.health.run(),
                    services.markets.run(),
                    services.keys.run(),
                    services.stream.run(),
                )
            ]
            try:
                yield services
            finally:
                await services.stream.close()
                await services.intake.close()
                await services.callback.stop()
                for task in tasks:
                    task.cancel()


async def _build(
    settings: Settings,
    transport: Transport | None,
    tracing: Tracing,
    metrics: ApiMetrics,
    stack: AsyncExitStack,
) -> Services:
    server_key = parse_server_key(settings.server_key_text())
    if transport is None:
        transport = _own_transport(settings, metrics)
        stack.push_async_callback(transport.close)
    timeout = settings.database_timeout
    pool = await _open_pool(settings, stack, size=settings.database_pool)
    accept_pool = await _open_pool(settings, stack, size=settings.accept_pool)
    watch_pool = await _open_pool(settings, stack, size=WATCH_CONNECTIONS)
    await check_schema(pool)
    for warning in await durability_warnings(pool):
        _log.warning("durability", warning=warning)

    markets_store = Markets(pool, timeout=timeout)
    health = DatabaseHealth(Probe(watch_pool, timeout=timeout).check)
    markets = MarketRegistry(markets_store, health)
    keys = KeyRing(
        ApiKeys(watch_pool, timeout=timeout),
        health,
        server_key=server_key,
        rate_limit=settings.rate_limit,
        rate_burst=settings.rate_burst,
        refresh_seconds=settings.key_refresh,
    )
    await markets.refresh()
    await keys.refresh()

    publisher = await transport.publisher()
    stack.push_async_callback(publisher.close)
    intake_store = Intake(accept_pool, timeout=timeout)
    intake = IntakeService(
        intake_store,
        BackgroundPublisher(publisher, metrics, tracing=tracing),
        health,
        metrics,
        accept_batch=settings.accept_batch,
        accept_interval=settings.accept_interval,
        intake_limit=settings.intake_limit,
        backlog_limit=settings.backlog_limit,
        tracing=tracing,
    )
    metrics.waiting.set_function(lambda: intake.waiting)
    metrics.database_available.set_function(lambda: health.available)
    journal = Journal(pool, timeout=timeout)
    orders_store = Orders(pool, timeout=timeout)
    feeds = Feeds(markets.get, journal=journal)
    client_ids = ClientOrderIds(intake_store, health)
    orders = OrderService(
        markets=markets,
        intake=intake,
        client_ids=client_ids,
        results=CommandResults(feeds, orders_store, metrics, timeout=settings.result_timeout),
        metrics=metrics,
        tracing=tracing,
    )
    stream_metrics = StreamMetrics(metrics.registry)
    stream = StreamHub(
        _session_tools(
            settings,
            pool,
            watch_pool,
            stream_metrics,
            tracing,
            feeds=feeds,
            markets=markets,
            keys=keys,
            orders=orders,
            intake=intake,
        )
    )
    callback = CallbackServer(
        feeds,
        host=settings.callback_host,
        port=settings.callback_port,
        tokens=settings.callback_tokens,
        tracing=tracing,
        hooks=CallbackServerHooks(
            received=lambda market, size: stream_metrics.callback_bytes.labels(market).inc(size),
            ended=lambda _, reason: stream_metrics.callback_ended.labels(reason).inc(),
            notified=metrics.step_seconds.labels("notify").observe,
        ),
    )
    if not settings.callback_tokens():
        _log.warning(
            "callback_token_missing",
            why="the callback port takes anybody for a matcher: set GOMATCH_CALLBACK_TOKEN or "
            "GOMATCH_CALLBACK_TOKEN_FILE",
        )
    await callback.start()
    return Services(
        settings=settings,
        pool=pool,
        health=health,
        markets=markets,
        keys=keys,
        intake=intake,
        orders=orders,
        queries=OrderQueries(
            orders=orders_store, journal=journal, markets=markets, client_ids=client_ids
        ),
        trades=Trades(pool, timeout=timeout),
        feeds=feeds,
        stream=stream,
        callback=callback,
        metrics=metrics,
        tracing=tracing,
        drain=Drain(),
    )


def _session_tools(
    settings: Settings,
    pool: asyncpg.Pool,
    watch_pool: asyncpg.Pool,
    metrics: StreamMetrics,
    tracing: Tracing,
    *,
    feeds: Feeds,
    markets: MarketRegistry,
    keys: KeyRing,
    orders: OrderService,
    intake: IntakeService,
) -> SessionTools:
    timeout = settings.database_timeout
    limits = StreamLimits.of(settings)
    return SessionTools(
        feeds=feeds,
        markets=markets,
        keys=keys,
        entry=orders,
        replay=ReplayTools(
            journal=Journal(pool, timeout=timeout),
            open_orders=Orders(pool, timeout=timeout),
            order_view=order_of,
            slots=asyncio.Semaphore(limits.replays),
            horizon=limits.replay_events,
            replayed=metrics.replayed.inc,
            resynced=metrics.resyncs.inc,
        ),
        guard=DisconnectGuard(
            Disconnects(watch_pool, timeout=timeout),
            intake,
            markets,
            lifetime=lifetime_for(timeout),
            swept=metrics.disconnect_cancels.inc,
            failed=metrics.disconnect_failures.inc,
        ),
        limits=limits,
        metrics=metrics,
        tracing=tracing,
    )


def _own_transport(settings: Settings, metrics: ApiMetrics) -> Transport:
    if settings.transport != "rabbitmq":
        raise ConfigurationError(
            "the in-process transport works only where API and matchers share one process, as "
            "under `gomatch up`; set GOMATCH_TRANSPORT=rabbitmq"
        )
    return RabbitMQTransport(
        settings.amqp,
        queue_length=settings.queue_length,
        hooks=prometheus_hooks(metrics.registry),
    )


async def _open_pool(settings: Settings, stack: AsyncExitStack, *, size: int) -> asyncpg.Pool:
    """Raises StoreUnavailable."""
    pool = await connect_pool(
        settings.postgres,
        size=size,
        timeout=settings.database_timeout,
        application="gomatch api",
    )
    stack.push_async_callback(close_pool, pool)
    return pool

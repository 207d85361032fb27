"""A whole venue in this process: PostgreSQL and Valkey, one matcher, two API replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from websockets.asyncio.client import connect

from gomatch.messages.credentials import derive_secret, token
from gomatch.messages.market import MarketDefinition
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import ApiKeys, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_api.server import ApiServer
from gomatch_api.services import Services, open_services
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService

SYMBOL = "BTC-USDT"
SERVER_KEY = "cd" * 32
DEFINITION = MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.001")


@dataclass
class VenueReplica:
    services: Services
    server: ApiServer

    def connect(self, bearer: str = "", **options: Any) -> connect:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return connect(
            f"ws://127.0.0.1:{self.server.port}/v1/stream",
            additional_headers=headers,
            compression=None,
            max_size=None,
            **options,
        )


@dataclass
class Venue:
    settings: Settings
    transport: InProcessTransport
    stack: AsyncExitStack
    replicas: list[VenueReplica]
    tracing: Tracing

    async def key(self, user: str, *scopes: str) -> str:
        """The bearer token of a new key; without scopes it may read and trade."""
        keys = ApiKeys(self.replicas[0].services.pool)
        record = await keys.create(user, scopes or ("read", "trade"))
        return token(record.key_id, derive_secret(bytes.fromhex(SERVER_KEY), record.key_id))

    @asynccontextmanager
    async def matcher(self) -> AsyncIterator[None]:
        """A matcher that leads and delivers to every replica."""
        service = MatcherService(
            self.settings.model_copy(
                update={
                    "callback_targets": ",".join(
                        f"127.0.0.1:{replica.services.callback_port}" for replica in self.replicas
                    )
                }
            ),
            market=SYMBOL,
            transport=self.transport,
            metrics=MatcherMetrics(CollectorRegistry(), SYMBOL),
            tracing=self.tracing,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            async with asyncio.timeout(60):
                while not all(
                    replica.services.feeds.view(SYMBOL).connected
                    and replica.services.feeds.view(SYMBOL).ready
                    for replica in self.replicas
                ):
                    await asyncio.sleep(0.01)
            yield
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await task


@asynccontextmanager
async def open_venue(
    database_url: str,
    redis_url: str,
    *,
    replicas: int = 2,
    tracing: Tracing | None = None,
    **changes: Any,
) -> AsyncIterator[Venue]:
    settings = Settings(
        **{
            "postgres_url": SecretStr(database_url),
            "redis_url": SecretStr(redis_url),
            "server_key": SecretStr(SERVER_KEY),
            "callback_port": 0,
            "database_pool": 4,
            "lease_seconds": 10.0,
            "lease_renew": 0.5,
            "result_timeout": 20.0,
            "key_refresh": 0.2,
            **changes,
        }
    )
    pool = await connect_pool(database_url, size=2, timeout=10, application="tests")
    await Markets(pool).create(DEFINITION)
    await pool.close()
    async with AsyncExitStack() as stack:
        tracing = tracing or Tracing.off()
        venue = Venue(settings, InProcessTransport(), stack, [], tracing)
        for _ in range(replicas):
            services = await stack.enter_async_context(
                open_services(settings, transport=venue.transport, tracing=tracing)
            )
            server = ApiServer(services, host="127.0.0.1", port=0)
            await server.start()
            stack.push_async_callback(server.stop)
            venue.replicas.append(VenueReplica(services, server))
        yield venue

"""One matcher on real PostgreSQL and Redis, its commands accepted as the API would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gomatch.cache import BookMirror
from gomatch.credentials import Endpoint
from gomatch.engine import Command, NewOrder, OrderType, SelfTrade, Side
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import Intake, MarketHead, MarketRecord, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.service import MatcherService
from tests.fixtures.stored import mirrored

SYMBOL = "BTC-USDT"


@dataclass
class Bench:
    settings: Settings
    pool: asyncpg.Pool
    market: MarketRecord
    transport: InProcessTransport
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Of the matcher that was started last."""

    async def accept(
        self, commands: Sequence[Command], *, publish: bool = True, times: int = 1
    ) -> int:
        bodies = pack_commands(commands)
        accepted = await Intake(self.pool).accept(
            self.market.market_id, bodies=bodies, count=len(commands), backlog_limit=10**9
        )
        publisher = await self.transport.publisher()
        for _ in range(times if publish else 0):
            await publisher.publish(
                CommandBatch(
                    market=SYMBOL,
                    first=accepted.first,
                    last=accepted.last,
                    accepted_at=accepted.accepted_at,
                    bodies=bodies,
                ),
                timeout=30,
            )
        return accepted.last

    async def applied(self, number: int, timeout: float = 60) -> MarketHead:
        async with asyncio.timeout(timeout):
            while True:
                head = await Markets(self.pool).head(SYMBOL)
                assert head is not None
                if head.applied >= number:
                    return head
                await asyncio.sleep(0.01)

    async def mirrored(self, head: MarketHead) -> None:
        """Wait until Redis stands there, which a stop does not wait for when a write fails."""
        url = self.settings.redis_url.get_secret_value()
        await mirrored(url, SYMBOL, head.sequence, head.chain)

    @asynccontextmanager
    async def matcher(self, **changes: object) -> AsyncIterator[MatcherService]:
        self.registry = CollectorRegistry()
        service = MatcherService(
            self.settings.model_copy(update=changes),
            market=SYMBOL,
            transport=self.transport,
            metrics=MatcherMetrics(self.registry, SYMBOL),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            async with asyncio.timeout(60):
                await task


@pytest.fixture(autouse=True)
def patient_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that only stands still for some seconds changes nothing."""

    def patient(server: Endpoint, symbol: str, *, timeout: float) -> BookMirror:
        return BookMirror(server, symbol, timeout=max(timeout, 60.0))

    monkeypatch.setattr("gomatch_matcher.service.BookMirror", patient)


@pytest.fixture
async def bench(database_url: str, redis_url: str) -> AsyncIterator[Bench]:
    settings = Settings(
        postgres_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        callback_targets="127.0.0.1:9",
        lease_seconds=1.0,
        lease_renew=0.2,
    )
    pool = await connect_pool(database_url, size=4, timeout=10, application="tests")
    try:
        definition = MarketDefinition(
            base="BTC", quote="USDT", tick_size="0.01", lot_size="0.001", max_quantity="1000"
        )
        market = await Markets(pool).create(definition)
        yield Bench(settings, pool, market, InProcessTransport())
    finally:
        await pool.close()


def order(user: int, side: Side, quantity: int, price: int, **more: object) -> NewOrder:
    return NewOrder(
        user,
        side,
        OrderType.LIMIT,
        quantity,
        price,
        self_trade=SelfTrade.NONE,
        **more,  # type: ignore[arg-type]
    )


async def until_leading(service: MatcherService, timeout: float = 60) -> None:
    async with asyncio.timeout(timeout):
        while not service.status.leading:
            await asyncio.sleep(0.01)

"""One or two API replicas in this process, over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gomatch.messages.credentials import derive_secret, token
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import ApiKeys, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_api.server import ApiServer
from gomatch_api.services import Services, open_services

SERVER_KEY = "ab" * 32
BTC = MarketDefinition(
    base="BTC",
    quote="USDT",
    tick_size="0.01",
    lot_size="0.001",
    min_quantity="0.002",
    max_quantity="1000",
    min_notional="1",
)
ETH = MarketDefinition(base="ETH", quote="USDT", tick_size="0.01", lot_size="0.001")


@dataclass
class Replica:
    """A replica and what is needed to talk to it."""

    services: Services
    url: str

    async def key(
        self, user: str, *, scopes: Sequence[str] = ("read", "trade"), rate: float | None = None
    ) -> str:
        """A bearer token of a new key of ``user``."""
        record = await ApiKeys(self.services.pool).create(user, scopes, rate_limit=rate)
        return token(record.key_id, derive_secret(bytes.fromhex(SERVER_KEY), record.key_id))

    def client(self, bearer: str | None = None, **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, **options)

    async def user(self, name: str, **key: Any) -> httpx.AsyncClient:
        return self.client(await self.key(name, **key))


@dataclass
class Starter:
    """Starts replicas on one database; they end with the test."""

    database_url: str
    stack: AsyncExitStack
    replicas: list[Replica] = field(default_factory=list)

    async def __call__(
        self, *, markets: Sequence[MarketDefinition] = (BTC, ETH), **settings: Any
    ) -> Replica:
        if not self.replicas:
            pool = await connect_pool(self.database_url, size=2, timeout=10, application="tests")
            for definition in markets:
                await Markets(pool).create(definition)
            await pool.close()
        services = await self.stack.enter_async_context(
            open_services(
                Settings(
                    **{
                        "postgres_url": SecretStr(self.database_url),
                        "server_key": SecretStr(SERVER_KEY),
                        "callback_port": 0,
                        "result_timeout": 0.2,
                        "database_pool": 4,
                        **settings,
                    }
                ),
                transport=InProcessTransport(),
            )
        )
        server = ApiServer(services, host="127.0.0.1", port=0)
        await server.start()
        self.stack.push_async_callback(server.stop)
        replica = Replica(services, f"http://127.0.0.1:{server.port}")
        self.replicas.append(replica)
        return replica


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:
        yield Starter(database_url, stack)


@pytest.fixture
def patient_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many wait while one accept is under way: on a busy machine that may take longer than
    they would be let wait."""
    monkeypatch.setattr("gomatch_api.intake.STALL_SECONDS", 60.0)


@pytest.fixture
async def replica(start: Starter) -> Replica:
    return await start()


def order(**changes: Any) -> dict[str, Any]:
    """A valid limit order; a value of None leaves the field out."""
    fields: dict[str, Any] = {
        "market": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": "100.00",
        "quantity": "1.000",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


Post = Callable[..., Awaitable[httpx.Response]]

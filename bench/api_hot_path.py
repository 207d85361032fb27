"""What the API costs in Python, without sockets, database and broker: µs of CPU an order.

    python bench/api_hot_path.py [--orders 100] [--seconds 2]

Prints the whole path of a batch and of a single order, and its steps. The store and the broker
are replaced by answers from memory, so everything measured is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import uvloop
from pydantic import SecretStr

from gomatch.engine import TradingState
from gomatch.messages.codec import GENESIS_CHAIN
from gomatch.messages.credentials import derive_secret
from gomatch.messages.envelope import CommandBatch
from gomatch.messages.market import MarketDefinition
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store.records import (
    Acceptance,
    ApiKeyRecord,
    ClaimedId,
    ClaimKey,
    ClientClaim,
    MarketHead,
    MarketRecord,
)
from gomatch_api.asgi import HotEndpoint
from gomatch_api.auth import KeyRing
from gomatch_api.client_ids import ClientOrderIds
from gomatch_api.database import DatabaseHealth
from gomatch_api.intake import IntakeService
from gomatch_api.main import tune_collector
from gomatch_api.markets import MarketRegistry
from gomatch_api.metrics import ApiMetrics
from gomatch_api.order_batch import OrderBatch
from gomatch_api.order_service import OrderService
from gomatch_api.publishing import BackgroundPublisher
from gomatch_api.requests import parse_batch
from gomatch_api.responses import BatchResults
from gomatch_api.routes.orders_hot import OrderEntry
from gomatch_api.times import now

KEY_ID = "gk_bench"
SERVER_KEY = bytes(32)


class MemoryStore:
    """Answers like PostgreSQL, at once."""

    def __init__(self) -> None:
        self.accepted = 1

    async def accept(
        self,
        market_id: int,
        *,
        bodies: bytes,
        count: int,
        claims: Sequence[ClientClaim] = (),
        backlog_limit: int,
    ) -> Acceptance:
        first = self.accepted + 1
        self.accepted += count
        return Acceptance(first, self.accepted, now())

    async def claims(self, keys: Sequence[ClaimKey]) -> dict[ClaimKey, ClaimedId]:
        return {}

    async def revoked_since(self, time: int) -> list[ApiKeyRecord]:
        return []

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        return None

    async def close(self) -> None:
        return None


class MemoryMarkets:
    async def heads(self) -> list[MarketHead]:
        return [
            MarketHead(
                market_id=1,
                symbol="BTC-USDT",
                accepted=1,
                applied=1,
                sequence=1,
                epoch=1,
                chain=GENESIS_CHAIN,
                state=TradingState.RUNNING,
                last_price=0,
            )
        ]

    async def list(self) -> list[MarketRecord]:
        definition = MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.0001")
        return [
            MarketRecord(
                market_id=1,
                symbol="BTC-USDT",
                definition=definition,
                created_at=0,
                managed_by="bench",
            )
        ]


class MemoryKeys:
    async def revoked_since(self, time: int) -> list[ApiKeyRecord]:
        return []

    async def now(self) -> int:
        return 0

    async def get(self, key_id: str) -> ApiKeyRecord | None:
        return None

    async def active(self, after: str, *, limit: int) -> list[ApiKeyRecord]:
        return [
            ApiKeyRecord(
                key_id=KEY_ID,
                user_id=7,
                user_name="bench",
                scopes=frozenset(("trade",)),
                label="",
                rate_limit=None,
                created_at=0,
                revoked_at=None,
            )
        ]


class Results:
    async def complete(self, *_: Any) -> None:
        raise NotImplementedError


async def build() -> tuple[OrderService, KeyRing, MarketRegistry, ApiMetrics]:
    settings = Settings(server_key=SecretStr("00" * 32))
    metrics = ApiMetrics()
    store = MemoryStore()
    health = DatabaseHealth(MemoryMarkets().heads)
    markets = MarketRegistry(MemoryMarkets(), health)
    await markets.refresh()
    keys = KeyRing(
        MemoryKeys(),
        health,
        server_key=SERVER_KEY,
        rate_limit=0,
        rate_burst=1,
        refresh_seconds=1,
    )
    await keys.refresh()
    intake = IntakeService(
        store,
        BackgroundPublisher(store, metrics),
        health,
        metrics,
        accept_batch=settings.accept_batch,
        accept_interval=0.0,
        intake_limit=settings.intake_limit,
        backlog_limit=settings.backlog_limit,
    )
    orders = OrderService(
        markets=markets,
        intake=intake,
        client_ids=ClientOrderIds(store, health),
        results=Results(),  # type: ignore[arg-type]
        metrics=metrics,
        tracing=Tracing.off(),
    )
    return orders, keys, markets, metrics


def batches(count: int, size: int, *, client_ids: bool) -> list[bytes]:
    """Distinct batches of limit orders around a mid price, some cancels among them."""
    random_source = random.Random(7)
    serial = 0
    made = []
    for _ in range(count):
        items: list[dict[str, Any]] = []
        for _ in range(size):
            serial += 1
            if random_source.random() < 0.15:
                items.append({"action": "cancel", "id": f"BTC-USDT-{serial}"})
                continue
            price = 60_000 + random_source.gauss(0, 20)
            item = {
                "action": "new",
                "market": "BTC-USDT",
                "side": random_source.choice(("buy", "sell")),
                "type": "limit",
                "price": f"{price:.2f}",
                "quantity": f"{random_source.randrange(1, 20_000) / 10_000:.4f}",
            }
            if client_ids:
                item["client_order_id"] = f"c-{serial}"
            items.append(item)
        made.append(msgspec.json.encode({"items": items}))
    return made


class Client:
    """An ASGI client that only hands bytes over."""

    def __init__(self, endpoint: HotEndpoint, path: str, token: str) -> None:
        self._endpoint = endpoint
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-type", b"application/json"),
                (b"authorization", b"Bearer " + token.encode()),
            ],
            "path_params": {},
        }

    async def post(self, body: bytes) -> int:
        status = 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        await self._endpoint(dict(self._scope), receive, send)
        return status


async def timed(name: str, per: int, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    await work()
    rounds = 0
    began = time.process_time()
    while time.process_time() - began < seconds:
        await work()
        rounds += 1
    used = time.process_time() - began
    print(f"{name:<58}{used / rounds / per * 1e6:8.2f} µs an order")


async def main(size: int, seconds: float) -> None:
    tune_collector()
    orders, keys, markets, metrics = await build()
    entry = OrderEntry(orders)
    token = f"{KEY_ID}.{derive_secret(SERVER_KEY, KEY_ID)}"
    options: dict[str, Any] = {"keys": keys, "metrics": metrics, "limit": 1 << 20}
    batch = Client(HotEndpoint(entry.batch, route="b", **options), "/v1/orders/batch", token)
    place = Client(HotEndpoint(entry.place, route="p", **options), "/v1/orders", token)
    for client_ids in (False, True):
        bodies = batches(200, size, client_ids=client_ids)

        async def all_batches(bodies: list[bytes] = bodies) -> None:
            for body in bodies:
                assert await batch.post(body) == 200

        label = "with client_order_id" if client_ids else "without client ids"
        await timed(f"POST /v1/orders/batch of {size}, {label}", 200 * size, seconds, all_batches)

    async def parse() -> None:
        for body in bodies:
            parse_batch(body)

    parsed = [parse_batch(body) for body in bodies]

    async def transform() -> None:
        for items in parsed:
            OrderBatch(7, len(items), markets.get).add(items, {}, now())

    await timed("  of that: JSON to requests", 200 * size, seconds / 2, parse)
    await timed("  of that: requests to commands", 200 * size, seconds / 2, transform)
    principal = keys.authenticate_token(token)
    results = [await orders.submit(principal, items) for items in parsed]

    async def render() -> None:
        for result in results:
            msgspec.json.encode(BatchResults(results=result))

    await timed("  of that: results to JSON", 200 * size, seconds / 2, render)
    single = [msgspec.json.encode(item) for item in msgspec.json.decode(bodies[0])["items"]]
    single = [body.replace(b'"action":"new",', b"") for body in single if b'"new"' in body]

    async def singles() -> None:
        for body in single:
            assert await place.post(body) == 202

    await timed("POST /v1/orders, one after the other", len(single), seconds, singles)

    async def together() -> None:
        await asyncio.gather(*(place.post(body) for body in single[:64]))

    await timed("POST /v1/orders, 64 at once", 64, seconds, together)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.orders, arguments.seconds))

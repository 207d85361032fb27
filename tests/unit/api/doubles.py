"""Stand-ins for PostgreSQL and the broker that keep their promises in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gomatch.engine import Command, Event, TradingState
from gomatch.errors import BacklogFull, DuplicateClientIds, PublishFailed, StoreUnavailable
from gomatch.messages.codec import GENESIS_CHAIN, unpack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.messages.market import MarketDefinition
from gomatch.observability.tracing import Tracing
from gomatch.store.records import (
    Acceptance,
    ApiKeyRecord,
    ClaimedId,
    ClaimKey,
    ClientClaim,
    MarketHead,
    MarketRecord,
    OrderRecord,
)
from gomatch_api.auth import Principal
from gomatch_api.client_ids import ClientOrderIds
from gomatch_api.database import DatabaseHealth
from gomatch_api.intake import IntakeService
from gomatch_api.markets import Market, MarketRegistry
from gomatch_api.metrics import ApiMetrics
from gomatch_api.order_results import CommandResults
from gomatch_api.order_service import OrderService
from gomatch_api.publishing import BackgroundPublisher


def definition(**changes: Any) -> MarketDefinition:
    fields: dict[str, Any] = {
        "base": "BTC",
        "quote": "USDT",
        "tick_size": "0.01",
        "lot_size": "0.001",
        "min_quantity": "0.002",
        "max_quantity": "1000",
        "min_notional": "1",
    }
    return MarketDefinition(**{**fields, **changes})


def market(market_id: int = 1, **changes: Any) -> Market:
    made = definition(**changes)
    return Market(_record(market_id, made), _head(market_id, made.symbol))


def principal(
    user: int = 7, *, scopes: Sequence[str] = ("read", "trade"), rate: float = 0
) -> Principal:
    return Principal(
        key_id=f"gk_{user}",
        user_id=user,
        user_name=f"user{user}",
        scopes=frozenset(scopes),
        secret="secret",
        rate=rate,
        burst_seconds=1,
        clock=lambda: 0.0,
    )


def _record(market_id: int, made: MarketDefinition) -> MarketRecord:
    return MarketRecord(
        market_id=market_id, symbol=made.symbol, definition=made, created_at=1, managed_by="test"
    )


def _head(market_id: int, symbol: str) -> MarketHead:
    return MarketHead(
        market_id=market_id,
        symbol=symbol,
        accepted=1,
        applied=1,
        sequence=1,
        epoch=1,
        chain=GENESIS_CHAIN,
        state=TradingState.RUNNING,
        last_price=0,
    )


class FakeMarkets:
    """gomatch.store.Markets with these definitions."""

    def __init__(self, *definitions: MarketDefinition) -> None:
        self.definitions = list(definitions)
        self.failure: StoreUnavailable | None = None

    async def heads(self) -> list[MarketHead]:
        self._check()
        return [_head(index, made.symbol) for index, made in enumerate(self.definitions, 1)]

    async def list(self) -> list[MarketRecord]:
        self._check()
        return [_record(index, made) for index, made in enumerate(self.definitions, 1)]

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeIntake:
    """gomatch.store.Intake: numbers, client ids, all or nothing. ``gate`` holds accepts back."""

    def __init__(self) -> None:
        self.accepted: dict[int, list[Command]] = {}
        self.batches: list[int] = []
        self.known: dict[ClaimKey, ClaimedId] = {}
        self.failures: list[Exception] = []
        self.claims_failure: StoreUnavailable | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most_running = 0
        self.before_accept: Callable[[], None] = lambda: None
        self.reserve: Callable[[Sequence[Command]], None] = lambda _: None
        self.questions = 0

    async def accept(
        self,
        market_id: int,
        *,
        bodies: bytes,
        count: int,
        claims: Sequence[ClientClaim] = (),
        backlog_limit: int,
    ) -> Acceptance:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        self.before_accept()
        if self.failures:
            raise self.failures.pop(0)
        log = self.accepted.setdefault(market_id, [])
        if len(log) + count > backlog_limit:
            raise BacklogFull("full")
        if any((claim.user, claim.kind, claim.client_id) in self.known for claim in claims):
            raise DuplicateClientIds("duplicates")
        commands = unpack_commands(bodies)
        assert len(commands) == count
        self.reserve(commands)
        first = len(log) + 1
        log += commands
        at = 1_000_000 * (len(self.batches) + 1)
        self.batches.append(count)
        for claim in claims:
            self.claim(claim, market_id, first + claim.offset, at)
        return Acceptance(first, first + count - 1, at)

    def claim(self, claim: ClientClaim, market_id: int, number: int, at: int) -> None:
        symbol = "BTC-USDT" if market_id == 1 else "ETH-USDT"
        key = claim.user, claim.kind, claim.client_id
        self.known[key] = ClaimedId(market_id, symbol, number, claim.digest, at)

    async def claims(self, keys: Sequence[ClaimKey]) -> dict[ClaimKey, ClaimedId]:
        self.questions += 1
        if self.claims_failure is not None:
            raise self.claims_failure
        return {key: self.known[key] for key in keys if key in self.known}


class FakePublisher:
    """A broker that takes everything, or fails."""

    def __init__(self) -> None:
        self.batches: list[CommandBatch] = []
        self.failing = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None:
        await self.gate.wait()
        if self.failing:
            raise PublishFailed("no broker")
        self.batches.append(batch)


class FakeKeys:
    """gomatch.store.ApiKeys. ``between`` is called after what ``active`` answers was read and
    before the answer arrives."""

    def __init__(self, *records: ApiKeyRecord) -> None:
        self.records = list(records)
        self.failure: StoreUnavailable | None = None
        self.questions = 0
        self.largest_answer = 0
        self.between: Callable[[], Awaitable[None]] | None = None

    async def now(self) -> int:
        self._check()
        return 5

    async def revoked_since(self, time: int) -> list[ApiKeyRecord]:
        self._check()
        return [r for r in self.records if r.revoked_at is not None and r.revoked_at >= time]

    async def get(self, key_id: str) -> ApiKeyRecord | None:
        self._check()
        return next((r for r in self.records if r.key_id == key_id), None)

    async def active(self, after: str, *, limit: int) -> list[ApiKeyRecord]:
        self._check()
        active = [r for r in self.records if r.revoked_at is None and r.key_id > after]
        answer = sorted(active, key=lambda record: record.key_id)[:limit]
        self.largest_answer = max(self.largest_answer, len(answer))
        if self.between is not None:
            await self.between()
        return answer

    def _check(self) -> None:
        self.questions += 1
        if self.failure is not None:
            raise self.failure


class FakeFeeds:
    """Results that a test has put there."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, int], list[tuple[int, Event]]] = {}

    async def wait_applied(
        self, symbol: str, numbers: Sequence[int], timeout: float
    ) -> list[list[tuple[int, Event]]]:
        return [self.events.get((symbol, number), []) for number in numbers]


class FakeOrders:
    """The rows that a test has put there."""

    def __init__(self) -> None:
        self.rows: list[OrderRecord] = []

    async def get_many(self, market_id: int, numbers: Sequence[int]) -> list[OrderRecord]:
        return [row for row in self.rows if row.market_id == market_id and row.number in numbers]


class Venue:
    """An OrderService on stand-ins for two markets, BTC-USDT and ETH-USDT."""

    def __init__(self, *, accept_interval: float = 0.0, **limits: int) -> None:
        self.store = FakeIntake()
        self.broker = FakePublisher()
        self.metrics = ApiMetrics()
        self.market_store = FakeMarkets(definition(), definition(base="ETH"))
        self.health = DatabaseHealth(self.market_store.heads)
        self.markets = MarketRegistry(self.market_store, self.health)
        self.feeds = FakeFeeds()
        self.rows = FakeOrders()
        self.intake = IntakeService(
            self.store,
            BackgroundPublisher(self.broker, self.metrics),
            self.health,
            self.metrics,
            accept_batch=limits.get("accept_batch", 500),
            accept_interval=accept_interval,
            intake_limit=limits.get("intake_limit", 20_000),
            backlog_limit=limits.get("backlog_limit", 200_000),
        )
        self.orders = OrderService(
            markets=self.markets,
            intake=self.intake,
            client_ids=ClientOrderIds(self.store, self.health),
            results=CommandResults(self.feeds, self.rows, self.metrics, timeout=0.01),
            metrics=self.metrics,
            tracing=Tracing.off(),
        )

    @classmethod
    async def open(cls, *, accept_interval: float = 0.0, **limits: int) -> Venue:
        venue = cls(accept_interval=accept_interval, **limits)
        await venue.markets.refresh()
        return venue

    @property
    def btc(self) -> Market:
        found = self.markets.get("BTC-USDT")
        assert found is not None
        return found

    def commands(self, market_id: int = 1) -> list[Command]:
        return self.store.accepted.get(market_id, [])

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

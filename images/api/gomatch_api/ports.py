"""What the API needs of its neighbours, as Protocols, so that each can be replaced in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gomatch.engine import Event
from gomatch.messages.envelope import CommandBatch
from gomatch.store.records import (
    Acceptance,
    ApiKeyRecord,
    ClaimedId,
    ClaimKey,
    ClientClaim,
    MarketHead,
    MarketRecord,
)


class IntakeStore(Protocol):
    """gomatch.store.Intake."""

    async def accept(
        self,
        market_id: int,
        *,
        bodies: bytes,
        count: int,
        claims: Sequence[ClientClaim] = (),
        backlog_limit: int,
    ) -> Acceptance: ...

    async def claims(self, keys: Sequence[ClaimKey]) -> Mapping[ClaimKey, ClaimedId]: ...


class MarketsStore(Protocol):
    """gomatch.store.Markets."""

    async def heads(self) -> list[MarketHead]: ...

    async def list(self) -> list[MarketRecord]: ...


class KeysStore(Protocol):
    """gomatch.store.ApiKeys."""

    async def now(self) -> int: ...

    async def active(self, after: str, *, limit: int) -> Sequence[ApiKeyRecord]: ...

    async def get(self, key_id: str) -> ApiKeyRecord | None: ...

    async def revoked_since(self, time: int) -> Sequence[ApiKeyRecord]: ...


class Publisher(Protocol):
    """gomatch.transport.CommandPublisher."""

    async def publish(self, batch: CommandBatch, *, timeout: float) -> None: ...


class ResultFeed(Protocol):
    """The part of gomatch_api.feeds.Feeds that waits for results."""

    async def wait_applied(
        self, symbol: str, numbers: Sequence[int], timeout: float
    ) -> list[list[tuple[int, Event]]]: ...

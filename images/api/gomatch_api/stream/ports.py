"""What the stream needs of its neighbours, as Protocols, so that each can be replaced in tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from gomatch.engine import Command
from gomatch.store.records import DisconnectSession, MarketHead, OrderRecord
from gomatch_api.accept_plan import Accepted, Claim
from gomatch_api.auth import Principal
from gomatch_api.feeds.waits import AppliedRow
from gomatch_api.markets import Market
from gomatch_api.problems import Problem
from gomatch_api.requests import AnyItem
from gomatch_api.responses import CancelAllAcknowledgement, ItemResult


class Markets(Protocol):
    """gomatch_api.markets.MarketRegistry."""

    def get(self, symbol: str) -> Market | None: ...

    def by_id(self, market_id: int) -> Market | None: ...

    def all(self) -> list[Market]: ...


class Keys(Protocol):
    """gomatch_api.auth.KeyRing."""

    async def identify(
        self, headers: Mapping[str, str], *, method: str = "", target: str = "", body: bytes = b""
    ) -> Principal: ...

    async def identify_token(self, token: str) -> Principal: ...

    def on_revoke(self, callback: Callable[[Principal], None]) -> Callable[[], None]: ...


class OrderEntry(Protocol):
    """gomatch_api.order_service.OrderService."""

    async def submit(
        self, principal: Principal, items: Sequence[AnyItem | Problem], *, wait: bool
    ) -> Sequence[ItemResult]:
        """The results of the items in their order. Raises Problem."""
        ...

    async def cancel_all(
        self, principal: Principal, market: str, *, request_id: str | None, wait: bool
    ) -> CancelAllAcknowledgement:
        """Raises Problem."""
        ...


class Intake(Protocol):
    """gomatch_api.intake.IntakeService."""

    async def submit(
        self,
        market: Market,
        user: int,
        commands: Sequence[Command],
        claims: Sequence[Claim] = (),
        *,
        trace: str = "",
    ) -> Accepted: ...


class ReplayRow(AppliedRow, Protocol):
    """What a replay reads of a journal row."""

    @property
    def last_sequence(self) -> int: ...
    @property
    def time(self) -> int: ...


class ReplayJournal(Protocol):
    """gomatch.store.Journal."""

    async def head(self, market_id: int) -> MarketHead: ...

    async def rows(
        self, market_id: int, after_sequence: int, *, limit_rows: int
    ) -> Sequence[ReplayRow]: ...


class OpenOrders(Protocol):
    """gomatch.store.Orders."""

    async def open_at_head(self, user: int, market_id: int) -> tuple[int, list[OrderRecord]]:
        """The market's sequence and the user's open orders exactly then."""
        ...


class DisconnectStore(Protocol):
    """gomatch.store.Disconnects."""

    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], lifetime: float
    ) -> None: ...

    async def renew(self, session_ids: Collection[str], lifetime: float) -> set[str]: ...

    async def expire(self, session_id: str) -> None: ...

    async def disarm(self, session_id: str) -> None: ...

    async def claim_expired(
        self, limit: int, *, own: Collection[str] = ()
    ) -> list[DisconnectSession]: ...

    async def give_back(self, session_ids: Collection[str], lifetime: float) -> None: ...


OrderView = Callable[[OrderRecord, Market], Any]
"""An order of the store as the API shows it, ready for JSON."""

"""Which order a client order id names: remembered for recent orders, asked for others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gomatch.errors import StoreUnavailable
from gomatch.store.records import ClaimedId, ClaimKey, ClaimKind
from gomatch_api import codes
from gomatch_api.database import DatabaseHealth
from gomatch_api.ports import IntakeStore
from gomatch_api.problems import Problem

REMEMBERED = 50_000
"""Client order ids of one generation; two generations are kept."""

GENERATION_SECONDS = 3_600.0
"""An id may be given to another order days later, on another replica: nothing stays so long."""

OrderPlace = tuple[str, int]
"""(symbol, number)"""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request's place among those that are being entered, and the ids of its new orders."""

    number: int
    expected: dict[tuple[int, str], asyncio.Future[None]] = field(default_factory=dict)


class ClientOrderIds:
    """Resolves (user, client order id) with at most one query for many. An id that an earlier
    request is about to give to an order is waited for, so that an order can be cancelled by its
    id at once."""

    def __init__(
        self,
        store: IntakeStore,
        health: DatabaseHealth,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._health = health
        self._clock = clock
        self._young: dict[tuple[int, str], OrderPlace] = {}
        self._old: dict[tuple[int, str], OrderPlace] = {}
        self._began = clock()
        self._tickets = 0
        self._expected: dict[tuple[int, str], tuple[int, asyncio.Future[None]]] = {}

    def begin(self, user: int, ids: Iterable[str]) -> Ticket:
        """A request begins whose new orders have these client order ids; `end` it."""
        self._tickets += 1
        ticket = Ticket(self._tickets)
        for client_id in ids:
            key = user, client_id
            if key not in self._expected:
                future = ticket.expected[key] = asyncio.get_running_loop().create_future()
                self._expected[key] = ticket.number, future
        return ticket

    def end(self, ticket: Ticket) -> None:
        """All new orders of the request have been remembered or refused."""
        for key, future in ticket.expected.items():
            if not future.done():
                del self._expected[key]
                future.set_result(None)

    def remember(self, user: int, symbol: str, numbers: Mapping[str, int]) -> None:
        """Client order ids of one user, and the numbers of their orders in one market."""
        young = self._young
        for client_id, number in numbers.items():
            key = user, client_id
            young[key] = symbol, number
            if key in self._expected:
                self._expected.pop(key)[1].set_result(None)
        if len(young) >= REMEMBERED or self._clock() - self._began >= GENERATION_SECONDS:
            self._old, self._young = young, {}
            self._began = self._clock()

    async def resolve(
        self, user: int, ids: Iterable[str], ticket: Ticket | None = None
    ) -> dict[str, OrderPlace]:
        """The orders of those ids that are known; what requests before this ``ticket`` expect,
        or all without one, is waited for. Raises Problem ``not_accepted``."""
        found: dict[str, OrderPlace] = {}
        unknown: list[ClaimKey] = []
        asked = set(ids)
        if self._expected:
            await self._wait(user, asked, ticket)
        for client_id in asked:
            key = user, client_id
            place = self._young.get(key) or self._old.get(key)
            if place is None:
                unknown.append((user, ClaimKind.ORDER, client_id))
            else:
                found[client_id] = place
        if unknown:
            for (_, _, client_id), claimed in (await self.claims(unknown)).items():
                found[client_id] = claimed.symbol, claimed.number
                self.remember(user, claimed.symbol, {client_id: claimed.number})
        return found

    async def _wait(self, user: int, ids: Iterable[str], ticket: Ticket | None) -> None:
        # Only for what came earlier, so that two requests never wait for each other.
        expected = (self._expected.get((user, client_id)) for client_id in ids)
        before = self._tickets + 1 if ticket is None else ticket.number
        earlier = [entry[1] for entry in expected if entry and entry[0] < before]
        if earlier:
            await asyncio.wait(earlier)

    async def claims(self, keys: list[ClaimKey]) -> dict[ClaimKey, ClaimedId]:
        """What the ids were given to. Raises Problem ``not_accepted``."""
        if not self._health.available:
            raise Problem(codes.NOT_ACCEPTED, retry_after=1)
        try:
            return dict(await self._store.claims(keys))
        except StoreUnavailable as error:
            self._health.report_failure(error)
            raise Problem(codes.NOT_ACCEPTED, retry_after=1) from error

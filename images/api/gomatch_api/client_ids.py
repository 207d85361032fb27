"""Which order a client order id names: remembered for recent orders, asked for others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from gomatch.engine import Command
from gomatch.errors import StoreUnavailable
from gomatch.messages.request_digest import request_digest
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


def digest_of(command: Command, symbol: str) -> bytes:
    """What tells a repeated request from a different one under the same client id."""
    return request_digest(command, symbol)


class ClientOrderIds:
    """Resolves (user, client order id) with at most one query for many."""

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

    def remember(self, user: int, symbol: str, numbers: Mapping[str, int]) -> None:
        """Client order ids of one user, and the numbers of their orders in one market."""
        young = self._young
        for client_id, number in numbers.items():
            young[user, client_id] = symbol, number
        if len(young) >= REMEMBERED or self._clock() - self._began >= GENERATION_SECONDS:
            self._old, self._young = young, {}
            self._began = self._clock()

    async def resolve(self, user: int, ids: Iterable[str]) -> dict[str, OrderPlace]:
        """The orders of those ids that are known. Raises Problem ``not_accepted``."""
        found: dict[str, OrderPlace] = {}
        unknown: list[ClaimKey] = []
        for client_id in set(ids):
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

    async def claims(self, keys: list[ClaimKey]) -> dict[ClaimKey, ClaimedId]:
        """What the ids were given to. Raises Problem ``not_accepted``."""
        if not self._health.available:
            raise Problem(codes.NOT_ACCEPTED, retry_after=1)
        try:
            return dict(await self._store.claims(keys))
        except StoreUnavailable as error:
            self._health.report_failure(error)
            raise Problem(codes.NOT_ACCEPTED, retry_after=1) from error

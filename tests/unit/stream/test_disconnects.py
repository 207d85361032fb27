from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import pytest

from gomatch.engine import CancelAll, Reason
from gomatch.errors import StoreUnavailable
from gomatch.store.records import DisconnectSession
from gomatch_api.problems import Problem
from gomatch_api.stream.disconnects import DisconnectGuard
from tests.integration.stream.site import DisconnectTable, ScriptedMarkets, principal


class FailingTable(DisconnectTable):
    """A table in a database that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.claims = 0

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("PostgreSQL is away")

    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], expires_at: int
    ) -> None:
        self._check()
        await super().arm(session_id, user, market_ids, expires_at)

    async def disarm(self, session_id: str) -> None:
        self._check()
        await super().disarm(session_id)

    async def claim_expired(self, limit: int) -> list[DisconnectSession]:
        self._check()
        self.claims += 1
        return await super().claim_expired(limit)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.time


@asynccontextmanager
async def running(
    table: FailingTable, clock: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[DisconnectGuard]:
    guard = DisconnectGuard(
        table,
        table,
        ScriptedMarkets(),
        lifetime=10.0,
        renew_every=0.01,
        sweep_every=0.01,
        clock=clock,
    )
    task = asyncio.create_task(guard.run())
    try:
        yield guard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_living_session_is_renewed_and_never_swept() -> None:
    table = FailingTable()
    async with running(table) as guard:
        session = await guard.arm(None, principal(1), [1])
        first = table.rows[session].expires_at
        await until(lambda: table.rows[session].expires_at > first)
        await table.expire(session)
        await until(lambda: table.rows[session].expires_at > 0)
        claims = table.claims
        await until(lambda: table.claims > claims + 2)
        assert table.cancelled == []
        await guard.disarm(session)
        assert table.rows == {}


async def test_a_session_that_ended_is_cancelled_once() -> None:
    table = FailingTable()
    async with running(table) as guard:
        session = await guard.arm(None, principal(1), [1])
        await guard.disconnected(session)
        await until(lambda: table.rows == {})
        assert table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))]


async def test_after_an_outage_everybody_gets_to_renew_before_anybody_is_swept() -> None:
    table = FailingTable()
    await table.arm("elsewhere", 2, [1], 0)
    table.away = True
    clock = Clock()
    async with running(table, clock):
        await until(lambda: clock.asked > 3)
        table.away = False
        asked = clock.asked
        await until(lambda: clock.asked > asked + 5)
        assert table.claims == 0
        clock.time = 10.0
        await until(lambda: table.cancelled == [(2, CancelAll(2, Reason.DISCONNECT))])


async def test_while_the_database_is_away_arming_fails_and_says_so() -> None:
    table = FailingTable()
    guard = DisconnectGuard(table, table, ScriptedMarkets())
    session = await guard.arm(None, principal(1), [1])
    table.away = True
    for attempt in (guard.arm(session, principal(1), [1]), guard.disarm(session)):
        with pytest.raises(Problem) as refused:
            await attempt
        assert refused.value.code.code == "database_unavailable"
    await guard.disconnected(session)
    assert session in table.rows

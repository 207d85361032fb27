from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from gomatch.engine import CancelAll, Reason
from gomatch.errors import StoreError, StoreUnavailable
from gomatch.store.records import DisconnectSession
from gomatch_api.problems import Problem
from gomatch_api.stream.disconnects import DisconnectGuard
from tests.integration.stream.site import DisconnectTable, ScriptedMarkets, principal


class FailingTable(DisconnectTable):
    """A table in a database that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: StoreError | None = None
        self.claims = 0
        self.renewals = 0
        self.disarmed: list[str] = []
        self.while_claiming: Callable[[], None] = lambda: None

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], lifetime: float
    ) -> None:
        self._check()
        await super().arm(session_id, user, market_ids, lifetime)

    async def renew(self, session_ids: Collection[str], lifetime: float) -> set[str]:
        self._check()
        alive = await super().renew(session_ids, lifetime)
        self.renewals += 1
        return alive

    async def disarm(self, session_id: str) -> None:
        self._check()
        self.disarmed.append(session_id)
        await super().disarm(session_id)

    async def claim_expired(
        self, limit: int, *, own: Collection[str] = ()
    ) -> list[DisconnectSession]:
        self._check()
        self.claims += 1
        self.while_claiming()
        return await super().claim_expired(limit, own=own)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.time

    def asked_since(self, count: int) -> bool:
        return self.asked > count


@asynccontextmanager
async def running(
    table: FailingTable, clock: Callable[[], float] = lambda: 0.0, *, lifetime: float = 10.0
) -> AsyncIterator[DisconnectGuard]:
    guard = DisconnectGuard(
        table,
        table,
        ScriptedMarkets(),
        lifetime=lifetime,
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


def nothing() -> None:
    """The client is not told."""


async def test_a_living_session_is_renewed_and_never_swept() -> None:
    table = FailingTable()
    async with running(table) as guard:
        armed = await guard.arm(None, principal(1), [1], nothing)
        first = table.rows[armed.session_id].expires_at
        await until(lambda: table.rows[armed.session_id].expires_at > first)
        claims = table.claims
        await until(lambda: table.claims > claims + 2)
        assert table.cancelled == []
        await guard.disarm(armed)
        assert table.rows == {}


async def test_a_session_that_ended_is_cancelled_once() -> None:
    table = FailingTable()
    async with running(table) as guard:
        armed = await guard.arm(None, principal(1), [1], nothing)
        await guard.disconnected(armed, finished=True)
        await until(lambda: table.rows == {})
        assert table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))]


async def test_a_session_with_unfinished_requests_runs_out_by_itself() -> None:
    table = FailingTable()
    async with running(table) as guard:
        armed = await guard.arm(None, principal(1), [1], nothing)
        await guard.disconnected(armed, finished=False)
        stays = table.rows[armed.session_id].expires_at
        claims = table.claims
        await until(lambda: table.claims > claims + 5)
        assert table.rows[armed.session_id].expires_at == stays
        await table.expire(armed.session_id)
        await until(lambda: table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))])


async def test_a_living_session_that_was_swept_elsewhere_is_told_and_armed_anew() -> None:
    table = FailingTable()
    told: list[str] = []
    async with running(table) as guard:
        armed = await guard.arm(None, principal(1), [1], lambda: told.append("lost"))
        first = armed.session_id
        await table.disarm(first)
        await until(lambda: bool(table.rows))
        assert told == ["lost"]
        assert first not in table.rows
        await guard.disconnected(armed, finished=True)
        await until(lambda: table.rows == {})
        assert table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))]


async def test_arming_again_replaces_what_was_armed() -> None:
    table = FailingTable()
    async with running(table) as guard:
        first = await guard.arm(None, principal(1), [1], nothing)
        second = await guard.arm(first, principal(1), [], nothing)
        await until(lambda: list(table.rows) == [second.session_id])
        assert second.session_id != first.session_id
        assert table.cancelled == []


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), StoreError("read-only")])
async def test_after_an_outage_everybody_gets_to_renew_before_anybody_is_swept(
    failure: StoreError,
) -> None:
    table = FailingTable()
    await table.arm("elsewhere", 2, [1], 0)
    await table.expire("elsewhere")
    clock = Clock()
    async with running(table, clock, lifetime=0.1) as guard:
        armed = await guard.arm(None, principal(1), [1], nothing)
        table.failure = failure
        asked = clock.asked
        await until(lambda: clock.asked > asked + 10)
        table.failure = None
        claims, renewals = table.claims, table.renewals
        await until(lambda: table.renewals > renewals + 5)
        assert table.claims == claims
        assert armed.session_id in table.rows
        while clock.time < 0.1:
            asked = clock.asked
            await until(partial(clock.asked_since, asked + 4))
            clock.time += 0.02
        await until(lambda: table.cancelled == [(2, CancelAll(2, Reason.DISCONNECT))])


@pytest.mark.parametrize("frozen", ["database", "replica"])
async def test_after_a_freeze_everybody_gets_to_renew_before_anybody_is_swept(frozen: str) -> None:
    table = FailingTable()
    await table.arm("elsewhere", 2, [1], 0)
    clock = Clock()

    def thaw() -> None:
        table.while_claiming = nothing
        clock.time += 100
        table.rows["elsewhere"] = replace(table.rows["elsewhere"], expires_at=0)

    async with running(table, clock):
        if frozen == "database":
            table.while_claiming = thaw
        else:
            await until(lambda: table.claims > 0)
            thaw()
        await until(lambda: clock.time == 100)
        asked = clock.asked
        await until(lambda: clock.asked > asked + 10)
        assert table.cancelled == []
        if frozen == "database":
            assert table.rows["elsewhere"].expires_at > 0


@pytest.mark.parametrize("written", [False, True])
async def test_only_what_may_have_been_written_is_removed_when_the_database_is_back(
    written: bool,
) -> None:
    """Clients that try again while it is away leave nothing behind that would have to be."""
    table = FailingTable()
    async with running(table) as guard:
        table.failure = StoreUnavailable("away", outcome_unknown=written)
        for _ in range(3):
            with pytest.raises(Problem):
                await guard.arm(None, principal(1), [1], nothing)
        table.failure = None
        renewed = await guard.arm(None, principal(1), [1], nothing)
        renewals = table.renewals
        await until(lambda: table.renewals > renewals + 2)
        assert len(table.disarmed) == (3 if written else 0)
        assert list(table.rows) == [renewed.session_id]


async def test_while_the_database_is_away_arming_fails_and_says_so() -> None:
    table = FailingTable()
    guard = DisconnectGuard(table, table, ScriptedMarkets(), lifetime=10)
    armed = await guard.arm(None, principal(1), [1], nothing)
    table.failure = StoreUnavailable("away")
    for attempt in (guard.arm(armed, principal(1), [1], nothing), guard.disarm(armed)):
        with pytest.raises(Problem) as refused:
            await attempt
        assert refused.value.code.code == "database_unavailable"
    await guard.disconnected(armed, finished=True)
    assert list(table.rows) == [armed.session_id]

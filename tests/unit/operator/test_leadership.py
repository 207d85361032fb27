"""One active operator, on a Lease that is kept in memory and on a clock that tests turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.leaderelection import leaderelection

from gomatch_operator.errors import LeadershipLost
from gomatch_operator.leadership import OperatorLeadership
from tests.fixtures.lease_server import Answer, Clock, Fault, LeaseServer

LEASE, DEADLINE, RETRY = 15.0, 10.0, 2.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leaderelection, "time", SimpleNamespace(time=clock))
    monkeypatch.setattr(
        leaderelection,
        "asyncio",
        SimpleNamespace(sleep=clock.sleep, create_task=asyncio.create_task),
    )
    return clock


@pytest.fixture
def server(clock: Clock) -> LeaseServer:
    return LeaseServer(clock)


Make = Callable[[str], OperatorLeadership]


@pytest.fixture
async def make(server: LeaseServer, clock: Clock) -> AsyncIterator[Make]:
    clients = []

    def make(identity: str) -> OperatorLeadership:
        api: Any = ApiClient(Configuration())
        clients.append((api, api.rest_client))
        api.rest_client = server
        return OperatorLeadership(
            api,
            name="operator",
            namespace="default",
            identity=identity,
            lease=LEASE,
            renew_deadline=DEADLINE,
            retry_period=RETRY,
            call_timeout=5,
            clock=clock,
        )

    yield make
    for api, own in clients:
        await own.close()
        api.rest_client = None


class Leading:
    """An operator that leads until it is told to end."""

    def __init__(self, leadership: OperatorLeadership) -> None:
        self.leadership = leadership
        self.began = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(leadership.run(self._lead))

    async def _lead(self) -> None:
        self.began.set()
        await self.end.wait()

    async def leads(self) -> Leading:
        async with asyncio.timeout(10):
            await self.began.wait()
        return self

    async def ends(self) -> None:
        self.end.set()
        async with asyncio.timeout(10):
            await self.task

    async def loses(self) -> None:
        async with asyncio.timeout(10):
            with pytest.raises(LeadershipLost):
                await self.task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


async def test_the_first_makes_the_lease_and_leads_in_term_1(
    server: LeaseServer, make: Make
) -> None:
    leading = await Leading(make("a")).leads()

    leading.leadership.require()
    assert leading.leadership.term == 1
    assert server.spec["holderIdentity"] == "a"
    assert server.spec["leaseTransitions"] == 1
    assert server.spec["leaseDurationSeconds"] == LEASE
    await leading.ends()


async def test_renewals_change_neither_the_term_nor_when_it_began(
    server: LeaseServer, make: Make
) -> None:
    leading = await Leading(make("a")).leads()
    began = server.spec["acquireTime"]
    renewed = server.spec["renewTime"]
    await until(lambda: len(server.writes) > 5)

    assert server.spec["leaseTransitions"] == leading.leadership.term == 1
    assert datetime.fromisoformat(server.spec["acquireTime"]) == datetime.fromisoformat(began)
    assert server.spec["renewTime"] > renewed
    await leading.ends()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Sao_Paulo"])
async def test_the_lease_tells_times_in_utc_wherever_the_operator_runs(
    server: LeaseServer, make: Make, clock: Clock, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        leading = await Leading(make("a")).leads()
        assert server.spec["acquireTime"] == "2030-01-02T03:04:05.000001+00:00"
        await leading.ends()
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_standby_waits_while_the_lease_is_renewed(server: LeaseServer, make: Make) -> None:
    leading = await Leading(make("a")).leads()
    standby = Leading(make("b"))
    await until(lambda: len(server.writes) > 20)

    assert set(server.writes) == {"a"}
    assert not standby.began.is_set()
    with pytest.raises(LeadershipLost):
        standby.leadership.require()
    standby.task.cancel()
    await asyncio.gather(standby.task, return_exceptions=True)
    assert server.spec["holderIdentity"] == "a"
    await leading.ends()


async def test_who_ends_in_order_leaves_the_lease_to_the_next_at_once(
    server: LeaseServer, make: Make, clock: Clock
) -> None:
    leading = await Leading(make("a")).leads()
    standby = Leading(make("b"))
    await asyncio.sleep(0)
    await leading.ends()
    assert server.spec["holderIdentity"] in ("", "b")
    ended = clock.now
    await standby.leads()

    assert clock.now - ended < LEASE
    assert standby.leadership.term == 2
    await standby.ends()


async def test_a_lease_of_one_who_is_gone_is_taken_once_it_is_over(
    server: LeaseServer, make: Make, clock: Clock
) -> None:
    server.edit(
        holderIdentity="gone",
        leaseDurationSeconds=15,
        leaseTransitions=7,
        acquireTime="2020-01-01T00:00:00.000001Z",
        renewTime="2020-01-01T00:00:00.000001Z",
    )
    began = clock.now
    leading = await Leading(make("a")).leads()

    # By its own clock, from when it first saw it: the times in it may be of another clock.
    assert clock.now - began >= LEASE
    assert leading.leadership.term == 8
    await leading.ends()


async def test_a_lease_that_was_its_own_before_begins_a_new_term(
    server: LeaseServer, make: Make
) -> None:
    server.edit(
        holderIdentity="a",
        leaseDurationSeconds=15,
        leaseTransitions=7,
        acquireTime="2020-01-01T00:00:00.000001Z",
        renewTime="2020-01-01T00:00:00.000001Z",
    )
    leading = await Leading(make("a")).leads()

    assert leading.leadership.term == 8
    await leading.ends()


async def test_another_holder_in_the_lease_ends_the_leader_and_stays(
    server: LeaseServer, make: Make
) -> None:
    leading = await Leading(make("a")).leads()
    server.edit(holderIdentity="by hand")
    await leading.loses()

    assert server.spec["holderIdentity"] == "by hand"
    with pytest.raises(LeadershipLost):
        leading.leadership.require()


async def test_a_lease_that_is_deleted_comes_back_with_its_term(
    server: LeaseServer, make: Make
) -> None:
    server.edit(leaseTransitions=7)
    leading = await Leading(make("a")).leads()
    assert leading.leadership.term == 8
    server.lease = None
    await until(lambda: server.lease is not None)

    assert server.spec["leaseTransitions"] == 8
    await until(lambda: len(server.writes) > 10)
    assert leading.leadership.term == server.spec["leaseTransitions"] == 8
    leading.leadership.require()
    await leading.ends()


async def test_a_term_known_from_elsewhere_is_outlasted(server: LeaseServer, make: Make) -> None:
    leading = await Leading(make("a")).leads()
    await leading.leadership.outlast(41)

    assert leading.leadership.term == 42
    await until(lambda: len(server.writes) > 10)
    assert server.spec["leaseTransitions"] == leading.leadership.term == 42
    await leading.leadership.outlast(17)
    assert leading.leadership.term == 42
    await leading.ends()


async def test_a_renewal_whose_answer_is_late_does_not_lower_the_term_again(
    server: LeaseServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading = await Leading(make("a")).leads()
    written, answers = asyncio.Event(), asyncio.Event()
    request = server.request

    async def late(method: str, url: str, **arguments: Any) -> Answer:
        answer = await request(method, url, **arguments)
        if method == "PUT" and not written.is_set():
            written.set()
            await answers.wait()
        return answer

    monkeypatch.setattr(server, "request", late)
    await written.wait()
    await leading.leadership.outlast(41)
    answers.set()
    writes, terms = len(server.writes), set()

    def renewed() -> bool:
        terms.add(leading.leadership.term)
        return len(server.writes) > writes + 1

    await until(renewed)
    assert terms == {42}
    await leading.ends()


async def test_a_term_cannot_be_outlasted_by_who_holds_the_lease_no_more(
    server: LeaseServer, make: Make
) -> None:
    leading = await Leading(make("a")).leads()
    server.edit(holderIdentity="b")
    with pytest.raises(LeadershipLost):
        await leading.leadership.outlast(41)
    await leading.loses()
    assert server.spec["leaseTransitions"] == 1


def garbage(status: int, body: bytes, content_type: str) -> Fault:
    async def fault(_: str) -> Answer:
        return Answer(status, body, content_type=content_type)

    return fault


async def no_connection(_: str) -> Answer:
    raise ConnectionResetError("reset")


FAULTS = {
    "500": garbage(500, b'{"kind":"Status","code":500}', "application/json"),
    "page": garbage(502, b"<html>", "text/html"),
    "page, all well": garbage(200, b"<html>", "text/html"),
    "no JSON": garbage(200, b"<html>", "application/json"),
    "404 of another": garbage(404, b"not here", "text/plain"),
    "other JSON": garbage(200, b"[]", "application/json"),
    "other kind": garbage(200, b'{"spec": 1}', "application/json"),
    "unknown type": garbage(200, b"?", "image/png"),
    "reset": no_connection,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_failing_calls_do_not_end_the_leader_at_once(
    server: LeaseServer, make: Make, clock: Clock, fault: Fault
) -> None:
    leading = await Leading(make("a")).leads()
    failed = 0

    async def twice(method: str) -> Answer | None:
        nonlocal failed
        failed += 1
        return await fault(method) if failed <= 2 else None

    server.fault = twice
    renewals = len(server.writes)
    await until(lambda: len(server.writes) > renewals + 2)

    leading.leadership.require()
    assert leading.leadership.term == 1
    await leading.ends()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_who_cannot_renew_ends_before_another_may_take_the_lease(
    server: LeaseServer, make: Make, clock: Clock, fault: Fault
) -> None:
    leading = await Leading(make("a")).leads()
    server.fault = fault
    written = clock.now
    await leading.loses()

    assert clock.now - written <= LEASE


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_who_waits_goes_on_waiting_through_failing_calls(
    server: LeaseServer, make: Make, fault: Fault
) -> None:
    asked = 0

    async def at_first(method: str) -> Answer | None:
        nonlocal asked
        asked += 1
        return await fault(method) if asked <= 5 else None

    server.fault = at_first
    leading = await Leading(make("a")).leads()
    assert leading.leadership.term == 1
    await leading.ends()


async def test_a_leader_that_stood_still_for_a_lease_leads_no_more(
    server: LeaseServer, make: Make, clock: Clock
) -> None:
    leading = await Leading(make("a")).leads()
    leading.leadership.require()
    clock.now += LEASE + 1

    with pytest.raises(LeadershipLost):
        leading.leadership.require()
    await leading.ends()


async def test_the_lease_counts_from_when_it_was_written_not_from_the_answer(
    server: LeaseServer, make: Make, clock: Clock
) -> None:
    held = asyncio.Event()

    async def hold(_: str) -> None:
        await held.wait()

    server.answer_delay = 4.0
    leading = await Leading(make("a")).leads()
    server.fault = hold
    for _ in range(20):
        await asyncio.sleep(0)
    # Written 4 s before the clock now says.
    clock.now += LEASE - 3

    with pytest.raises(LeadershipLost):
        leading.leadership.require()
    held.set()
    server.fault = None
    await leading.ends()


async def test_a_lease_taken_by_a_call_that_was_broken_off_is_given_up(
    server: LeaseServer, make: Make
) -> None:
    written = asyncio.Event()

    async def swallow(method: str) -> None:
        if method == "POST":
            server.edit(
                holderIdentity="a",
                leaseTransitions=1,
                leaseDurationSeconds=15,
                acquireTime="2020-01-01T00:00:00.000001Z",
                renewTime="2020-01-01T00:00:00.000001Z",
            )
            written.set()
            await asyncio.Event().wait()

    server.fault = swallow
    waiting = Leading(make("a"))
    await written.wait()
    waiting.task.cancel()
    await asyncio.gather(waiting.task, return_exceptions=True)

    assert server.spec["holderIdentity"] == ""


async def test_what_leading_raises_is_raised_and_the_lease_given_up(
    server: LeaseServer, make: Make
) -> None:
    async def lead() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        await make("a").run(lead)
    assert server.spec["holderIdentity"] == ""


async def test_who_is_told_twice_to_end_gives_the_lease_up(server: LeaseServer, make: Make) -> None:
    began, ending, end, ended = (asyncio.Event() for _ in range(4))

    async def lead() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await end.wait()
            ended.set()

    task = asyncio.create_task(make("a").run(lead))
    for reached in (began, ending):
        await reached.wait()
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert server.spec["holderIdentity"] == ""
    end.set()
    await ended.wait()

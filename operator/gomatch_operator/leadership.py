"""One active operator: a Lease of Kubernetes, by the election of the Kubernetes client library.

The library's election renews the Lease and ends when it cannot. Two things are added here. The
number of transitions is kept in the Lease, as Kubernetes' own components do: it is the term that
PostgreSQL compares in every write, which fences an operator that was frozen. And each step asks
`require` first, which looks at the clock, as a frozen process does not notice that it was.

The library's lock is mended where it falls short: times are written in UTC, as their "Z" says; a
Lease that is deleted under its holder keeps its term; no failed call ends the election.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection import electionconfig, leaderelection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from gomatch.cancellation import cancel_and_wait
from gomatch.observability import logs
from gomatch_operator.errors import LeadershipLost

_log = logs.get(__name__)
_ATTEMPTS = 5
_FAILURES = (OSError, TimeoutError, aiohttp.ClientError, ApiException, ValueError, TypeError)
"""What a call can end in; the last two when the answer is no Lease at all."""


class OperatorLeadership:
    """Seconds throughout. ``identity`` must be unique to this process."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        name: str,
        namespace: str,
        identity: str,
        lease: float,
        renew_deadline: float,
        retry_period: float,
        call_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._clock = clock
        self._renewed = float("-inf")
        self._lock = _TransitionsLock(
            name,
            namespace,
            identity,
            api,
            call_timeout=call_timeout,
            renewed=self._note_renewal,
            clock=clock,
        )
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self.leading = False

    @property
    def term(self) -> int:
        """The Lease's number of transitions since this process holds it."""
        return self._lock.transitions

    async def outlast(self, term: int) -> None:
        """Have a term above ``term``, which is known from elsewhere: somebody deleted the Lease,
        and its number began anew. Raises LeadershipLost when that cannot be written."""
        if self.term <= term and not await self._lock.raise_transitions(term + 1):
            raise LeadershipLost(f"the Lease's term could not be raised above {term}")

    def require(self) -> None:
        """Raises LeadershipLost unless this process holds the Lease now, by its own clock."""
        if not self.leading or self._lock.lost or self._clock() - self._renewed > self._lease:
            raise LeadershipLost("this process does not hold the operator's Lease any more")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run ``lead`` until it returns. Gives the Lease up at the end,
        so that the next one need not wait. Raises LeadershipLost when it is lost, and what
        ``lead`` raises."""
        started = asyncio.Event()

        async def begin() -> None:
            started.set()

        async def end() -> None:
            return None

        election = leaderelection.LeaderElection(
            electionconfig.Config(
                self._lock,
                lease_duration=self._lease,
                renew_deadline=self._renew_deadline,
                retry_period=self._retry_period,
                onstarted_leading=begin,
                onstopped_leading=end,
            )
        )
        electing = asyncio.create_task(election.run())
        waiting = asyncio.create_task(started.wait())
        tasks: list[asyncio.Task[Any]] = [electing, waiting]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if electing.done():
                electing.result()
                raise LeadershipLost("the Lease was lost as soon as it was taken")
            self.leading = True
            _log.info("leading", term=self.term)
            leading = asyncio.create_task(_run(lead()))
            tasks.append(leading)
            lost = asyncio.create_task(self._lock.lost_event.wait())
            tasks.append(lost)
            await asyncio.wait([electing, leading, lost], return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
                return
            raise LeadershipLost("the operator's Lease could not be renewed, or another holds it")
        finally:
            self.leading = False
            try:
                await cancel_and_wait(tasks)
            finally:
                # Whoever ends this one cancels it again when that takes long.
                await self._lock.release()

    def _note_renewal(self, asked_at: float) -> None:
        self._renewed = asked_at


async def _run(lead: Awaitable[None]) -> None:
    await lead


class _TransitionsLock(LeaseLock):
    """Counts transitions, limits each call in time, and notices another holder at once.

    The election takes only ApiException for a failed call, so others are told as one.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        identity: str,
        api: client.ApiClient,
        *,
        call_timeout: float,
        renewed: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        """``renewed`` is told when the call that renewed the Lease was begun: others count from
        when it was written, which may be long before its answer came."""
        super().__init__(name, namespace, identity, api)
        self._call_timeout = call_timeout
        self._renewed = renewed
        self._clock = clock
        self._held = False
        self._asked = False
        self.transitions = 0
        self._wanted = 0
        self.lost_event = asyncio.Event()

    @property
    def lost(self) -> bool:
        return self.lost_event.is_set()

    async def get(
        self, name: str, namespace: str
    ) -> tuple[bool, LeaderElectionRecord] | tuple[bool, Exception] | tuple[bool, None]:
        found, record = await self._limited(super().get(name, namespace), _no_answer())
        read = isinstance(record, LeaderElectionRecord)
        if self._held and read and record.holder_identity != self.identity:
            self.lost_event.set()
        return found, record

    async def create(
        self, name: str, namespace: str, election_record: LeaderElectionRecord
    ) -> bool:
        # That of the library passes an argument which its own client refuses.
        lease = client.V1Lease(
            metadata=client.V1ObjectMeta(name=name), spec=self.update_lease(election_record)
        )
        creating = self.api_instance.create_namespaced_lease(namespace, lease)
        return await self._write(_done(creating))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        if self.lost:
            return False
        return await self._write(super().update(name, namespace, updated_record))

    def update_lease(
        self,
        leader_election_record: LeaderElectionRecord,
        current_spec: client.V1LeaseSpec | None = None,
    ) -> client.V1LeaseSpec:
        before = current_spec.holder_identity if current_spec is not None else None
        known = current_spec.lease_transitions if current_spec is not None else None
        transitions = known or 0
        # The library writes whole seconds, from text.
        leader_election_record.lease_duration = str(
            max(1, int(float(leader_election_record.lease_duration or 1)))
        )
        spec: client.V1LeaseSpec = super().update_lease(leader_election_record, current_spec)
        if self._held and current_spec is None:
            # Somebody deleted it, and nobody has led since: it is still the same term.
            transitions = self.transitions
        elif not self._held or before != self.identity:
            # Also when it is this one's own Lease of before: a restarted term must be a new one.
            transitions += 1
        spec.lease_transitions = transitions
        self._wanted = transitions
        return spec

    def time_str_to_iso(self, str_time: str | None) -> str | None:
        """The library's text of local time, without a zone, as UTC."""
        if not str_time:
            return None
        moment = datetime.fromisoformat(str_time).astimezone(UTC)
        # The client leaves a fraction of zero out, and the API server then refuses the whole.
        return moment.replace(microsecond=moment.microsecond or 1).isoformat()

    def election_record(self, lease: client.V1Lease) -> LeaderElectionRecord:
        record: LeaderElectionRecord = super().election_record(lease)
        spec = lease.spec
        if spec is not None and spec.acquire_time is not None:
            record.acquire_time = str(spec.acquire_time)
        if spec is not None and spec.renew_time is not None:
            record.renew_time = str(spec.renew_time)
        return record

    async def raise_transitions(self, number: int) -> bool:
        async def write() -> bool:
            lease = await self.api_instance.read_namespaced_lease(self.name, self.namespace)
            if lease.spec is None or lease.spec.holder_identity != self.identity:
                return False
            lease.spec.lease_transitions = number
            await self.api_instance.replace_namespaced_lease(
                name=self.name, namespace=self.namespace, body=lease
            )
            return True

        # A renewal at the same moment makes one of the two fail: then once more.
        for _ in range(_ATTEMPTS):
            if await self._limited(write(), False):
                self.transitions = number
                return True
        return False

    async def release(self) -> None:
        """Let the next one take it at once. Nothing happens when it is not ours any more."""
        if not self._asked or self.lost:
            return
        self._held = self._asked = False
        await self._limited(self._give_up(), None)

    async def _give_up(self) -> None:
        lease = await self.api_instance.read_namespaced_lease(self.name, self.namespace)
        if lease.spec is None or lease.spec.holder_identity != self.identity:
            return
        lease.spec.holder_identity = ""
        await self.api_instance.replace_namespaced_lease(
            name=self.name, namespace=self.namespace, body=lease
        )

    async def _write(self, writing: Coroutine[Any, Any, bool]) -> bool:
        asked_at = self._clock()
        # Without an answer, too, it may be ours to give up.
        self._asked = True
        done = bool(await self._limited(writing, False))
        if done:
            self._held = True
            # The answer may come after that to a later write, which has raised it.
            self.transitions = max(self.transitions, self._wanted)
            self._renewed(asked_at)
        return done

    async def _limited(self, call: Coroutine[Any, Any, Any], otherwise: Any) -> Any:
        try:
            async with asyncio.timeout(self._call_timeout):
                return await call
        except _FAILURES as error:
            _log.warning("lease_call_failed", why=repr(error))
            return otherwise


async def _done(call: Awaitable[Any]) -> bool:
    await call
    return True


def _no_answer() -> tuple[bool, ApiException]:
    error = ApiException(status=0, reason="no answer")
    error.body = json.dumps({"code": 0})
    return False, error

"""Acceptance: gives commands their durable place in their market's numbered sequence.

One accepting transaction at a time for each market, and no two in quick succession; what arrives
meanwhile is gathered into the next one, so that load makes batches larger and not queues longer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gomatch.engine import Command
from gomatch.errors import (
    BacklogFull,
    DuplicateClientIds,
    ReservationRefused,
    StoreError,
    StoreUnavailable,
    UnknownMarket,
)
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing, join, log_fields
from gomatch.store.records import Acceptance, ClaimedId
from gomatch_api import codes
from gomatch_api.accept_plan import Accepted, AcceptPlan, Claim, Submission
from gomatch_api.database import DatabaseHealth
from gomatch_api.markets import Market
from gomatch_api.metrics import ApiMetrics
from gomatch_api.ports import IntakeStore
from gomatch_api.problems import Problem
from gomatch_api.publishing import BackgroundPublisher

_log = logs.get(__name__)

STALL_SECONDS = 2.0
"""An accept that takes longer stops its market's intake here: what waits was never sent and is
refused at once, so that only the commands already on their way wait for a frozen PostgreSQL."""

ENOUGH = 100
"""Commands that are worth an accept of their own: they do not wait for others to come."""

SHARE = 3
"""An accept is on its way for at most this part of the time: a busy machine gets larger batches
rather than more of them."""

LOADED = 6
"""How many times as long as asked for the interval between accepts may get by that."""

DUPLICATE_ROUNDS = 10
"""Accepts of one plan that may meet client ids taken by another replica at the same moment."""

CONTROL_HEADROOM = 0.1
"""Share of each limit by which state changes and cancel-alls may pass it, so that a market can be
halted and emptied when it is flooded."""

_OUTAGES = (codes.NOT_ACCEPTED, codes.OUTCOME_UNKNOWN)


@dataclass(slots=True)
class _Lane:
    """The submissions of one market that wait, and the task that accepts them."""

    market: Market
    waiting: deque[Submission] = field(default_factory=deque)
    commands: int = 0
    due: float = 0.0
    """When the next accept may begin, on the loop's clock."""
    begin: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    stalled: bool = False


class IntakeService:
    """``submit`` returns when the commands are committed. Owns one task for each busy market."""

    def __init__(
        self,
        store: IntakeStore,
        publisher: BackgroundPublisher,
        health: DatabaseHealth,
        metrics: ApiMetrics,
        *,
        accept_batch: int,
        accept_interval: float,
        intake_limit: int,
        backlog_limit: int,
        tracing: Tracing | None = None,
    ) -> None:
        """``accept_interval`` is the shortest time, in seconds, from the beginning of one accept
        of a market to that of the next: each has a price here, at the database, the broker and
        the matcher, whatever it holds. While accepts are slow it is longer, see SHARE. After a
        quiet moment nothing waits."""
        self._store = store
        self._publisher = publisher
        self._health = health
        self._metrics = metrics
        self._accept_batch = accept_batch
        self._accept_interval = accept_interval
        self._intake_limit = intake_limit
        self._backlog_limit = backlog_limit
        self._tracing = tracing or Tracing.off()
        self._lanes: dict[int, _Lane] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._wait_seconds = metrics.step_seconds.labels("wait")
        self._accept_seconds = metrics.step_seconds.labels("accept")
        self._accepted = metrics.commands.labels("accepted")

    async def submit(
        self,
        market: Market,
        user: int,
        commands: Sequence[Command],
        claims: Sequence[Claim] = (),
        *,
        whole: bool = False,
        trace: str = "",
    ) -> Accepted:
        """Accept ``commands`` of one user in this order; with ``whole`` all of them or, where the
        one client id among ``claims`` is known, none. Raises Problem: overloaded,
        backlog_full, reservation_refused, not_accepted, outcome_unknown, shutting_down,
        unknown_market, internal_error."""
        if self._closed:
            raise Problem(codes.SHUTTING_DOWN, retry_after=1)
        if not self._health.available:
            raise Problem(codes.NOT_ACCEPTED, retry_after=1)
        lane = self._lanes.get(market.market_id)
        if lane is None:
            lane = self._lanes[market.market_id] = _Lane(market)
        if lane.stalled:
            raise Problem(codes.NOT_ACCEPTED, retry_after=1)
        loop = self._loop
        future: asyncio.Future[Accepted] = loop.create_future()
        submission = Submission(user, commands, claims, future, trace, loop.time(), whole=whole)
        if lane.commands + len(commands) > self._intake_limit and (
            not submission.is_control
            or lane.commands + len(commands) > _with_headroom(self._intake_limit)
        ):
            raise Problem(codes.OVERLOADED, retry_after=1)
        lane.waiting.append(submission)
        lane.commands += len(commands)
        if lane.commands >= ENOUGH:
            lane.begin.set()
        if lane.task is None:
            lane.task = loop.create_task(self._drain(lane))
        return await future

    @property
    def waiting(self) -> int:
        """Commands that wait to be accepted."""
        return sum(lane.commands for lane in self._lanes.values())

    async def close(self) -> None:
        """Take nothing more, finish what waits, then flush what is being published."""
        self._closed = True
        for lane in self._lanes.values():
            lane.begin.set()
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        await asyncio.gather(*tasks)
        await self._publisher.close()

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._pause(lane)
                began = self._loop.time()
                group = self._gather(lane)
                stall = self._loop.call_later(STALL_SECONDS, self._stall, lane)
                try:
                    await self._accept(lane.market, group)
                except Problem as problem:
                    _fail(group, problem)
                    if problem.code in _OUTAGES:
                        self._fail_waiting(lane)
                except Exception:  # noqa: BLE001  the lane must go on for everybody else
                    self._unexpected(lane.market, group)
                finally:
                    stall.cancel()
                    lane.stalled = False
                    lane.due = began + spacing(self._accept_interval, self._loop.time() - began)
        finally:
            lane.task = None

    async def _pause(self, lane: _Lane) -> None:
        """Let more commands gather, unless the last accept began long ago."""
        wait = lane.due - self._loop.time()
        if wait > 0 and lane.commands < ENOUGH and not self._closed:
            lane.begin.clear()
            timer = self._loop.call_later(wait, lane.begin.set)
            try:
                await lane.begin.wait()
            finally:
                timer.cancel()

    def _gather(self, lane: _Lane) -> list[Submission]:
        """Whole submissions, up to accept_batch commands but at least one."""
        waiting = lane.waiting
        group = [waiting.popleft()]
        count = len(group[0].commands)
        while waiting and count + len(waiting[0].commands) <= self._accept_batch:
            count += len(waiting[0].commands)
            group.append(waiting.popleft())
        lane.commands -= count
        self._wait_seconds.observe(self._loop.time() - group[0].since)
        return group

    async def _accept(self, market: Market, group: list[Submission]) -> None:
        """Answer each of the group. Raises Problem for all that have no answer yet."""
        try:
            await self._accept_all(market, group, self._backlog_limit)
        except BacklogFull as error:
            problem = Problem(codes.BACKLOG_FULL, retry_after=1)
            controls = [submission for submission in group if submission.is_control]
            _fail([submission for submission in group if not submission.is_control], problem)
            if not controls:
                raise problem from error
            await self._accept_controls(market, controls)
        except StoreUnavailable as error:
            raise self._unavailable(error, "accept") from error
        except UnknownMarket as error:
            raise Problem(codes.UNKNOWN_MARKET) from error
        except StoreError as error:
            # Something in it is refused: the others must not suffer from that.
            if len(group) > 1:
                await self._accept_halves(market, group)
            elif isinstance(error, ReservationRefused):
                raise Problem(codes.RESERVATION_REFUSED, str(error)) from error
            else:
                raise

    async def _accept_controls(self, market: Market, controls: list[Submission]) -> None:
        for submission in controls:
            submission.leave_plan()
        try:
            await self._accept_all(market, controls, _with_headroom(self._backlog_limit))
        except BacklogFull as error:
            raise Problem(codes.BACKLOG_FULL, retry_after=1) from error
        except StoreUnavailable as error:
            raise self._unavailable(error, "accept") from error

    async def _accept_halves(self, market: Market, group: list[Submission]) -> None:
        """In their order, so that it stays that of the market."""
        for submission in group:
            submission.leave_plan()
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            try:
                await self._accept(market, half)
            except Problem as problem:
                _fail(half, problem)
                if problem.code in _OUTAGES:
                    # The second half was never sent.
                    _fail(group, Problem(codes.NOT_ACCEPTED, retry_after=1))
                    raise
            except StoreError:
                self._unexpected(market, half)

    def _unexpected(self, market: Market, group: list[Submission]) -> None:
        _log.exception("accept_failed", market=market.symbol, **_names(group))
        self._metrics.unexpected_errors.inc()
        _fail(group, Problem(codes.INTERNAL_ERROR))

    async def _accept_all(
        self, market: Market, group: list[Submission], backlog_limit: int
    ) -> None:
        """Raises Problem and StoreError when nothing of the group was accepted."""
        plan = AcceptPlan(market.symbol, group)
        traces = join(submission.trace for submission in group)
        for _ in range(DUPLICATE_ROUNDS):
            commands, claims = plan.build()
            if not commands:
                plan.complete(None)
                return
            bodies = pack_commands(commands)
            try:
                with (
                    self._accept_seconds.time(),
                    self._tracing.batch("accept", traces, market=market.symbol) as trace,
                ):
                    acceptance = await self._store.accept(
                        market.market_id,
                        bodies=bodies,
                        count=len(commands),
                        claims=claims,
                        backlog_limit=backlog_limit,
                    )
            except DuplicateClientIds:
                plan.settle(await self._known(plan))
                continue
            self._done(market, plan, acceptance, bodies, trace)
            return
        raise Problem(codes.OVERLOADED, "Too many duplicates at once.", retry_after=1)

    async def _known(self, plan: AcceptPlan) -> dict[tuple[int, int, str], ClaimedId]:
        try:
            return dict(await self._store.claims(list(plan.keys)))
        except StoreUnavailable as error:
            unavailable = self._unavailable(error, "claims")
            # Reading failed, so nothing was accepted, whatever became of the answer.
            raise Problem(codes.NOT_ACCEPTED, retry_after=unavailable.retry_after) from error

    def _done(
        self,
        market: Market,
        plan: AcceptPlan,
        acceptance: Acceptance,
        bodies: bytes,
        trace: str,
    ) -> None:
        plan.complete(acceptance)
        count = acceptance.last - acceptance.first + 1
        self._accepted.inc(count)
        self._metrics.accept_size.observe(count)
        self._publisher.publish(
            CommandBatch(
                market=market.symbol,
                first=acceptance.first,
                last=acceptance.last,
                accepted_at=acceptance.accepted_at,
                bodies=bodies,
                trace=trace,
            )
        )

    def _unavailable(self, error: StoreUnavailable, operation: str) -> Problem:
        self._metrics.database_errors.labels(operation).inc()
        self._health.report_failure(error)
        code = codes.OUTCOME_UNKNOWN if error.outcome_unknown else codes.NOT_ACCEPTED
        return Problem(code, retry_after=1)

    def _stall(self, lane: _Lane) -> None:
        _log.warning(
            "accept_stalled",
            market=lane.market.symbol,
            seconds=STALL_SECONDS,
            **_names(lane.waiting),
        )
        self._metrics.database_errors.labels("stall").inc()
        lane.stalled = True
        self._fail_waiting(lane)

    def _fail_waiting(self, lane: _Lane) -> None:
        """What was never sent to PostgreSQL is refused at once instead of waiting for it."""
        rest = list(lane.waiting)
        lane.waiting.clear()
        lane.commands = 0
        _fail(rest, Problem(codes.NOT_ACCEPTED, retry_after=1))


def _names(group: Collection[Submission]) -> dict[str, object]:
    """Whom it concerns: the commands have no numbers yet."""
    return {
        "commands": sum(len(submission.commands) for submission in group),
        "users": sorted({submission.user for submission in group})[:20],
        **log_fields(join(submission.trace for submission in group)),
    }


def spacing(interval: float, took: float) -> float:
    """Seconds from the beginning of an accept that ``took`` so long to that of the next."""
    return min(max(interval, SHARE * took), LOADED * interval)


def _fail(group: Sequence[Submission], problem: Problem) -> None:
    for submission in group:
        if not submission.future.done():
            submission.future.set_exception(problem.again())


def _with_headroom(limit: int) -> int:
    return limit + max(1, int(limit * CONTROL_HEADROOM))

"""Cancel-on-disconnect: a row in PostgreSQL for each armed connection, renewed while it lives and
swept by any replica when it has run out, so that it survives the replica itself."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from gomatch.engine import CancelAll, Reason
from gomatch.errors import StoreError, StoreUnavailable
from gomatch.observability import logs
from gomatch.store.records import ClaimKind, DisconnectSession
from gomatch_api import codes
from gomatch_api.accept_plan import Claim
from gomatch_api.auth import Principal
from gomatch_api.problems import Problem
from gomatch_api.stream.ports import DisconnectStore, Intake, Markets

_log = logs.get(__name__)

RENEW_EVERY = 2.0
SWEEP_EVERY = 1.0
SWEEP_LIMIT = 100


def lifetime_for(statement_timeout: float) -> float:
    """Seconds after the last renewal at which a session whose replica died is swept: what that
    replica had begun to accept is then committed or never will be."""
    return statement_timeout + RENEW_EVERY + 1.0


@dataclass(slots=True, eq=False)
class Armed:
    """One armed connection. ``lost`` is called when its orders are cancelled, or about to be,
    though it lives; it is then armed anew, under another id."""

    session_id: str
    user: int
    market_ids: Sequence[int]
    lost: Callable[[], None]
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class DisconnectGuard:
    """The armed sessions of one replica, and the sweeper of everybody's.

    ``run`` renews and sweeps until cancelled. After PostgreSQL or this replica stood still nothing
    is swept for ``lifetime`` seconds, so that every living session gets to renew first.
    """

    def __init__(
        self,
        store: DisconnectStore,
        intake: Intake,
        markets: Markets,
        *,
        lifetime: float,
        renew_every: float = RENEW_EVERY,
        sweep_every: float = SWEEP_EVERY,
        swept: Callable[[], None] = lambda: None,
        failed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._intake = intake
        self._markets = markets
        self._lifetime = lifetime
        self._renew_every = renew_every
        self._sweep_every = sweep_every
        self._swept = swept
        self._failed = failed
        self._clock = clock
        self._sessions: dict[str, Armed] = {}
        self._strays: set[str] = set()
        """Rows that may be there and should not be."""
        self._sweep_from = float("-inf")
        self._wake = asyncio.Event()

    async def arm(
        self,
        before: Armed | None,
        principal: Principal,
        market_ids: Sequence[int],
        lost: Callable[[], None],
    ) -> Armed:
        """Arm a connection, in place of what was armed ``before``.

        Raises Problem ``database_unavailable``, and then nothing has changed.
        """
        armed = Armed(uuid.uuid4().hex, principal.user_id, market_ids, lost)
        try:
            await self._insert(armed)
        except StoreError as error:
            if isinstance(error, StoreUnavailable) and error.outcome_unknown:
                self._strays.add(armed.session_id)
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error
        self._sessions[armed.session_id] = armed
        if before is not None:
            self._sessions.pop(before.session_id, None)
            self._strays.add(before.session_id)
        return armed

    async def disarm(self, armed: Armed) -> None:
        """The client wants its orders kept. Raises Problem ``database_unavailable``."""
        async with armed.changing:
            self._sessions.pop(armed.session_id, None)
            try:
                await self._store.disarm(armed.session_id)
            except StoreError as error:
                self._sessions[armed.session_id] = armed
                raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error

    async def disconnected(self, armed: Armed, *, finished: bool) -> None:
        """The connection is gone: its orders are due. While PostgreSQL is away, or when not all
        that it asked for is ``finished``, the session runs out by itself."""
        async with armed.changing:
            self._sessions.pop(armed.session_id, None)
            if not finished:
                return
            try:
                await self._store.expire(armed.session_id)
            except StoreError as error:
                _log.info("session_left_to_expire", session=armed.session_id, why=str(error))
        self._wake.set()

    async def run(self) -> None:
        """Renew this replica's sessions and sweep everybody's until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._sweep())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_every)
            try:
                await self._renew_all()
                await self._remove_strays()
            except StoreError as error:
                self._failed()
                self._hold_off(str(error))

    async def _renew_all(self) -> None:
        known = list(self._sessions)
        if not known:
            return
        began = self._clock()
        alive = await self._store.renew(known, self._lifetime)
        if self._clock() - began > self._renew_every:
            self._hold_off("renewing took too long")
        for session_id in known:
            armed = self._sessions.get(session_id)
            if session_id not in alive and armed is not None:
                await self._arm_anew(armed)

    async def _arm_anew(self, armed: Armed) -> None:
        """Another replica took it for dead. If this fails, the next round finds it again."""
        async with armed.changing:
            lost = armed.session_id
            if self._sessions.get(lost) is not armed:
                return
            del self._sessions[lost]
            armed.session_id = uuid.uuid4().hex
            self._sessions[armed.session_id] = armed
            _log.warning("living_session_swept", session=lost, user=armed.user)
            armed.lost()
            await self._insert(armed)

    async def _insert(self, armed: Armed) -> None:
        await self._store.arm(armed.session_id, armed.user, armed.market_ids, self._lifetime)

    async def _remove_strays(self) -> None:
        for session_id in list(self._strays):
            await self._store.disarm(session_id)
            self._strays.discard(session_id)

    async def _sweep(self) -> None:
        longest_round = 2 * self._sweep_every + self._renew_every
        while True:
            began = self._clock()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._sweep_every * random.uniform(0.75, 1.25)):
                    await self._wake.wait()
            except TimeoutError:
                # The regular round; a disconnect here only makes it come earlier.
                pass
            if self._clock() - began > longest_round:
                self._hold_off("this replica stood still")
            if self._clock() < self._sweep_from:
                continue
            try:
                await self._sweep_once()
            except StoreError as error:
                self._failed()
                self._hold_off(str(error))

    async def _sweep_once(self) -> None:
        began = self._clock()
        due = await self._store.claim_expired(SWEEP_LIMIT, own=[*self._sessions, *self._strays])
        if self._clock() - began > self._renew_every:
            # Nobody could renew meanwhile: these may all live.
            self._hold_off("claiming took too long")
            await self._store.give_back([session.session_id for session in due], self._lifetime)
            return
        for session in due:
            await self._cancel(session)

    async def _cancel(self, session: DisconnectSession) -> None:
        for market_id in session.market_ids:
            market = self._markets.by_id(market_id)
            if market is None:
                continue
            name = f"{session.session_id}:{market_id}"
            digest = blake2b(name.encode(), digest_size=16).digest()
            try:
                accepted = await self._intake.submit(
                    market,
                    session.user,
                    [CancelAll(session.user, Reason.DISCONNECT)],
                    [Claim(0, ClaimKind.DISCONNECT, name, digest)],
                )
            except Problem as problem:
                # The claim runs out and the next sweep finds the session again.
                _log.warning(
                    "cancel_on_disconnect_failed",
                    session=session.session_id,
                    market=market.symbol,
                    user=session.user,
                    code=problem.code.code,
                )
                return
            settled = accepted.settled.get(0)
            _log.info(
                "orders_cancelled_on_disconnect",
                market=market.symbol,
                command=settled.number if settled else accepted.numbers[0],
                session=session.session_id,
                user=session.user,
            )
        await self._store.disarm(session.session_id)
        self._swept()

    def _hold_off(self, reason: str) -> None:
        self._sweep_from = self._clock() + self._lifetime
        _log.info("disconnect_sweep_held_off", why=reason)

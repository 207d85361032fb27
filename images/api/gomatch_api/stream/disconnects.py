"""Cancel-on-disconnect: a row in PostgreSQL for each armed connection, renewed while it lives and
swept by any replica when it has run out, so that it survives the replica itself."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from hashlib import blake2b

from gomatch.engine import CancelAll, Reason
from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch.store.records import ClaimKind, DisconnectSession
from gomatch_api import codes
from gomatch_api.accept_plan import Claim
from gomatch_api.auth import Principal
from gomatch_api.problems import Problem
from gomatch_api.stream.ports import DisconnectStore, Intake, Markets
from gomatch_api.times import now

_log = logs.get(__name__)

LIFETIME = 10.0
"""Seconds after the last renewal at which a session whose replica died is swept."""

RENEW_EVERY = 2.0
SWEEP_EVERY = 1.0
SWEEP_LIMIT = 100


class DisconnectGuard:
    """The armed sessions of one replica, and the sweeper of everybody's.

    ``run`` renews and sweeps until cancelled. After PostgreSQL was away nothing is swept for
    LIFETIME, so that every living session gets to renew first.
    """

    def __init__(
        self,
        store: DisconnectStore,
        intake: Intake,
        markets: Markets,
        *,
        lifetime: float = LIFETIME,
        renew_every: float = RENEW_EVERY,
        sweep_every: float = SWEEP_EVERY,
        swept: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._intake = intake
        self._markets = markets
        self._lifetime = lifetime
        self._renew_every = renew_every
        self._sweep_every = sweep_every
        self._swept = swept
        self._clock = clock
        self._sessions: set[str] = set()
        self._sweep_from = float("-inf")
        self._wake = asyncio.Event()

    async def arm(self, session_id: str | None, principal: Principal, market_ids: list[int]) -> str:
        """Arm a connection, or change the markets of an armed one; returns its session id.

        Raises Problem ``database_unavailable``, and then nothing is armed that was not before.
        """
        session = session_id or uuid.uuid4().hex
        try:
            await self._store.arm(session, principal.user_id, market_ids, self._expiry())
        except StoreUnavailable as error:
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error
        self._sessions.add(session)
        return session

    async def disarm(self, session_id: str) -> None:
        """The client wants its orders kept. Raises Problem ``database_unavailable``."""
        try:
            await self._store.disarm(session_id)
        except StoreUnavailable as error:
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error
        self._sessions.discard(session_id)

    async def disconnected(self, session_id: str) -> None:
        """The connection is gone: its orders are due. While PostgreSQL is away the session runs
        out by itself."""
        self._sessions.discard(session_id)
        try:
            await self._store.expire(session_id)
        except StoreUnavailable as error:
            _log.info("session runs out by itself", session=session_id, error=str(error))
        self._wake.set()

    async def run(self) -> None:
        """Renew this replica's sessions and sweep everybody's until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._sweep())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_every)
            if not self._sessions:
                continue
            try:
                await self._store.renew(list(self._sessions), self._expiry())
            except StoreUnavailable as error:
                self._hold_off(error)

    async def _sweep(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._sweep_every * random.uniform(0.75, 1.25)):
                    await self._wake.wait()
            except TimeoutError:
                # The regular round; a disconnect here only makes it come earlier.
                pass
            if self._clock() < self._sweep_from:
                continue
            try:
                for session in await self._store.claim_expired(SWEEP_LIMIT):
                    await self._cancel(session)
            except StoreUnavailable as error:
                self._hold_off(error)

    async def _cancel(self, session: DisconnectSession) -> None:
        if session.session_id in self._sessions:
            # It lives, but renewed too late: it keeps its orders and gets its time back.
            await self._store.renew([session.session_id], self._expiry())
            return
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
                    "cancel on disconnect failed",
                    session=session.session_id,
                    market=market.symbol,
                    user=session.user,
                    code=problem.code.code,
                )
                return
            settled = accepted.settled.get(0)
            _log.info(
                "orders cancelled on disconnect",
                market=market.symbol,
                command=settled.number if settled else accepted.numbers[0],
                session=session.session_id,
                user=session.user,
            )
        await self._store.disarm(session.session_id)
        self._swept()

    def _hold_off(self, error: StoreUnavailable) -> None:
        self._sweep_from = self._clock() + self._lifetime
        _log.info("cancel on disconnect holds off", error=str(error))

    def _expiry(self) -> int:
        return now() + int(self._lifetime * 1_000_000)

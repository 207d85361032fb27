"""Which Market owns a symbol, and all that an operator reads and writes of its markets.

Whoever writes holds, in this order: the operator's term, the claim's row, the market's in intake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gomatch.engine import TradingState
from gomatch.errors import RemovalUnfinished
from gomatch.messages.market import MarketDefinition
from gomatch.messages.trading_state import state_commands
from gomatch.store.claim_rows import (
    OBSERVE,
    check_owner,
    find_claim,
    lock_claim,
    locked_claim,
    may_claim,
    owner_of,
    read_claim,
    read_claimed_market,
)
from gomatch.store.market_rows import (
    check_identity,
    decoded,
    enter,
    insert_market,
    redefine_market,
    state_backlog_limit,
)
from gomatch.store.pool import PoolUser
from gomatch.store.records import (
    Acceptance,
    Claim,
    ClaimedMarket,
    ClaimOwner,
    Leftover,
)
from gomatch.store.removal import BATCHED, ClientIdWalk, remove_batch, remove_last, seal
from gomatch.store.terms import check_term, hold_term, recorded_term

MANAGED_BY = "operator"
"""``markets.managed_by`` of what an operator made."""

_INSERT = """
INSERT INTO claims (symbol, installation, namespace, name, uid, held, claimed_at, requested_state)
VALUES ($1, $2, $3, $4, $5, true, gomatch_now(), $6)
"""
_TAKE = """
UPDATE claims SET installation = $2, namespace = $3, name = $4, uid = $5, held = true,
       claimed_at = gomatch_now()
 WHERE symbol = $1
"""
_REQUEST = """
UPDATE claims SET requested_state = $2, resume = coalesce($3, resume) WHERE symbol = $1
"""
_REFRESH = """
UPDATE leases SET refresh_requested = refresh_requested + 1
 WHERE market_id = $1 AND refresh_requested <= refresh_done
RETURNING 1
"""
_NOTE = """
INSERT INTO leftovers AS l (installation, symbol, queue, cache, noted_at)
VALUES ($1, $2, $3, $4, gomatch_now())
    ON CONFLICT (installation, symbol) DO UPDATE
   SET queue = l.queue OR excluded.queue, cache = l.cache OR excluded.cache
"""
_FORGET = """
UPDATE leftovers SET queue = queue AND NOT $3, cache = cache AND NOT $4
 WHERE installation = $1 AND symbol = $2
"""
_FORGOTTEN = """
DELETE FROM leftovers WHERE installation = $1 AND symbol = $2 AND NOT queue AND NOT cache
"""
_LEFTOVERS = """
SELECT l.symbol, l.queue, l.cache, l.noted_at,
       EXISTS (SELECT FROM markets AS m LEFT JOIN claims AS c USING (symbol)
                WHERE m.symbol = l.symbol AND c.held IS NOT FALSE) AS served
  FROM leftovers AS l WHERE l.installation = $1 ORDER BY l.symbol
"""


class Claims(PoolUser):
    """All methods raise StoreUnavailable; those with a ``term`` also Fenced, when a later one of
    the installation has begun. Those of an ``owner`` and a symbol raise ClaimHeld or ClaimRetained
    when the claim is not, or no longer, that owner's, ForeignMarket for one of the command line,
    UnknownMarket, and RemovalUnfinished when the market is being removed."""

    async def begin_term(self, installation: str, term: int) -> None:
        """From now on nothing is written under an earlier one."""
        async with self._term(installation, term):
            pass

    async def recorded_term(self, installation: str) -> int:
        """The newest term that began; 0 when none did."""
        async with self._connection() as connection:
            return await recorded_term(connection, installation)

    async def claim(
        self,
        owner: ClaimOwner,
        definition: MarketDefinition,
        *,
        term: int,
        adopt: bool = False,
        state: TradingState = TradingState.RUNNING,
    ) -> Claim:
        """Make the definition's symbol the owner's, or find that it is: then nothing is written.

        A symbol that is free becomes a market, which begins in ``state``. A market that exists
        stays as it is. What the same Market by name has retained, or still holds, becomes its
        successor's; what another retained only with ``adopt``.

        Raises ClaimHeld, ClaimRetained, ForeignMarket, RemovalUnfinished, IdentityMismatch,
        ConfigurationError.
        """
        symbol = definition.symbol
        async with self._connection() as connection:
            found = await find_claim(connection, symbol)
            if found is not None and may_claim(symbol, found, owner, adopt=adopt):
                await check_term(connection, owner.installation, term)
                return read_claim(symbol, found, definition)
        async with self._term(owner.installation, term) as connection:
            created = False
            if found is None:
                created = await self._create(connection, owner, definition, state)
            found = await lock_claim(connection, symbol)
            if found is None:
                raise RemovalUnfinished(f"market {symbol} was removed just now: try again")
            if not may_claim(symbol, found, owner, adopt=adopt):
                check_identity(decoded(found["definition"]), definition)
                await connection.execute(
                    _TAKE, symbol, owner.installation, owner.namespace, owner.name, owner.uid
                )
                found = await find_claim(connection, symbol)
            return read_claim(symbol, found, definition, created=created)

    async def _create(
        self,
        connection: Any,
        owner: ClaimOwner,
        definition: MarketDefinition,
        state: TradingState,
    ) -> bool:
        """Returns False when the symbol was taken meanwhile."""
        # A new market is running by itself.
        after = () if state is TradingState.RUNNING else state_commands(state)
        record = await insert_market(connection, definition, managed_by=MANAGED_BY, after=after)
        if record is None:
            return False
        await connection.execute(
            _INSERT,
            record.symbol,
            owner.installation,
            owner.namespace,
            owner.name,
            owner.uid,
            state,
        )
        return True

    async def observe(
        self, installation: str, *, symbols: Sequence[str] = ()
    ) -> list[ClaimedMarket]:
        """All that is claimed by an installation, held or retained, and what there is of
        ``symbols``, whoever's: in one statement, by symbol."""
        rows = await self._fetch(
            OBSERVE + "WHERE c.installation = $1 OR m.symbol = ANY($2) ORDER BY m.symbol",
            installation,
            list(symbols),
        )
        return [read_claimed_market(row) for row in rows]

    async def observe_one(self, symbol: str) -> ClaimedMarket | None:
        """One market, whoever's; None when there is none."""
        row = await self._fetchrow(OBSERVE + "WHERE m.symbol = $1", symbol)
        return None if row is None else read_claimed_market(row)

    async def request_state(
        self,
        owner: ClaimOwner,
        symbol: str,
        state: TradingState,
        *,
        term: int,
        resume: str | None = None,
        backlog_limit: int,
    ) -> Acceptance:
        """Enter a change of state, and remember it and ``resume``, when one is given, as acted on:
        all or nothing. The last of what is accepted changes the state.

        ``backlog_limit`` (commands) holds for Running and Auction only. Raises BacklogFull.
        """
        limit = state_backlog_limit(state, backlog_limit)
        async with self._owned(owner, symbol, term) as (connection, market_id):
            await connection.execute(_REQUEST, symbol, state, resume)
            return await enter(connection, market_id, state_commands(state), backlog_limit=limit)

    async def configure(
        self,
        owner: ClaimOwner,
        definition: MarketDefinition,
        *,
        current: MarketDefinition,
        term: int,
        backlog_limit: int,
    ) -> Acceptance:
        """Replace the definition, seen to be ``current``, and enter it as a command: both or none.

        Raises ConfigurationError, IdentityMismatch, DefinitionChanged when it is another than
        ``current`` by now, and BacklogFull.
        """
        async with self._owned(owner, definition.symbol, term) as (connection, market_id):
            return await redefine_market(
                connection, market_id, definition, current=current, backlog_limit=backlog_limit
            )

    async def request_cache_refresh(self, owner: ClaimOwner, symbol: str, *, term: int) -> bool:
        """Ask the leader to write its book to Redis anew; seen at its next renewal. Returns False,
        and writes nothing, when that was asked for already and is not done."""
        async with self._owned(owner, symbol, term) as (connection, market_id):
            return await connection.fetchval(_REFRESH, market_id) is not None

    async def release(self, owner: ClaimOwner, symbol: str, *, term: int) -> None:
        """The Market is gone and its data stays, for who claims it again. Nothing happens when it
        was released already."""
        async with self._term(owner.installation, term) as connection:
            found = await locked_claim(connection, symbol)
            if owner_of(found) == owner and not found["held"]:
                return
            check_owner(symbol, found, owner)
            await connection.execute("UPDATE claims SET held = false WHERE symbol = $1", symbol)

    async def drop(self, owner: ClaimOwner, symbol: str, *, term: int, batch: int = 1_000) -> None:
        """Remove the market with all its rows, at most ``batch`` of them in a transaction, and
        free its symbol. Its matchers should have ended.

        Raises NotDrained, and nothing is removed, unless the market is closed and all that it
        accepted is applied. Once begun it is for anybody to finish: call it again. Nothing happens
        when the market is gone.
        """
        installation = owner.installation
        async with self._term(installation, term) as connection:
            found = await lock_claim(connection, symbol)
            if found is None:
                return
            market_id: int = found["market_id"]
            if not found["removing"]:
                check_owner(symbol, found, owner)
                await seal(connection, market_id, symbol)
        for table in BATCHED:
            gone = batch
            while gone == batch:
                async with self._term(installation, term) as connection:
                    gone = await remove_batch(connection, table, market_id, batch)
        walk = ClientIdWalk(market_id, batch)
        more = True
        while more:
            async with self._term(installation, term) as connection:
                more = await walk.step(connection)
        async with self._term(installation, term) as connection:
            await remove_last(connection, market_id, symbol)

    async def note_leftovers(
        self, installation: str, symbol: str, *, queue: bool = False, cache: bool = False, term: int
    ) -> None:
        """Remember what of a deleted market is still to be cleaned up, besides what is noted
        already."""
        async with self._term(installation, term) as connection:
            await connection.execute(_NOTE, installation, symbol, queue, cache)

    async def leftovers(self, installation: str) -> list[Leftover]:
        """By symbol."""
        rows = await self._fetch(_LEFTOVERS, installation)
        return [Leftover(**dict(row)) for row in rows]

    async def forget_leftovers(
        self, installation: str, symbol: str, *, queue: bool = False, cache: bool = False, term: int
    ) -> None:
        """These are cleaned up."""
        async with self._term(installation, term) as connection:
            await connection.execute(_FORGET, installation, symbol, queue, cache)
            await connection.execute(_FORGOTTEN, installation, symbol)

    @asynccontextmanager
    async def _term(self, installation: str, term: int) -> AsyncIterator[Any]:
        """A transaction under this term."""
        async with self._connection(writing=True) as connection, connection.transaction():
            await hold_term(connection, installation, term)
            yield connection

    @asynccontextmanager
    async def _owned(
        self, owner: ClaimOwner, symbol: str, term: int
    ) -> AsyncIterator[tuple[Any, int]]:
        """A transaction under this term in which the claim is, and stays, the owner's; with the
        market's id."""
        async with self._term(owner.installation, term) as connection:
            found = await locked_claim(connection, symbol)
            check_owner(symbol, found, owner)
            yield connection, found["market_id"]

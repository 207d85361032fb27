"""Who owns a symbol: claimed, contended, retained, claimed again, adopted."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from msgspec.structs import replace

from gomatch.engine import CancelAll, Configure, Reason, SetState, TradingState
from gomatch.errors import (
    ClaimHeld,
    ClaimRetained,
    ConfigurationError,
    Fenced,
    ForeignMarket,
    IdentityMismatch,
    UnknownMarket,
)
from gomatch.messages.codec import unpack_commands
from gomatch.store import ClaimOwner, Claims, Journal, MarketRecord, Markets
from tests.integration.store.owners import (
    ELSEWHERE,
    INSTALLATION,
    NEIGHBOUR,
    OWNER,
    RECREATED,
    TERM,
    versions,
)
from tests.integration.store.rows import DEFINITION

SYMBOL = DEFINITION.symbol


@pytest.fixture
def claims(pool: asyncpg.Pool) -> Claims:
    return Claims(pool)


async def test_a_free_symbol_becomes_a_market_of_its_claimer(
    claims: Claims, pool: asyncpg.Pool
) -> None:
    claim = await claims.claim(OWNER, DEFINITION, term=TERM)
    assert claim.created
    assert (claim.owner, claim.requested_state) == (OWNER, TradingState.RUNNING)
    assert claim.market == await Markets(pool).get(SYMBOL)
    assert (claim.market.definition, claim.market.managed_by) == (DEFINITION, "operator")
    (row,) = await Journal(pool).commands(claim.market.market_id, 1, 9)
    assert unpack_commands(row.bodies) == [Configure(DEFINITION.config())]


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.CLOSED])
async def test_a_new_market_never_trades_before_the_state_that_it_is_made_in(
    claims: Claims, pool: asyncpg.Pool, state: TradingState
) -> None:
    claim = await claims.claim(OWNER, DEFINITION, term=TERM, state=state)
    assert claim.requested_state is state
    (row,) = await Journal(pool).commands(claim.market.market_id, 1, 9)
    assert unpack_commands(row.bodies) == [
        Configure(DEFINITION.config()),
        *([CancelAll(0)] if state is TradingState.CLOSED else []),
        SetState(state, Reason.REQUESTED),
    ]


async def test_claiming_what_one_has_writes_nothing(claims: Claims, pool: asyncpg.Pool) -> None:
    first = await claims.claim(OWNER, DEFINITION, term=TERM)
    before = await versions(pool)
    again = await claims.claim(OWNER, replace(DEFINITION, taker_fee="0.1"), term=TERM)
    assert await versions(pool) == before
    assert not again.created
    assert again.market == first.market


async def test_of_many_that_want_a_symbol_one_gets_it(claims: Claims) -> None:
    contenders = (OWNER, NEIGHBOUR, ELSEWHERE, RECREATED)
    results = await asyncio.gather(
        *(claims.claim(one, DEFINITION, term=TERM) for one in contenders), return_exceptions=True
    )
    created = [result for result in results if not isinstance(result, BaseException)]
    # OWNER and RECREATED are one Market by name: the second takes over from the first.
    assert sum(claim.created for claim in created) == 1
    refused = [result for result in results if isinstance(result, BaseException)]
    assert refused
    assert all(isinstance(error, ClaimHeld) for error in refused)
    market = await claims.observe_one(SYMBOL)
    assert market is not None
    assert market.accepted == 1
    assert market.owner in [claim.owner for claim in created]


async def test_who_is_refused_learns_who_holds_the_symbol(
    claims: Claims, pool: asyncpg.Pool
) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    before = await versions(pool)
    for other in (ELSEWHERE, NEIGHBOUR):
        with pytest.raises(ClaimHeld, match="trading/btc-usdt of installation prod") as refused:
            await claims.claim(other, DEFINITION, term=TERM, adopt=True)
        held = refused.value
        assert (held.installation, held.namespace, held.name) == ("prod", "trading", "btc-usdt")
    assert await versions(pool) == before


async def test_a_market_recreated_takes_over_from_itself(claims: Claims) -> None:
    first = await claims.claim(OWNER, DEFINITION, term=TERM)
    second = await claims.claim(RECREATED, DEFINITION, term=TERM)
    assert (second.owner, second.created) == (RECREATED, False)
    assert second.market.market_id == first.market.market_id
    with pytest.raises(ClaimHeld):
        await claims.release(OWNER, SYMBOL, term=TERM)


async def test_what_was_retained_goes_to_the_same_market_by_name(claims: Claims) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    await claims.request_state(
        OWNER, SYMBOL, TradingState.CLOSED, term=TERM, resume="once", backlog_limit=9
    )
    await claims.release(OWNER, SYMBOL, term=TERM)
    retained = await claims.observe_one(SYMBOL)
    assert retained is not None
    assert (retained.owner, retained.held) == (OWNER, False)
    again = await claims.claim(RECREATED, DEFINITION, term=TERM)
    assert (again.owner, again.created) == (RECREATED, False)
    assert (again.requested_state, again.resume) == (TradingState.CLOSED, "once")
    assert again.claimed_at >= retained.claimed_at


@pytest.mark.parametrize("other", [NEIGHBOUR, ELSEWHERE])
async def test_what_another_retained_has_to_be_adopted(
    claims: Claims, pool: asyncpg.Pool, other: ClaimOwner
) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    await claims.release(OWNER, SYMBOL, term=TERM)
    before = await versions(pool)
    with pytest.raises(ClaimRetained, match="adopt") as refused:
        await claims.claim(other, DEFINITION, term=TERM)
    assert refused.value.name == OWNER.name
    assert await versions(pool) == before
    assert (await claims.claim(other, DEFINITION, term=TERM, adopt=True)).owner == other
    with pytest.raises(ClaimHeld):
        await claims.claim(OWNER, DEFINITION, term=TERM, adopt=True)


async def test_releasing_again_writes_nothing_and_ends_what_an_owner_may_do(
    claims: Claims, pool: asyncpg.Pool
) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    await claims.release(OWNER, SYMBOL, term=TERM)
    rows = await pool.fetch("SELECT xmin::text FROM claims")
    await claims.release(OWNER, SYMBOL, term=TERM)
    assert await pool.fetch("SELECT xmin::text FROM claims") == rows
    with pytest.raises(ClaimRetained):
        await claims.request_state(OWNER, SYMBOL, TradingState.HALTED, term=TERM, backlog_limit=9)


async def test_a_market_of_the_command_line_is_foreign(
    claims: Claims, market: MarketRecord
) -> None:
    for adopt in (False, True):
        with pytest.raises(ForeignMarket, match="command line"):
            await claims.claim(OWNER, DEFINITION, term=TERM, adopt=adopt)
    with pytest.raises(ForeignMarket):
        await claims.release(OWNER, market.symbol, term=TERM)
    observed = await claims.observe_one(market.symbol)
    assert observed is not None
    assert (observed.owner, observed.held, observed.managed_by) == (None, False, "cli")
    assert await claims.observe(INSTALLATION) == []


@pytest.mark.parametrize("released", [False, True])
async def test_another_tick_is_another_market(
    claims: Claims, pool: asyncpg.Pool, released: bool
) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    if released:
        await claims.release(OWNER, SYMBOL, term=TERM)
    before = await pool.fetch("SELECT * FROM claims")
    with pytest.raises(IdentityMismatch, match=r"tick_size 0\.01"):
        await claims.claim(RECREATED, replace(DEFINITION, tick_size="0.5"), term=TERM)
    assert await pool.fetch("SELECT * FROM claims") == before
    # The same size, written otherwise.
    await claims.claim(RECREATED, replace(DEFINITION, tick_size="0.010"), term=TERM)


async def test_a_definition_that_cannot_work_makes_no_market(claims: Claims) -> None:
    with pytest.raises(ConfigurationError, match="min_quantity"):
        await claims.claim(OWNER, replace(DEFINITION, min_quantity="0"), term=TERM)
    assert await claims.observe_one(SYMBOL) is None
    with pytest.raises(UnknownMarket):
        await claims.release(OWNER, SYMBOL, term=TERM)


async def test_an_operator_of_an_older_term_writes_nothing(
    claims: Claims, pool: asyncpg.Pool
) -> None:
    await claims.begin_term(INSTALLATION, TERM)
    held = replace(DEFINITION, base="ETH")
    await claims.claim(NEIGHBOUR, held, term=TERM)
    await claims.begin_term(INSTALLATION, TERM + 1)
    assert await claims.recorded_term(INSTALLATION) == TERM + 1
    before = await versions(pool)
    old, symbol = TERM, held.symbol
    for attempt in (
        claims.begin_term(INSTALLATION, old),
        claims.claim(NEIGHBOUR, held, term=old),
        claims.claim(OWNER, DEFINITION, term=old),
        claims.request_state(NEIGHBOUR, symbol, TradingState.HALTED, term=old, backlog_limit=9),
        claims.configure(NEIGHBOUR, held, current=held, term=old, backlog_limit=9),
        claims.request_cache_refresh(NEIGHBOUR, symbol, term=old),
        claims.release(NEIGHBOUR, symbol, term=old),
        claims.drop(NEIGHBOUR, symbol, term=old),
        claims.note_leftovers(INSTALLATION, symbol, queue=True, term=old),
        claims.forget_leftovers(INSTALLATION, symbol, queue=True, term=old),
    ):
        with pytest.raises(Fenced, match=f"term {TERM + 1}"):
            await attempt
    # A lock that was taken for the check may have left its mark; no row has a new version.
    after = await versions(pool)
    assert {table: [row[:2] for row in rows] for table, rows in after.items()} == {
        table: [row[:2] for row in rows] for table, rows in before.items()
    }
    # Terms of another installation are others.
    await claims.claim(ELSEWHERE, DEFINITION, term=1)


async def test_a_term_begins_only_after_what_is_being_written_under_the_one_before(
    claims: Claims, pool: asyncpg.Pool
) -> None:
    await claims.claim(OWNER, DEFINITION, term=TERM)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM intake FOR UPDATE")
        writing = asyncio.create_task(
            claims.request_state(OWNER, SYMBOL, TradingState.HALTED, term=TERM, backlog_limit=9)
        )
        await until_waiting(pool, 1)
        beginning = asyncio.create_task(claims.begin_term(INSTALLATION, TERM + 1))
        await until_waiting(pool, 2)
        assert not beginning.done()
    assert (await writing).last == 2
    await beginning


async def until_waiting(pool: asyncpg.Pool, count: int) -> None:
    async with asyncio.timeout(30):
        while (
            await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            < count
        ):
            await asyncio.sleep(0.01)

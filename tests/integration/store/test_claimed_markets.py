"""What an operator reads of its markets, and what it asks of them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from gomatch.engine import CancelAll, Configure, Reason, SetState, TradingState
from gomatch.errors import BacklogFull, ClaimHeld, DefinitionChanged, IdentityMismatch
from gomatch.messages.codec import unpack_commands
from gomatch.store import (
    Acceptance,
    Claims,
    Intake,
    Journal,
    MarketRecord,
    Markets,
    Snapshots,
)
from tests.integration.store.led import LedMarket
from tests.integration.store.owners import (
    ELSEWHERE,
    INSTALLATION,
    NEIGHBOUR,
    OWNER,
    RECREATED,
    TERM,
    versions,
)
from tests.integration.store.rows import DEFINITION, bodies

SYMBOL = DEFINITION.symbol
OTHERS = replace(DEFINITION, base="OTHERS")
LIMIT = 5


@pytest.fixture
def claims(pool: asyncpg.Pool) -> Claims:
    return Claims(pool)


@pytest.fixture
async def market(claims: Claims) -> MarketRecord:
    """In place of the command line's: `led` leads it."""
    return (await claims.claim(OWNER, DEFINITION, term=TERM)).market


async def commands(pool: asyncpg.Pool, market: MarketRecord, accepted: Acceptance) -> list[object]:
    rows = await Journal(pool).commands(market.market_id, accepted.first, accepted.last)
    return [command for row in rows for command in unpack_commands(row.bodies)]


async def flood(pool: asyncpg.Pool, market: MarketRecord) -> None:
    await Intake(pool).accept(
        market.market_id, bodies=bodies(LIMIT - 1), count=LIMIT - 1, backlog_limit=LIMIT
    )


async def no_reset(_connection: object) -> None:
    """As the pool of a program: a released connection costs no statement."""


class CountedConnection(asyncpg.Connection):  # type: ignore[misc]
    statements: list[str]

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        self.statements.append(query)
        return await super().fetch(query, *arguments, **options)

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        self.statements.append(query)
        return await super().execute(query, *arguments, **options)

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        self.statements.append(query)
        return await super().fetchrow(query, *arguments, **options)


async def test_fifty_markets_are_seen_by_one_statement(claims: Claims, database_url: str) -> None:
    wanted = [replace(DEFINITION, base=f"B{number:02}") for number in range(50)]
    for definition in wanted:
        await claims.claim(OWNER, definition, term=TERM)
    await claims.claim(ELSEWHERE, replace(DEFINITION, base="ELSEWHERE"), term=1)
    await claims.release(OWNER, wanted[7].symbol, term=TERM)
    statements: list[str] = []
    counted = type("Counted", (CountedConnection,), {"statements": statements})
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=1, connection_class=counted, reset=no_reset
    ) as pool:
        statements.clear()
        found = await Claims(pool).observe(INSTALLATION)
        assert len(statements) == 1
    assert [market.definition for market in found] == wanted
    assert [market.symbol for market in found if not market.held] == [wanted[7].symbol]


async def test_a_symbol_that_is_asked_for_is_seen_whoever_has_it(claims: Claims) -> None:
    for definition, owner in ((DEFINITION, OWNER), (OTHERS, ELSEWHERE)):
        await claims.claim(owner, definition, term=TERM)

    found = await claims.observe(INSTALLATION, symbols=[OTHERS.symbol, "FREE-USDT"])

    assert {each.symbol: each.owner for each in found} == {SYMBOL: OWNER, OTHERS.symbol: ELSEWHERE}


async def test_what_is_seen_of_a_market_follows_what_happens_to_it(
    claims: Claims, led: LedMarket, pool: asyncpg.Pool
) -> None:
    await led.commit(led.next(commands=1, events=4))
    await claims.request_state(
        OWNER, SYMBOL, TradingState.AUCTION, term=TERM, resume="r1", backlog_limit=LIMIT
    )
    await Snapshots(pool).write(
        led.market_id, applied=1, sequence=4, chain=led.position[2], image=b"image", time=1
    )
    (seen,) = await claims.observe(INSTALLATION)
    assert (seen.market_id, seen.symbol, seen.definition) == (led.market_id, SYMBOL, DEFINITION)
    assert (seen.owner, seen.held, seen.removing) == (OWNER, True, False)
    assert (seen.requested_state, seen.resume) == (TradingState.AUCTION, "r1")
    assert (seen.accepted, seen.applied, seen.sequence) == (2, 1, 4)
    assert (seen.epoch, seen.chain) == (led.epoch, led.position[2])
    assert (seen.state, seen.state_reason) == (TradingState.RUNNING, None)
    assert seen.lease_holder == "first"
    assert 30 < seen.lease_seconds <= 60
    assert (seen.refresh_pending, seen.image_sequence) == (False, 4)
    await pool.execute("UPDATE leases SET expires_at = gomatch_now() - 5000000")
    seen = (await claims.observe(INSTALLATION))[0]
    assert seen.lease_seconds <= -5
    await led.leadership.release(led.market_id, led.epoch)
    assert (await claims.observe(INSTALLATION))[0].lease_holder == ""
    assert await claims.observe("no such installation") == []
    assert await claims.observe_one("NO-SUCH") is None


async def test_a_state_is_asked_for_by_one_numbered_command_and_remembered(
    claims: Claims, market: MarketRecord, pool: asyncpg.Pool
) -> None:
    accepted = await claims.request_state(
        OWNER, SYMBOL, TradingState.HALTED, term=TERM, resume="r1", backlog_limit=LIMIT
    )
    assert (accepted.first, accepted.last) == (2, 2)
    assert await commands(pool, market, accepted) == [
        SetState(TradingState.HALTED, Reason.REQUESTED)
    ]
    accepted = await claims.request_state(
        OWNER, SYMBOL, TradingState.CLOSED, term=TERM, backlog_limit=LIMIT
    )
    assert await commands(pool, market, accepted) == [
        CancelAll(0),
        SetState(TradingState.CLOSED, Reason.REQUESTED),
    ]
    seen = await claims.observe_one(SYMBOL)
    assert seen is not None
    assert (seen.requested_state, seen.resume) == (TradingState.CLOSED, "r1")


@pytest.mark.parametrize(
    "state", [TradingState.CANCEL_ONLY, TradingState.HALTED, TradingState.CLOSED]
)
async def test_a_flooded_market_can_be_stopped(
    claims: Claims, market: MarketRecord, pool: asyncpg.Pool, state: TradingState
) -> None:
    await flood(pool, market)
    accepted = await claims.request_state(OWNER, SYMBOL, state, term=TERM, backlog_limit=LIMIT)
    assert accepted.first == LIMIT + 1


async def test_what_is_refused_for_a_flood_is_not_remembered(
    claims: Claims, market: MarketRecord, pool: asyncpg.Pool
) -> None:
    await flood(pool, market)
    before = await claims.observe_one(SYMBOL)
    with pytest.raises(BacklogFull):
        await claims.request_state(
            OWNER, SYMBOL, TradingState.AUCTION, term=TERM, resume="r1", backlog_limit=LIMIT
        )
    with pytest.raises(BacklogFull):
        await claims.configure(
            OWNER,
            replace(DEFINITION, taker_fee="0.1"),
            current=DEFINITION,
            term=TERM,
            backlog_limit=LIMIT,
        )
    after = await claims.observe_one(SYMBOL)
    assert before is not None
    assert after is not None
    assert (after.requested_state, after.resume) == (before.requested_state, before.resume)
    assert (after.accepted, after.definition) == (before.accepted, before.definition)


async def test_only_the_owner_asks_anything_of_a_market(
    claims: Claims, market: MarketRecord, pool: asyncpg.Pool
) -> None:
    for other in (NEIGHBOUR, ELSEWHERE, RECREATED):
        await claims.begin_term(other.installation, TERM)
        before = (await versions(pool))["intake"], await pool.fetch("SELECT * FROM claims")
        for attempt in (
            claims.request_state(
                other, SYMBOL, TradingState.HALTED, term=TERM, backlog_limit=LIMIT
            ),
            claims.configure(other, DEFINITION, current=DEFINITION, term=TERM, backlog_limit=LIMIT),
            claims.request_cache_refresh(other, SYMBOL, term=TERM),
            claims.release(other, SYMBOL, term=TERM),
            claims.drop(other, SYMBOL, term=TERM),
        ):
            with pytest.raises(ClaimHeld):
                await attempt
        after = (await versions(pool))["intake"], await pool.fetch("SELECT * FROM claims")
        assert after == before


async def test_a_changed_definition_is_stored_and_entered_as_a_command(
    claims: Claims, market: MarketRecord, pool: asyncpg.Pool
) -> None:
    changed = replace(DEFINITION, taker_fee="0.1")
    accepted = await claims.configure(
        OWNER, changed, current=DEFINITION, term=TERM, backlog_limit=LIMIT
    )
    assert await commands(pool, market, accepted) == [Configure(changed.config())]
    found = await Markets(pool).get(SYMBOL)
    assert found is not None
    assert found.definition == changed
    for wanted, error in (
        (replace(changed, maker_fee="0.1"), DefinitionChanged),
        (replace(changed, lot_size="1"), IdentityMismatch),
    ):
        with pytest.raises(error):
            await claims.configure(
                OWNER, wanted, current=DEFINITION, term=TERM, backlog_limit=LIMIT
            )
    assert (await Journal(pool).head(market.market_id)).accepted == accepted.last


async def test_a_refresh_that_is_asked_for_already_is_not_asked_for_again(
    claims: Claims, led: LedMarket
) -> None:
    assert await claims.request_cache_refresh(OWNER, SYMBOL, term=TERM)
    assert not await claims.request_cache_refresh(OWNER, SYMBOL, term=TERM)
    (seen,) = await claims.observe(INSTALLATION)
    assert seen.refresh_pending
    marks = await led.leadership.renew(led.market_id, led.epoch, 60)
    assert marks.refresh_cache
    await led.leadership.cache_refreshed(led.market_id, marks.refresh_mark)
    (seen,) = await claims.observe(INSTALLATION)
    assert not seen.refresh_pending
    assert await claims.request_cache_refresh(OWNER, SYMBOL, term=TERM)


async def test_leftovers_are_remembered_until_each_is_cleaned_up(claims: Claims) -> None:
    async def left() -> list[tuple[str, bool, bool, bool]]:
        found = await claims.leftovers(INSTALLATION)
        return [(each.symbol, each.queue, each.cache, each.served) for each in found]

    await claims.note_leftovers(INSTALLATION, "ETH-USDT", cache=True, term=TERM)
    await claims.note_leftovers(INSTALLATION, SYMBOL, queue=True, term=TERM)
    await claims.note_leftovers(INSTALLATION, SYMBOL, cache=True, term=TERM)
    await claims.note_leftovers("staging", SYMBOL, cache=True, term=1)
    assert await left() == [(SYMBOL, True, True, False), ("ETH-USDT", False, True, False)]
    await claims.claim(OWNER, DEFINITION, term=TERM)
    await claims.forget_leftovers(INSTALLATION, SYMBOL, queue=True, term=TERM)
    await claims.forget_leftovers(INSTALLATION, "ETH-USDT", cache=True, term=TERM)
    assert await left() == [(SYMBOL, False, True, True)]
    await claims.release(OWNER, SYMBOL, term=TERM)
    assert await left() == [(SYMBOL, False, True, False)]
    await claims.forget_leftovers(INSTALLATION, SYMBOL, cache=True, term=TERM)
    assert await left() == []
    assert len(await claims.leftovers("staging")) == 1

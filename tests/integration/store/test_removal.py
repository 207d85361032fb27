"""Removal of a market with all its rows: only when drained, in batches, and to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from gomatch.engine import TradingState
from gomatch.errors import (
    ClaimRetained,
    Fenced,
    NotDrained,
    RemovalUnfinished,
    StoreUnavailable,
    UnknownMarket,
)
from gomatch.messages.market import MarketDefinition
from gomatch.store import (
    ClaimKind,
    Claims,
    ClientClaim,
    Disconnects,
    Intake,
    MarketRecord,
    Markets,
    Snapshots,
)
from tests.integration.store.led import LedMarket
from tests.integration.store.owners import ELSEWHERE, INSTALLATION, NEIGHBOUR, OWNER, TERM
from tests.integration.store.rows import DEFINITION, bodies, order_row, trade_row

SYMBOL = DEFINITION.symbol
OTHER = MarketDefinition(base="ETH", quote="USDT", tick_size="0.01", lot_size="0.001")
BATCHES = 4
"""Of commands, each with a client id, an order and a trade."""
_TABLES = (
    "claims", "client_ids", "commands", "heads", "intake", "journal", "lease_backends", "leases",
    "markets", "orders", "snapshots", "trades",
)  # fmt: skip


@pytest.fixture
def claims(pool: asyncpg.Pool) -> Claims:
    return Claims(pool)


@pytest.fixture
async def market(claims: Claims) -> MarketRecord:
    return (await claims.claim(OWNER, DEFINITION, term=TERM)).market


@pytest.fixture
async def neighbour(
    claims: Claims, database_url: str, pool: asyncpg.Pool
) -> AsyncIterator[LedMarket]:
    """Another market, full of rows as well."""
    claim = await claims.claim(NEIGHBOUR, OTHER, term=TERM)
    led = LedMarket(database_url, claim.market.market_id)
    await led.lead("other")
    await trade(led, pool)
    yield led
    await led.close()


async def trade(led: LedMarket, pool: asyncpg.Pool) -> None:
    """Rows in every table."""
    await led.commit(led.next())
    for number in range(2, BATCHES + 2):
        claim = ClientClaim(1, ClaimKind.ORDER, f"{led.market_id}-{number}", 0, bytes(16))
        await Intake(pool).accept(
            led.market_id, bodies=bodies(1), count=1, claims=[claim], backlog_limit=99
        )
        await led.commit(
            led.next(
                new_orders=[order_row(led.market_id, number)],
                trades=[trade_row(led.market_id, number)],
            )
        )
        await Snapshots(pool).write(
            led.market_id,
            applied=number,
            sequence=number,
            chain=led.position[2],
            image=b"image",
            time=number,
        )


async def close(claims: Claims, led: LedMarket) -> None:
    accepted = await claims.request_state(
        OWNER, SYMBOL, TradingState.CLOSED, term=TERM, backlog_limit=99
    )
    count = accepted.last - accepted.first + 1
    await led.commit(replace(led.next(commands=count), state=TradingState.CLOSED))


async def rows(pool: asyncpg.Pool) -> dict[str, int]:
    return {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in _TABLES}


async def everything(pool: asyncpg.Pool) -> list[object]:
    return [await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in _TABLES]


async def test_a_drained_market_leaves_nothing_and_its_symbol_is_free(
    claims: Claims, led: LedMarket, neighbour: LedMarket, pool: asyncpg.Pool
) -> None:
    await trade(led, pool)
    disconnects = Disconnects(pool)
    await disconnects.arm("both", 1, [led.market_id, neighbour.market_id], 60)
    await close(claims, led)
    await claims.drop(OWNER, SYMBOL, term=TERM, batch=2)
    assert await claims.observe_one(SYMBOL) is None
    assert [market.symbol for market in await claims.observe(INSTALLATION)] == [OTHER.symbol]
    left = await rows(pool)
    assert left["claims"] == left["markets"] == left["intake"] == left["heads"] == 1
    assert left["orders"] == left["trades"] == left["client_ids"] == BATCHES
    for table in ("commands", "journal", "snapshots"):
        assert (
            await pool.fetchval(
                f"SELECT count(*) FROM {table} WHERE market_id <> $1", neighbour.market_id
            )
            == 0
        )
        assert left[table] > 0
    assert await pool.fetchval("SELECT market_ids FROM disconnects") == [neighbour.market_id]
    await claims.drop(OWNER, SYMBOL, term=TERM)
    await neighbour.commit(neighbour.next())
    again = await claims.claim(ELSEWHERE, DEFINITION, term=TERM)
    assert again.created
    assert again.market.market_id != led.market_id


@pytest.mark.parametrize("missing", ["close", "apply"])
async def test_a_market_that_is_not_drained_loses_nothing(
    claims: Claims, led: LedMarket, pool: asyncpg.Pool, missing: str
) -> None:
    await trade(led, pool)
    if missing == "apply":
        await close(claims, led)
        await Intake(pool).accept(led.market_id, bodies=bodies(3), count=3, backlog_limit=99)
    before = await everything(pool)
    why = "3 commands that are not applied" if missing == "apply" else "is running"
    with pytest.raises(NotDrained, match=why):
        await claims.drop(OWNER, SYMBOL, term=TERM)
    assert await everything(pool) == before
    await led.commit(led.next(commands=3 if missing == "apply" else 0))


async def test_a_market_of_which_nobody_knows_where_it_stands_loses_nothing(
    claims: Claims, led: LedMarket, pool: asyncpg.Pool
) -> None:
    await trade(led, pool)
    await close(claims, led)
    await pool.execute("DELETE FROM heads WHERE market_id = $1", led.market_id)
    before = await everything(pool)
    with pytest.raises(NotDrained, match="no counter or no head"):
        await claims.drop(OWNER, SYMBOL, term=TERM)
    assert await everything(pool) == before


async def test_data_that_is_retained_is_not_dropped(
    claims: Claims, led: LedMarket, pool: asyncpg.Pool
) -> None:
    await trade(led, pool)
    await close(claims, led)
    await claims.release(OWNER, SYMBOL, term=TERM)
    before = await everything(pool)
    with pytest.raises(ClaimRetained):
        await claims.drop(OWNER, SYMBOL, term=TERM)
    assert await everything(pool) == before


FAILING = """
CREATE FUNCTION failing() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the operator died here' USING ERRCODE = '57014'; END $$;
CREATE TRIGGER failing BEFORE DELETE ON {table} EXECUTE FUNCTION failing();
"""


@pytest.mark.parametrize(
    "table", ["commands", "journal", "orders", "snapshots", "client_ids", "markets"]
)
async def test_a_removal_that_was_cut_short_goes_on_from_there(
    claims: Claims, led: LedMarket, neighbour: LedMarket, pool: asyncpg.Pool, table: str
) -> None:
    await trade(led, pool)
    await close(claims, led)
    await pool.execute(FAILING.format(table=table))
    with pytest.raises(StoreUnavailable, match="died here"):
        await claims.drop(OWNER, SYMBOL, term=TERM, batch=2)
    seen = await claims.observe_one(SYMBOL)
    assert seen is not None
    assert (seen.removing, seen.held, seen.state) == (True, True, TradingState.CLOSED)
    assert seen in await claims.observe(INSTALLATION)
    # Nobody accepts, leads, commits or claims in between.
    with pytest.raises(UnknownMarket):
        await Intake(pool).accept(led.market_id, bodies=bodies(1), count=1, backlog_limit=99)
    with pytest.raises(UnknownMarket):
        await led.leadership.acquire(led.market_id, "late", 60)
    with pytest.raises(Fenced):
        await led.commit(led.next(commands=0))
    for one in (OWNER, NEIGHBOUR):
        with pytest.raises(RemovalUnfinished):
            await claims.claim(one, DEFINITION, term=TERM, adopt=True)
    with pytest.raises(RemovalUnfinished):
        await claims.request_state(OWNER, SYMBOL, TradingState.RUNNING, term=TERM, backlog_limit=99)
    await pool.execute(f"DROP TRIGGER failing ON {table}")
    # Who finishes it need not be who began.
    await claims.drop(ELSEWHERE, SYMBOL, term=TERM, batch=2)
    left = await rows(pool)
    assert left["markets"] == left["claims"] == left["intake"] == 1
    assert left["orders"] == left["trades"] == left["client_ids"] == BATCHES
    assert (await claims.claim(OWNER, DEFINITION, term=TERM)).created


async def test_nothing_is_accepted_between_the_check_and_the_removal(
    claims: Claims, led: LedMarket, pool: asyncpg.Pool
) -> None:
    """A command that gets in first keeps the market; one that comes later is refused."""
    await trade(led, pool)
    await close(claims, led)

    async def accept() -> int:
        accepted = await Intake(pool).accept(
            led.market_id, bodies=bodies(1), count=1, backlog_limit=99
        )
        return accepted.last

    results = await asyncio.gather(
        accept(), claims.drop(OWNER, SYMBOL, term=TERM), return_exceptions=True
    )
    if isinstance(results[1], NotDrained):
        head = await Markets(pool).head(SYMBOL)
        assert head is not None
        assert head.accepted == results[0]
    else:
        assert isinstance(results[0], UnknownMarket)
        assert results[1] is None

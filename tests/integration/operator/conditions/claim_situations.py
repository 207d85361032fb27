"""Symbols that are somebody else's, and what PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gomatch.engine import NewOrder, OrderType, Side
from gomatch.messages.market import MarketDefinition
from gomatch.store import ClaimOwner, Claims, Markets
from gomatch_operator import conditions as c
from tests.fixtures.operator_stage import BACKLOG_LIMIT, Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.situation import Situation
from tests.integration.operator.conditions.spec_situations import IN_STEP, STARTING

_NO_CONFLICT = Saying(c.CONFLICT, "False", "NoConflict")
_RETAINED = Saying(c.CONFLICT, "True", "RetainedByAnother")


async def two_of_a_symbol(stage: Stage) -> AsyncIterator[StagedMarket]:
    first = stage.market(drainTimeoutSeconds=1)
    await first.says(IN_STEP)
    yield stage.market(symbol=first.symbol)
    first.delete()


async def of_another_installation(stage: Stage) -> AsyncIterator[StagedMarket]:
    other = ClaimOwner(installation="another", namespace="far", name="away", uid="1")
    async with stage.database() as pool:
        claims = Claims(pool)
        await claims.claim(other, _definition("FAR-USDT"), term=1)
        yield stage.market(symbol="FAR-USDT")
        await claims.release(other, "FAR-USDT", term=1)


async def retained_by_another(stage: Stage) -> AsyncIterator[StagedMarket]:
    first = await _retained(stage)
    market = stage.market(symbol=first.symbol)
    yield market
    market.annotate(adopt=first.symbol)


async def of_another_tick(stage: Stage) -> AsyncIterator[StagedMarket]:
    first = await _retained(stage)
    market = stage.market(name=first.name, symbol=first.symbol, tickSize="0.1")
    yield market
    market.delete()
    await market.stage_until(market.gone, "gone")
    stage.market(name=first.name, symbol=first.symbol)


async def of_the_command_line(stage: Stage) -> AsyncIterator[StagedMarket]:
    async with stage.database() as pool:
        made = await Markets(pool).create(_definition("CLI-USDT"))
        yield stage.market(symbol="CLI-USDT")
        for table in ("commands", "leases", "heads", "intake", "markets"):
            await pool.execute(f"DELETE FROM {table} WHERE market_id = $1", made.market_id)


async def no_room_for_a_definition(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.says(IN_STEP)
    orders = [NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)] * BACKLOG_LIMIT
    await stage.accept(market.symbol, *orders)
    market.change(maxOpenOrders=7)
    yield market
    async with market.matcher():
        await market.says(IN_STEP)


async def _retained(stage: Stage) -> StagedMarket:
    """A Market that is gone and whose data is not."""
    market = stage.market(drainTimeoutSeconds=1)
    await market.says(IN_STEP)
    market.delete()
    await market.stage_until(market.gone, "gone")
    return market


def _definition(symbol: str) -> MarketDefinition:
    base, _, quote = symbol.partition("-")
    return MarketDefinition(base=base, quote=quote, tick_size="0.01", lot_size="0.001")


SITUATIONS = (
    Situation(
        name="a Market made before has the symbol",
        arrange=two_of_a_symbol,
        says=(
            Saying(c.CONFLICT, "True", "HeldByAnother"),
            Saying(c.READY, "False", "Conflict"),
            Saying(c.STORE_READY, "False", "NotClaimed"),
            Saying(c.PROGRESSING, "False", "Blocked"),
        ),
        afterwards=(_RETAINED,),
    ),
    Situation(
        name="a Market of another installation has the symbol",
        arrange=of_another_installation,
        says=(Saying(c.CONFLICT, "True", "HeldByAnother", "another"),),
        afterwards=(_RETAINED,),
    ),
    Situation(
        name="a Market of another name left its data",
        arrange=retained_by_another,
        says=(_RETAINED, Saying(c.READY, "False", "Conflict")),
        afterwards=(_NO_CONFLICT, IN_STEP, STARTING),
    ),
    Situation(
        name="the symbol was left with another tick size",
        arrange=of_another_tick,
        says=(
            Saying(c.STORE_READY, "False", "IdentityMismatch", "tick"),
            Saying(c.READY, "False", "IdentityMismatch", "tick"),
        ),
        afterwards=(IN_STEP, STARTING),
    ),
    Situation(
        name="the market was made by the command line",
        arrange=of_the_command_line,
        says=(Saying(c.CONFLICT, "True", "ForeignMarket", "CLI-USDT"),),
        afterwards=(_NO_CONFLICT, IN_STEP, STARTING),
    ),
    Situation(
        name="the matcher is too far behind for a new definition",
        arrange=no_room_for_a_definition,
        says=(
            Saying(c.STORE_READY, "False", "BacklogFull"),
            Saying(c.READY, "False", "StoreNotReady"),
        ),
        afterwards=(IN_STEP,),
    ),
)

"""A Market that trades, and is halted for each reason that there is."""

from __future__ import annotations

from gomatch.cli.market_commands import enter_state
from gomatch.engine import NewOrder, OrderType, Side, TradingState
from gomatch.store import Markets
from gomatch_operator import conditions as c
from gomatch_operator import names
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.story import Story

_BUG = 77
"""Lots; an order of so many breaks the engine."""
_TRADING = (
    Saying(c.READY, "True", "Trading"),
    Saying(c.MATCHER_AVAILABLE, "True", "Leading"),
    Saying(c.CACHE_READY, "True", "InStep"),
    Saying(c.PROGRESSING, "False", "Settled"),
    Saying(c.HALTED, "False", "NotHalted", "running"),
)
_NOT_HALTED = _TRADING[-1]
_REQUESTED = Saying(c.HALTED, "True", "Requested")
_MANUAL = Saying(c.HALTED, "True", "Manual")
_PRICE_BAND = Saying(c.HALTED, "True", "PriceBand")
_ENGINE_ERROR = Saying(c.HALTED, "True", "EngineError")


async def _tell(stage: Stage) -> None:
    market = stage.market(priceBand={"mode": "Halt", "fraction": "0.1"}, referencePrice="100")
    pod = await market.make_pods_ready()
    async with market.matcher(pod=pod, GOMATCH_TEST_BUG_AT=str(_BUG)):
        for saying in _TRADING:
            await market.says(saying)
        await market.stage_until(lambda: _role(market) == names.ROLE_LEADER, "a pod that leads")
        assert market.read()["status"]["leader"] == pod

        market.change(state="Halted")
        await market.says(_REQUESTED)
        market.change(state="Running")
        await market.says(_NOT_HALTED)

        async with stage.database() as pool:
            record = await Markets(pool).get(market.symbol)
            assert record is not None
            await enter_state(pool, record, TradingState.HALTED, backlog_limit=1_000)
        await market.says(_MANUAL)
        market.annotate(resume="once")
        await market.says(_NOT_HALTED)

        too_dear = [
            NewOrder(user, side, OrderType.LIMIT, 5, 15_000)
            for user, side in ((1, Side.SELL), (2, Side.BUY))
        ]
        await stage.accept(market.symbol, *too_dear)
        await market.says(_PRICE_BAND)
        market.annotate(resume="twice")
        await market.says(_NOT_HALTED)

        # One is passed over; the second within a minute halts the market.
        await stage.accept(
            market.symbol, *[NewOrder(1, Side.BUY, OrderType.LIMIT, _BUG, 9_500)] * 2
        )
        await market.says(_ENGINE_ERROR)
        # The Event of a turn is posted after the condition.
        await market.stage_until(lambda: market.told(_ENGINE_ERROR), "an Event")
    for halted in (_REQUESTED, _MANUAL, _PRICE_BAND, _ENGINE_ERROR):
        assert market.told(halted) == 1, halted


def _role(market: StagedMarket) -> str:
    [pod] = market.pods()
    role: str = pod["metadata"]["labels"].get(names.LABEL_ROLE, "")
    return role


TRADING = Story(tell=_tell, says=(*_TRADING, _REQUESTED, _MANUAL, _PRICE_BAND, _ENGINE_ERROR))

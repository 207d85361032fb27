"""When a run has heard all that belongs to it."""

from __future__ import annotations

import asyncio

import pytest

from gomatch.load.flow import FlowMarket
from gomatch.load.listening import Listening
from gomatch.load.plan import LoadPlan
from gomatch.load.statistics import Statistics

MARKET = FlowMarket(symbol="A-B", tick=1, lot=1, mid=50_000)


def listening(timeout: float) -> Listening:
    plan = LoadPlan(url="http://127.0.0.1:1", tokens=["t"], markets=[MARKET], timeout=timeout)
    return Listening(plan, Statistics())


async def test_a_run_hears_the_results_of_its_last_orders_however_late_they_are() -> None:
    heard = listening(timeout=60)
    (results,) = heard.results[0].values()
    results.acknowledged("A-B-5")
    results.acknowledged("A-B-4")
    settling = asyncio.create_task(heard.settle())
    results.saw("A-B-4")
    await asyncio.wait([settling], timeout=0.5)
    assert not settling.done()
    results.saw("A-B-5")
    async with asyncio.timeout(30):
        await settling


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_it_waits_for_no_results_where_none_will_come(acknowledged: bool) -> None:
    heard = listening(timeout=0.3)
    if acknowledged:
        heard.results[0]["A-B"].acknowledged("A-B-5")
    async with asyncio.timeout(30):
        await heard.settle()

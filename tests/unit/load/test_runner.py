"""What a run says when its venue is not there; whole runs are in tests/integration/cli."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gomatch.errors import ConfigurationError, ConnectionFailed, LoadError
from gomatch.load.flow import FlowMarket
from gomatch.load.plan import LoadPlan
from gomatch.load.runner import LoadRun
from gomatch.load.venue import load_markets

NOBODY = "http://127.0.0.1:1"
MARKET = FlowMarket(symbol="A-B", tick=1, lot=1, mid=50_000)
PLAN: dict[str, Any] = {"url": NOBODY, "tokens": ["t"], "markets": [MARKET], "timeout": 0.3}


async def test_a_venue_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(LoadError, match=f"cannot subscribe to {NOBODY}"):
        await LoadRun(LoadPlan(**PLAN)).run()
    with pytest.raises(ConnectionFailed, match=f"{NOBODY} cannot be reached.*--url"):
        await load_markets(NOBODY)


async def test_who_waits_for_the_beginning_hears_that_there_is_none() -> None:
    run = LoadRun(LoadPlan(**PLAN))
    running = asyncio.create_task(run.run())
    with pytest.raises(LoadError):
        await run.begun(running)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": []},
        {"markets": []},
        {"batch": 0},
        {"batch": 501},
        {"window": 0},
        {"orders": -1},
        {"seconds": 0},
        {"rate": -1},
    ],
)
def test_plans_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LoadPlan(**{**PLAN, **change})

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gomatch.errors import ConnectionFailed, LoadError
from gomatch.load.actions import Action, Verb
from gomatch.load.flow import FlowMarket
from gomatch.load.lobster import (
    Recorded,
    RecordedAmend,
    RecordedCancel,
    RecordedPlace,
    Recording,
)
from gomatch.load.pacing import Budget
from gomatch.load.plan import LoadPlan
from gomatch.load.replay import RecordingEncoder, Replay
from gomatch.load.replay_run import ReplayRun
from gomatch.load.senders import Reply
from gomatch.load.statistics import Statistics
from gomatch.load.tracking import FillTimes, Results
from tests.unit.load.doubles import ScriptedSender, problem

DOLLAR = 10**9
MARKET = FlowMarket(symbol="A-B", tick=10_000_000, lot=10**9, mid=10_000)


def place(order: int, *, time: int = 0, **changes: Any) -> RecordedPlace:
    fields: dict[str, Any] = {"buy": True, "price": 100 * DOLLAR, "size": 30, "order": order}
    return RecordedPlace(time=time, **{**fields, **changes})


def encoded(step: Recorded, market: FlowMarket = MARKET) -> tuple[Verb, dict[str, Any]]:
    action = RecordingEncoder(market, prefix="p-").action(step)
    return action.verb, msgspec.json.decode(b"{" + action.members + b"}")


def test_a_recorded_order_is_a_limit_order_under_an_id_of_its_own() -> None:
    assert encoded(place(7)) == (
        Verb.NEW,
        {
            "market": "A-B",
            "side": "buy",
            "type": "limit",
            "price": "100",
            "quantity": "30",
            "client_order_id": "p-7",
        },
    )


def test_an_aggressive_one_takes_at_once_and_may_trade_with_its_own_user() -> None:
    verb, order = encoded(place(0, buy=False, aggressive=True))
    assert (verb, order["side"], order["time_in_force"]) == (Verb.NEW, "sell", "ioc")
    assert order["self_trade_prevention"] == "none"
    assert "client_order_id" not in order


def test_changes_name_their_order() -> None:
    amend = encoded(RecordedAmend(time=1, order=7, quantity=20))
    assert amend == (Verb.AMEND, {"client_order_id": "p-7", "quantity": "20"})
    assert encoded(RecordedCancel(time=1, order=7)) == (Verb.CANCEL, {"client_order_id": "p-7"})


def test_prices_go_down_to_a_tick_and_sizes_to_a_lot_but_never_to_nothing() -> None:
    coarse = FlowMarket(symbol="A-B", tick=DOLLAR, lot=100 * 10**9, mid=100)
    _, order = encoded(place(1, price=100 * DOLLAR + 999_999, size=250), coarse)
    assert (order["price"], order["quantity"]) == ("100", "200")
    _, order = encoded(place(1, price=1, size=1), coarse)
    assert (order["price"], order["quantity"]) == ("1", "100")


class Bench:
    def __init__(self, sender: ScriptedSender, *steps: Recorded, opening: int = 0) -> None:
        self.sender = sender
        self.statistics = Statistics()
        self.fills = FillTimes()
        self.results = Results()
        self.budget = Budget(orders=0, seconds=60)
        self._recording = Recording(
            opening=tuple(place(order) for order in range(opening)),
            steps=steps,
            skipped={"halt": 2},
        )

    async def run(self, *, speed: float = 0.0, batch: int = 10) -> list[list[str]]:
        """What was sent, request by request: client order ids."""
        await Replay(
            self._recording,
            encoder=RecordingEncoder(MARKET, prefix=""),
            sender=self.sender,
            speed=speed,
            batch=batch,
            budget=self.budget,
            statistics=self.statistics,
            fills=self.fills,
            results=self.results,
        ).run()
        return [[_name(action) for action in actions] for actions in self.sender.sent]


def _name(action: Action) -> str:
    name: str = msgspec.json.decode(b"{" + action.members + b"}").get("client_order_id", "")
    return name


async def test_everything_is_sent_once_and_in_order_the_opening_book_first() -> None:
    bench = Bench(ScriptedSender(), *(place(order, time=10**12) for order in (8, 9)), opening=3)
    assert await bench.run(batch=2) == [["0", "1"], ["2", "8"], ["9"]]
    statistics = bench.statistics
    assert (statistics.sent, statistics.acknowledged, statistics.requests) == (5, 5, 3)
    assert statistics.skipped == {"halt": 2}
    assert bench.sender.closed


async def test_at_its_own_pace_nothing_is_sent_before_it_is_due() -> None:
    steps = [place(1), place(2, time=1_000), place(3, time=3_600_000_000)]
    bench = Bench(ScriptedSender(), *steps)
    running = asyncio.create_task(bench.run(speed=1.0))
    async with asyncio.timeout(10):
        while bench.statistics.acknowledged < 2:
            await asyncio.sleep(0.001)
    assert not running.done()
    bench.budget.stop()
    assert [name for request in await running for name in request] == ["1", "2"]


async def test_what_failed_is_sent_again_as_it_was() -> None:
    sender = ScriptedSender(ConnectionFailed("cut"), Reply([], "overloaded", 0.01))
    bench = Bench(sender, place(1), place(2))
    first, second, third = await bench.run()
    assert first == second == third == ["1", "2"]
    statistics = bench.statistics
    assert statistics.failed == {"cut": 1, "overloaded": 1}
    assert (statistics.sent, statistics.acknowledged, statistics.requests) == (2, 2, 3)


async def test_single_items_that_are_refused_are_not() -> None:
    bench = Bench(
        ScriptedSender(Reply([problem("unknown_order")])), RecordedCancel(time=0, order=1)
    )
    assert await bench.run() == [["1"]]
    assert bench.statistics.refused == {"unknown_order": 1}


async def test_fills_of_aggressive_orders_are_timed() -> None:
    bench = Bench(ScriptedSender(), place(1), place(0, aggressive=True))
    await bench.run()
    bench.fills.seen("A-B-1", 1e12, bench.statistics.fill)
    assert bench.statistics.fill.count == 0
    bench.fills.seen("A-B-2", 1e12, bench.statistics.fill)
    assert bench.statistics.fill.count == 1


def test_a_recording_goes_into_one_market() -> None:
    plan = LoadPlan(url="http://127.0.0.1:1", tokens=["t"], markets=[MARKET, MARKET])
    recording = Recording(opening=(), steps=())
    with pytest.raises(LoadError, match="--market"):
        ReplayRun(plan, recording, speed=1.0, prefix="")

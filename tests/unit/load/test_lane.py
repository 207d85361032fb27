from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action, Verb
from gomatch.load.flow import Kind, Operation
from gomatch.load.lane import Composer, Lane
from gomatch.load.pacing import Budget, PoissonPacer
from gomatch.load.senders import Reply
from gomatch.load.statistics import Statistics
from gomatch.load.tracking import FillTimes, OpenOrders, Results
from tests.unit.load.doubles import ScriptedSender, problem

REST = Operation(Kind.REST, b'"quantity":"1"', deep=True)
CROSS = Operation(Kind.CROSS, b'"quantity":"2"')
CANCEL = Operation(Kind.CANCEL, b"")


def members(action: Action) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(b"{" + action.members + b"}")
    return decoded


def test_a_cancel_gets_an_order_or_is_passed_over() -> None:
    orders = OpenOrders(seed=1)
    composer = Composer(iter([CANCEL, REST, CANCEL, CROSS]), orders)
    orders_then = composer.compose(1)
    orders.add("A-B-5")
    assert [action.verb for action in orders_then] == [Verb.NEW]
    cancel, cross = composer.compose(2)
    assert (cancel.verb, cancel.order, members(cancel)) == (Verb.CANCEL, "A-B-5", {"id": "A-B-5"})
    assert (cross.takes, cross.deep, orders_then[0].takes, orders_then[0].deep) == (
        True,
        False,
        False,
        True,
    )


def test_client_ids_are_all_different() -> None:
    composer = Composer(itertools.repeat(REST), OpenOrders(seed=1), client_ids="run-1-")
    ids = [members(action)["client_order_id"] for action in composer.compose(100)]
    assert len(set(ids)) == 100
    assert all(one.startswith("run-1-") for one in ids)


def test_who_is_alone_may_trade_with_itself() -> None:
    plain, alone = (
        Composer(iter([REST]), OpenOrders(seed=1), alone=alone).compose(1)[0]
        for alone in (False, True)
    )
    assert members(plain) == {"quantity": "1"}
    assert members(alone) == {"quantity": "1", "self_trade_prevention": "none"}


class Bench:
    def __init__(
        self, sender: ScriptedSender, *operations: Operation, orders: int = 10, batch: int = 5
    ) -> None:
        self.sender = sender
        self.statistics = Statistics()
        self.orders = OpenOrders(seed=1)
        self.fills = FillTimes()
        self.results = Results()
        self.until_seen = False
        self.budget = Budget(orders=orders, seconds=60)
        self._flow = itertools.cycle(operations or [REST])
        self._batch = batch

    async def run(self, timeout: float = 10) -> Statistics:
        await Lane(
            composer=Composer(self._flow, self.orders),
            open_orders=self.orders,
            fills=self.fills,
            sender=self.sender,
            pacer=PoissonPacer(rate=0, seed=1),
            budget=self.budget,
            batch=self._batch,
            statistics=self.statistics,
            results=self.results,
            until_seen=self.until_seen,
            timeout=timeout,
        ).run()
        return self.statistics


async def test_a_lane_sends_its_budget_in_batches_and_closes_its_sender() -> None:
    bench = Bench(ScriptedSender(), orders=12)
    statistics = await bench.run()
    assert [len(actions) for actions in bench.sender.sent] == [5, 5, 2]
    assert (statistics.sent, statistics.acknowledged, statistics.requests) == (12, 12, 3)
    assert statistics.acknowledgement.count == 3
    assert len(bench.orders) == 12
    assert bench.sender.closed


async def test_refused_items_are_counted_by_code_and_the_others_go_on() -> None:
    taken = ScriptedSender(Reply([problem("off_tick"), problem("off_tick"), problem("off_lot")]))
    statistics = await Bench(taken, orders=6, batch=3).run()
    assert statistics.refused == {"off_tick": 2, "off_lot": 1}
    assert (statistics.sent, statistics.acknowledged) == (6, 3)


async def test_what_got_no_answer_is_counted_and_never_sent_again() -> None:
    bench = Bench(ScriptedSender(ConnectionFailed("cut")), orders=10)
    statistics = await bench.run()
    assert statistics.failed == {"cut": 1}
    assert (statistics.sent, statistics.acknowledged) == (10, 5)


async def test_a_refused_request_makes_it_wait_as_long_as_it_is_told() -> None:
    bench = Bench(ScriptedSender(Reply([], "rate_limited", 3_600.0)), orders=10)
    running = asyncio.create_task(bench.run())
    while not bench.statistics.refused:
        await asyncio.sleep(0)
    assert bench.statistics.refused == {"rate_limited": 5}
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(bench.sender.sent) == 1
    bench.budget.stop()
    await running
    assert len(bench.sender.sent) == 1


async def test_orders_that_take_are_timed_until_their_fill() -> None:
    bench = Bench(ScriptedSender(), CROSS, orders=1, batch=1)
    statistics = await bench.run()
    bench.fills.seen("A-B-1", 1e12, statistics.fill)
    assert statistics.fill.count == 1
    assert len(bench.orders) == 0


async def test_with_results_the_next_request_waits_for_those_of_the_last() -> None:
    bench = Bench(ScriptedSender(), orders=10)
    bench.until_seen = True
    running = asyncio.create_task(bench.run())
    while not bench.statistics.acknowledged:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(bench.sender.sent) == 1
    bench.results.saw("A-B-5")
    bench.results.saw("A-B-10")
    statistics = await running
    assert (len(bench.sender.sent), statistics.failed) == (2, {})


async def test_results_that_do_not_come_are_counted() -> None:
    bench = Bench(ScriptedSender(), orders=5)
    bench.until_seen = True
    statistics = await bench.run(timeout=0.001)
    assert statistics.failed == {"no result on the stream in time": 1}

from __future__ import annotations

import asyncio

import pytest

from gomatch.errors import LoadError
from gomatch.load.histogram import LatencyHistogram
from gomatch.load.tracking import FillTimes, OpenOrders, Results


def test_each_open_order_is_taken_once() -> None:
    orders = OpenOrders(seed=1)
    names = {f"A-B-{number}" for number in range(1, 50)}
    for name in names:
        orders.add(name)
    assert {orders.take() for _ in names} == names
    assert orders.take() is None


def test_no_more_orders_are_remembered_than_allowed() -> None:
    orders = OpenOrders(seed=1)
    for number in range(20_001):
        orders.add(f"A-B-{number}")
    assert len(orders) == 20_000


@pytest.mark.parametrize("seen_first", [False, True])
def test_a_fill_is_timed_whichever_side_is_heard_first(seen_first: bool) -> None:
    times, into = FillTimes(), LatencyHistogram()
    if seen_first:
        times.seen("A-B-1", 10.5, into)
        times.sent("A-B-1", 10.0, into)
    else:
        times.sent("A-B-1", 10.0, into)
        times.seen("A-B-1", 10.5, into)
    assert (into.count, into.summary().maximum) == (1, 500)


def test_only_the_first_fill_of_an_order_counts() -> None:
    times, into = FillTimes(), LatencyHistogram()
    times.seen("A-B-1", 10.5, into)
    times.seen("A-B-1", 12.0, into)
    times.sent("A-B-1", 10.0, into)
    assert (into.count, into.summary().maximum) == (1, 500)


def test_fills_without_orders_do_not_grow_memory() -> None:
    times, into = FillTimes(), LatencyHistogram()
    for number in range(20_001):
        times.seen(f"A-B-{number}", 1.0, into)
    times.sent("A-B-0", 0.0, into)
    assert into.count == 0  # it was forgotten
    times.sent("A-B-1", 0.0, into)
    assert into.count == 1


async def test_a_result_that_came_before_is_not_waited_for() -> None:
    results = Results()
    results.saw("A-B-7")
    assert await results.until_seen("A-B-7", 0)
    assert await results.until_seen("A-B-5", 0)


async def test_a_later_result_ends_the_wait_for_all_before_it() -> None:
    results = Results()
    waiting = [asyncio.create_task(results.until_seen(f"A-B-{n}", 30)) for n in (3, 4, 9)]
    await asyncio.sleep(0)
    results.saw("A-B-4")
    assert await asyncio.gather(*waiting[:2]) == [True, True]
    assert not waiting[2].done()
    results.saw("A-B-9")
    assert await waiting[2]


async def test_a_result_that_does_not_come_is_given_up() -> None:
    assert not await Results().until_seen("A-B-1", 0.001)


async def test_what_is_no_order_id_is_an_error() -> None:
    with pytest.raises(LoadError, match="no order id"):
        Results().saw("nonsense")

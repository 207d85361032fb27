from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from gomatch.load.pacing import Budget, PoissonPacer


def test_a_budget_gives_out_no_more_than_it_has() -> None:
    budget = Budget(orders=250, seconds=60)
    assert [budget.take(100) for _ in range(4)] == [100, 100, 50, 0]
    assert budget.over


def test_without_a_count_only_time_ends_it() -> None:
    budget = Budget(orders=0, seconds=60)
    assert [budget.take(500) for _ in range(100)] == [500] * 100
    ended = Budget(orders=0, seconds=0)
    assert (ended.take(1), ended.over) == (0, True)


def test_the_time_runs_from_the_beginning_of_sending() -> None:
    budget = Budget(orders=0, seconds=0)
    assert budget.over
    later = Budget(orders=0, seconds=60)
    later.begin()
    assert not later.over


async def test_sleeping_ends_when_it_is_due_or_all_is_over() -> None:
    budget = Budget(orders=1, seconds=60)
    assert await budget.sleep_until(time.perf_counter() - 1)
    assert await budget.sleep_until(time.perf_counter() + 0.001)
    sleeping = asyncio.create_task(budget.sleep_until(time.perf_counter() + 3_600))
    await asyncio.sleep(0)
    budget.stop()
    assert not await sleeping
    assert not await Budget(orders=0, seconds=0.001).sleep_until(time.perf_counter() + 3_600)


def test_as_fast_as_it_goes_is_always_due() -> None:
    pacer = PoissonPacer(rate=0, seed=1)
    assert pacer.next_due() <= time.perf_counter()


def test_requests_come_at_random_with_the_mean_that_was_asked_for() -> None:
    pacer = PoissonPacer(rate=50, seed=3)
    due = [pacer.next_due() for _ in range(5_000)]
    assert due == sorted(due)
    assert (due[-1] - due[0]) / 4_999 == pytest.approx(1 / 50, rel=0.05)
    gaps = [after - before for before, after in pairwise(due)]
    assert max(gaps) > 4 * min(gaps)


def test_a_late_request_does_not_put_off_the_next() -> None:
    """Else a server that stalls would be asked less often, and hide its stall."""
    pacer = PoissonPacer(rate=1e6, seed=3)
    first = pacer.next_due()
    while time.perf_counter() < first + 0.01:
        pass
    assert pacer.next_due() < first + 0.005

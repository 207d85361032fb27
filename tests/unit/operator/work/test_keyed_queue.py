"""The keyed work queue: one entry a Market, serial for a key, changed Markets first, bounded."""

from __future__ import annotations

import asyncio

from gomatch_operator.market import MarketKey
from gomatch_operator.work import KeyedQueue

A, B, C = (MarketKey("trading", name) for name in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def taken(queue: KeyedQueue) -> MarketKey | None:
    """What a worker would get at once."""
    try:
        async with asyncio.timeout(0.01):
            return await queue.take()
    except TimeoutError:
        return None


async def test_many_changes_of_one_market_are_one_look() -> None:
    queue = KeyedQueue(limit=10)
    for _ in range(5):
        queue.add(A, urgent=True)
    assert queue.length == 1
    assert await taken(queue) == A
    assert await taken(queue) is None


async def test_a_changed_market_goes_before_the_backlog() -> None:
    queue = KeyedQueue(limit=10)
    queue.add(A, urgent=False)
    queue.add(B, urgent=False)
    queue.add(C, urgent=True)
    assert [await taken(queue), await taken(queue), await taken(queue)] == [C, A, B]


async def test_a_market_of_the_backlog_that_changes_moves_forward() -> None:
    queue = KeyedQueue(limit=10)
    queue.add(A, urgent=False)
    queue.add(B, urgent=False)
    queue.add(B, urgent=True)
    assert [await taken(queue), await taken(queue), await taken(queue)] == [B, A, None]


async def test_a_market_is_never_with_two_workers_and_is_looked_at_again_afterwards() -> None:
    queue = KeyedQueue(limit=10)
    queue.add(A, urgent=True)
    assert await taken(queue) == A
    queue.add(A, urgent=True)
    assert await taken(queue) is None
    queue.done(A)
    assert await taken(queue) == A
    queue.done(A)
    assert await taken(queue) is None


async def test_a_delayed_look_comes_when_it_is_due() -> None:
    clock = Clock()
    queue = KeyedQueue(limit=10, clock=clock)
    queue.add_after(A, 5.0)
    assert await taken(queue) is None
    clock.now += 5.0
    assert await taken(queue) == A


async def test_the_earlier_of_two_delays_counts_and_makes_one_look() -> None:
    clock = Clock()
    queue = KeyedQueue(limit=10, clock=clock)
    queue.add_after(A, 9.0)
    queue.add_after(A, 3.0)
    clock.now += 3.0
    assert await taken(queue) == A
    queue.done(A)
    clock.now += 9.0
    assert await taken(queue) is None


async def test_a_delay_that_is_due_while_the_market_is_worked_on_comes_after_it() -> None:
    clock = Clock()
    queue = KeyedQueue(limit=10, clock=clock)
    queue.add(A, urgent=True)
    assert await taken(queue) == A
    queue.add_after(A, 1.0)
    clock.now += 2.0
    assert await taken(queue) is None
    queue.done(A)
    assert await taken(queue) == A


async def test_pauses_after_failures_grow_and_end_with_success() -> None:
    clock = Clock()
    queue = KeyedQueue(limit=10, clock=clock)
    for attempt in range(12):
        assert 0 < queue.failed(A) <= min(60.0, 0.5 * 2**attempt)
    queue.succeeded(A)
    assert queue.failed(A) <= 0.5


async def test_a_pause_that_is_asked_for_is_kept_within_bounds() -> None:
    queue = KeyedQueue(limit=10)
    assert queue.failed(A, at_least=7.0) == 7.0
    assert queue.failed(B, at_least=3600.0) == 60.0


async def test_a_full_queue_refuses_and_counts() -> None:
    refused: list[None] = []
    queue = KeyedQueue(limit=2, refused=lambda: refused.append(None))
    for key in (A, B, C):
        queue.add(key, urgent=True)
    assert queue.length == 2
    assert len(refused) == 1


async def test_the_oldest_is_told_until_it_is_taken() -> None:
    clock = Clock()
    queue = KeyedQueue(limit=10, clock=clock)
    assert queue.oldest_seconds() == 0.0
    queue.add(A, urgent=False)
    clock.now += 4.0
    queue.add(B, urgent=True)
    assert queue.oldest_seconds() == 4.0
    assert await taken(queue) == B
    assert await taken(queue) == A
    assert queue.oldest_seconds() == 0.0


async def test_a_market_that_is_done_takes_no_room() -> None:
    queue = KeyedQueue(limit=1)
    queue.add(A, urgent=True)
    assert await taken(queue) == A
    queue.done(A)
    queue.add(B, urgent=True)
    assert await taken(queue) == B

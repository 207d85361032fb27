"""What a worker makes of the end of a reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from gomatch.errors import Fenced, StoreError
from gomatch_operator.errors import LeadershipLost
from gomatch_operator.market import MarketKey
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.work import KeyedQueue, Outcome, Workers

KEY = MarketKey("venue", "btc-usdt")
Reconcile = Callable[[MarketKey], Awaitable[Outcome]]


class Place:
    def __init__(self) -> None:
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.queue = KeyedQueue(limit=10, clock=lambda: self.now)
        self.times = 0

    async def work(self, *outcomes: Outcome | Exception) -> None:
        """One reconcile for each outcome."""
        left = list(outcomes)
        finished = asyncio.Event()

        async def reconcile(key: MarketKey) -> Outcome:
            self.times += 1
            outcome = left.pop(0)
            if not left:
                finished.set()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        workers = Workers(self.queue, reconcile, count=1, metrics=OperatorMetrics(self.registry))
        self.queue.add(KEY, urgent=True)
        running = asyncio.create_task(workers.run())
        try:
            async with asyncio.timeout(30):
                done, _ = await asyncio.wait(
                    [running, asyncio.create_task(finished.wait())],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if running in done:
                    running.result()
                # Until the worker waits for the next one.
                while not running.done() and self.counted < len(outcomes):
                    await asyncio.sleep(0)
                if running.done():
                    running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"gomatch_operator_{name}", labels) or 0.0

    @property
    def counted(self) -> float:
        return sum(
            self.sample("reconciles_total", result=result)
            for result in ("done", "incomplete", "failed")
        )

    async def waits(self, *, until: float) -> bool:
        """Whether the Market is looked at again by then."""
        self.now = until
        taking = asyncio.create_task(self.queue.take())
        await asyncio.sleep(0)
        taken = taking.done()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        return taken


@pytest.fixture
def place() -> Place:
    return Place()


async def test_one_that_is_done_is_left_until_something_changes(place: Place) -> None:
    await place.work(Outcome())

    assert place.sample("reconciles_total", result="done") == 1
    assert not await place.waits(until=10_000)


async def test_one_that_asks_for_another_look_gets_it(place: Place) -> None:
    await place.work(Outcome(again_in=5.0))

    assert not await place.waits(until=4.9)
    assert await place.waits(until=5.0)


async def test_one_that_is_incomplete_is_tried_again(place: Place) -> None:
    await place.work(Outcome(incomplete=True))

    assert place.sample("reconciles_total", result="incomplete") == 1
    assert not await place.waits(until=0.0)
    assert await place.waits(until=0.5)


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreError("away"), "store"), (KeyError("a fault of ours"), "internal_error")],
    ids=["of a server", "of ours"],
)
async def test_an_error_of_one_market_is_counted_and_stops_no_other(
    place: Place, error: Exception, code: str
) -> None:
    await place.work(error)

    assert place.sample("errors_total", code=code) == 1
    assert place.sample("reconciles_total", result="failed") == 1
    assert await place.waits(until=0.5)


@pytest.mark.parametrize("error", [LeadershipLost("lost"), Fenced("later")])
async def test_who_leads_no_more_stops_working(place: Place, error: Exception) -> None:
    with pytest.raises(type(error)):
        await place.work(error)

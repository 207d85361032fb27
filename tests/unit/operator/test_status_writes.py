"""What the watches tell is queued if a reconcile would look at it."""

from __future__ import annotations

from typing import Any

from gomatch_operator.market import Market, read_market
from gomatch_operator.watched import Watched
from gomatch_operator.watching.arrivals import Arrivals
from gomatch_operator.watching.watch import Heard
from gomatch_operator.work import KeyedQueue
from tests.fixtures.example_markets import PLAIN_SPEC, market_body

TOLD = {"state": "Running"}


def seen(generation: int, *, state: str = "Running", status: Any = None) -> Market:
    body = market_body({**PLAIN_SPEC, "state": state})
    body["metadata"]["generation"] = generation
    return read_market({**body, "status": status or {}})


async def test_a_change_during_a_write_of_status_is_news_when_the_watch_tells_of_it() -> None:
    """The answer to the write shows the change before the watch does."""
    watched, queue = Watched(), KeyedQueue(limit=10)
    arrivals = Arrivals(watched, queue, beat=lambda beat: None)
    arrivals(Heard(seen(1), listed=True, gone=False))
    key = await queue.take()
    queue.done(key)

    watched.keep_status(seen(2, state="Halted", status=TOLD))
    assert watched.markets[key].status == TOLD
    arrivals(Heard(seen(2, state="Halted", status=TOLD), listed=False, gone=False))

    assert queue.length == 1
    assert watched.markets[key].generation == 2


async def test_a_status_alone_is_no_news() -> None:
    watched, queue = Watched(), KeyedQueue(limit=10)
    arrivals = Arrivals(watched, queue, beat=lambda beat: None)
    arrivals(Heard(seen(1), listed=True, gone=False))
    queue.done(await queue.take())

    arrivals(Heard(seen(1, status=TOLD), listed=False, gone=False))

    assert queue.length == 0

"""What the generator remembers of its orders: targets for cancels, times until a fill, and how
far results were seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from gomatch.errors import LoadError
from gomatch.load.histogram import LatencyHistogram
from gomatch.messages.market import parse_order_id

_REMEMBERED = 20_000


class OpenOrders:
    """Ids of orders that probably rest, of one user in one market; never more than 20,000."""

    def __init__(self, *, seed: int) -> None:
        self._ids: list[str] = []
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, order: str) -> None:
        if len(self._ids) < _REMEMBERED:
            self._ids.append(order)

    def take(self) -> str | None:
        """Any one of them, which is then forgotten; None when there is none."""
        if not self._ids:
            return None
        at = int(self._random.random() * len(self._ids))
        self._ids[at], self._ids[-1] = self._ids[-1], self._ids[at]
        return self._ids.pop()


class FillTimes:
    """Times from sending an order to its first fill on the owner's stream. The fill may be seen
    before the answer that tells the order's id, so both sides wait for each other here."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._seen: dict[str, float] = {}

    def sent(self, order: str, at: float, into: LatencyHistogram) -> None:
        seen = self._seen.pop(order, None)
        if seen is not None:
            into.record(seen - at)
            return
        self._sent[order] = at
        _forget_oldest(self._sent)

    def seen(self, order: str, at: float, into: LatencyHistogram) -> None:
        sent = self._sent.pop(order, None)
        if sent is not None:
            into.record(at - sent)
        elif order not in self._seen:
            self._seen[order] = at
            _forget_oldest(self._seen)


class Results:
    """How far one user has seen the results of its orders in one market. Orders are accepted or
    rejected in the order of their numbers, so one number says it all."""

    def __init__(self) -> None:
        self._acknowledged = 0
        self._seen = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    @property
    def complete(self) -> bool:
        """Whether the results of all orders that were acknowledged were seen."""
        return self._seen >= self._acknowledged

    def acknowledged(self, order: str) -> None:
        """The venue has it: a result will come."""
        self._acknowledged = max(self._acknowledged, _number(order))

    def saw(self, order: str) -> None:
        """The order was accepted or rejected by the engine."""
        self._seen = max(self._seen, _number(order))
        for number in [number for number in self._waiting if number <= self._seen]:
            waiter = self._waiting.pop(number)
            if not waiter.done():
                waiter.set_result(None)

    async def until_seen(self, order: str, timeout: float) -> bool:
        """False when the result did not come within ``timeout`` seconds."""
        number = _number(order)
        if number <= self._seen:
            return True
        waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            self._waiting.pop(number, None)
            return False
        return True


def _number(order: str) -> int:
    parsed = parse_order_id(order)
    if parsed is None:
        raise LoadError(f"{order!r} is no order id")
    return parsed[1]


def _forget_oldest(times: dict[str, float]) -> None:
    if len(times) > _REMEMBERED:
        oldest: Iterator[str] = iter(times)
        del times[next(oldest)]

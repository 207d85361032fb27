"""Makes examples/lobster-sample-message.csv: a *simulated* flow in the LOBSTER message format.

Nothing in it is real market data. A small price-time book is kept so that executions speak of
orders that stand in it; the first part of the simulation is not written, so that the file, like
a real one, begins with a book already there.

    python -m bench.lobster_sample > examples/lobster-sample-message.csv
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

_UNSEEN = 300
_MESSAGES = 3_000
_OPENING_TIME = 34_200.0
_CENT = 100


class _Order:
    def __init__(self, number: int, side: int, price: int, size: int) -> None:
        self.number, self.side, self.price, self.size = number, side, price, size


class _Simulation:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._orders: list[_Order] = []
        self._number = 11_000_000
        self._mid = 1_000_000
        self._time = _OPENING_TIME

    def lines(self) -> Iterator[str]:
        while True:
            self._time += self._random.expovariate(50)
            self._mid += self._random.choice((-_CENT, 0, 0, 0, 0, 0, 0, 0, 0, _CENT))
            choice = self._random.random()
            if choice < 0.50 or len(self._orders) < 50:
                yield self._new()
            elif choice < 0.58:
                yield from self._execute()
            elif choice < 0.60:
                yield self._line(5, 0, 100, self._mid, self._random.choice((1, -1)))
            elif choice < 0.65:
                order = self._random.choice(self._orders)
                if order.size > 1:
                    part = order.size // 2
                    order.size -= part
                    yield self._line(2, order.number, part, order.price, order.side)
            else:
                order = self._random.choice(self._orders)
                self._orders.remove(order)
                yield self._line(3, order.number, order.size, order.price, order.side)

    def _new(self) -> str:
        side = self._random.choice((1, -1))
        opposite = self._best(-side)
        distance = _CENT * (1 + int(self._random.expovariate(0.2)))
        price = self._mid - side * distance
        if opposite is not None and side * (price - opposite.price) >= 0:
            price = opposite.price - side * _CENT
        self._number += self._random.randint(1, 400)
        order = _Order(self._number, side, price, self._random.choice((1, 10, 50, 100, 100, 200)))
        self._orders.append(order)
        return self._line(1, order.number, order.size, order.price, side)

    def _execute(self) -> Iterator[str]:
        side = self._random.choice((1, -1))
        wanted = self._random.choice((10, 50, 100, 300))
        while wanted and (order := self._best(side)) is not None:
            size = min(wanted, order.size)
            wanted -= size
            order.size -= size
            if not order.size:
                self._orders.remove(order)
            yield self._line(4, order.number, size, order.price, side)

    def _best(self, side: int) -> _Order | None:
        mine = [order for order in self._orders if order.side == side]
        return max(mine, key=lambda order: (side * order.price, -order.number), default=None)

    def _line(self, kind: int, number: int, size: int, price: int, side: int) -> str:
        return f"{self._time:.9f},{kind},{number},{size},{price},{side}"


def main() -> None:
    lines = _Simulation(seed=2012).lines()
    for _ in range(_UNSEEN):
        next(lines)
    for _ in range(_MESSAGES):
        sys.stdout.write(next(lines) + "\n")


if __name__ == "__main__":
    main()

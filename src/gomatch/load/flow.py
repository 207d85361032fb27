"""A seeded, realistic order flow: limit orders around a mid that walks at random, orders that
cross the spread, market orders and cancels.

The walk is drawn back to where it began, so that a long flow keeps to a bounded band of prices.
Orders are made as encoded JSON members: a sender only joins them into a request.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from gomatch.errors import ConfigurationError
from gomatch.messages.decimals import format_decimal

_STEP_CHANCE = 0.05
_WALK_RANGE = 200
"""Ticks from the start at which the walk always turns back."""
_MEAN_DISTANCE = 12.0
_DEEP = 25
"""Resting orders at least this many ticks from the mid are unlikely to be met by others."""
_CROSSING_DISTANCE = 8
_LARGEST_QUANTITY = 100


class Kind(Enum):
    REST = "rest"
    CROSS = "cross"
    MARKET = "market"
    CANCEL = "cancel"


class Operation(NamedTuple):
    """``members`` are the JSON members of a new order without braces; empty for a cancel, whose
    target only the sender knows. ``deep`` marks resting orders that are good targets."""

    kind: Kind
    members: bytes
    deep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMarket:
    """``tick`` and ``lot`` are in 1e-9 of quote and base; ``mid`` is where the walk begins, in
    ticks."""

    symbol: str
    tick: int
    lot: int
    mid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMix:
    """Shares of the operations; they add up to 1. ``crossing`` are limit orders that reach over
    the mid, ``market`` are market orders."""

    resting: float
    crossing: float
    market: float
    cancel: float

    def __post_init__(self) -> None:
        shares = (self.resting, self.crossing, self.market, self.cancel)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ConfigurationError("the shares of a flow must not be negative and must add to 1")


BENCH_MIX = FlowMix(resting=0.60, crossing=0.25, market=0.0, cancel=0.15)
"""The mix of all benchmarks."""

REALISTIC_MIX = FlowMix(resting=0.55, crossing=0.10, market=0.05, cancel=0.30)
"""Closer to a venue's day: most orders are cancelled rather than filled."""


class OrderFlow(Iterator[Operation]):
    """Endless; the same market, mix and seed always give the same operations."""

    def __init__(self, market: FlowMarket, mix: FlowMix, *, seed: int) -> None:
        if market.mid <= _WALK_RANGE:
            raise ConfigurationError(
                f"market {market.symbol}: the mid must be above {_WALK_RANGE} ticks"
            )
        self._random = random.Random(f"{seed}/{market.symbol}")
        self._market = market
        self._mix = mix
        self._mid = market.mid
        self._heads = {
            side: f'"market":"{market.symbol}","side":"{side}",'.encode()
            for side in ("buy", "sell")
        }
        self._quantities = [
            format_decimal(lots * market.lot).encode() for lots in range(_LARGEST_QUANTITY + 1)
        ]
        self._prices: dict[int, bytes] = {}

    def __next__(self) -> Operation:
        draw = self._random.random
        if draw() < _STEP_CHANCE:
            self._walk()
        choice = draw()
        mix = self._mix
        if choice < mix.cancel:
            return Operation(Kind.CANCEL, b"")
        choice -= mix.cancel
        buys = draw() < 0.5
        # Small quantities are common, large ones rare, as on real venues.
        quantity = 1 + int((_LARGEST_QUANTITY - 1) * draw() ** 2)
        if choice < mix.resting:
            distance = 1 + int(self._random.expovariate(1 / _MEAN_DISTANCE))
            price = self._mid - distance if buys else self._mid + distance
            members = self._limit(buys=buys, price=max(price, 1), quantity=quantity)
            return Operation(Kind.REST, members, distance >= _DEEP)
        if choice < mix.resting + mix.crossing:
            reach = _CROSSING_DISTANCE if buys else -_CROSSING_DISTANCE
            members = self._limit(buys=buys, price=self._mid + reach, quantity=quantity)
            return Operation(Kind.CROSS, members)
        return Operation(Kind.MARKET, self._market_order(buys=buys, quantity=quantity))

    def _walk(self) -> None:
        pull = (self._market.mid - self._mid) / _WALK_RANGE
        self._mid += 1 if self._random.random() < 0.5 + pull / 2 else -1

    def _limit(self, *, buys: bool, price: int, quantity: int) -> bytes:
        return b'%b"type":"limit","price":"%b","quantity":"%b"' % (
            self._heads["buy" if buys else "sell"],
            self._price_text(price),
            self._quantities[quantity],
        )

    def _price_text(self, price: int) -> bytes:
        text = self._prices.get(price)
        if text is None:
            text = self._prices[price] = format_decimal(price * self._market.tick).encode()
        return text

    def _market_order(self, *, buys: bool, quantity: int) -> bytes:
        return b'%b"type":"market","quantity":"%b"' % (
            self._heads["buy" if buys else "sell"],
            self._quantities[quantity],
        )

"""Seeded flows of commands for the engine's benchmark; every command does what it is meant to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from gomatch.engine import (
    BandMode,
    CancelOrder,
    Command,
    Engine,
    Event,
    MarketConfig,
    NewOrder,
    OrderType,
    SelfTrade,
    Side,
)

BUY, SELL = Side.BUY, Side.SELL
MID = 100_000
PLAIN = MarketConfig(
    max_quantity=1_000_000,
    max_price=1_000_000,
    self_trade=SelfTrade.NONE,  # the peers that are compared have other modes or none
)
"""What the peers can do: no band, no fees, no limits."""
FULL = replace(
    PLAIN,
    min_notional=10,
    band_mode=BandMode.HALT,
    band=900_000_000,
    reference_price=MID,
    maker_fee=-100_000,
    taker_fee=400_000,
    max_open_orders=1_000_000,
)
"""Everything on: a price band, fees, the least notional, a limit of open orders."""


@dataclass
class Flow:
    """``before`` builds the book and is not timed; ``commands`` are. Numbers run through both."""

    name: str
    before: list[Command]
    commands: list[Command]


@dataclass
class Writer:
    """Writes a flow with an engine beside it, to know what is open and what the best prices."""

    seed: int
    users: int = 100
    engine: Engine = field(default_factory=lambda: Engine(FULL))
    commands: list[Command] = field(default_factory=list)
    open: list[tuple[int, int]] = field(default_factory=list)
    """Number and user of the orders that were put to rest."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def add(self, command: Command) -> None:
        out: list[Event] = []
        self.engine.apply(len(self.commands) + 1, command, out)
        self.commands.append(command)

    def rest(self, side: Side, price: int) -> None:
        user = self.random.randint(1, self.users)
        self.add(NewOrder(user, side, OrderType.LIMIT, self.random.randint(1, 100), price))
        self.open.append((len(self.commands), user))

    def cross(self, quantity: int) -> None:
        """A limit order that reaches two ticks into the other side."""
        side = self.random.choice((BUY, SELL))
        best = self.engine.best(SELL if side is BUY else BUY)
        assert best is not None
        price = best + 2 if side is BUY else best - 2
        user = self.random.randint(1, self.users)
        self.add(NewOrder(user, side, OrderType.LIMIT, quantity, price))

    def cancel(self, position: int | None = None) -> None:
        """Cancel an open order, any of them or the one at ``position``."""
        while True:
            if position is None:
                at = self.random.randrange(len(self.open))
                self.open[at], self.open[-1] = self.open[-1], self.open[at]
                number, user = self.open.pop()
            else:
                number, user = self.open.pop(position)
            if self.engine.order(number) is not None:
                self.add(CancelOrder(user, number))
                return

    def stops(self, count: int) -> None:
        """Stops that wait far away, so that every trade has some to look at."""
        for n in range(count):
            side = BUY if n % 2 else SELL
            price = MID * 17 // 10 + n if side is BUY else MID * 3 // 10 - n
            self.add(NewOrder(1 + n % self.users, side, OrderType.STOP, 10, stop_price=price))

    def flow(self, name: str, before: int) -> Flow:
        return Flow(name, self.commands[:before], self.commands[before:])


def mix(count: int = 200_000, *, seed: int = 1, stops: int = 1_000) -> Flow:
    """60 % orders that rest within 100 ticks of their best price, 25 % that cross, 15 % cancels."""
    writer = Writer(seed)
    writer.stops(stops)
    writer.rest(BUY, MID - 1)
    writer.rest(SELL, MID + 1)
    before = len(writer.commands)
    draw = writer.random
    for _ in range(count):
        roll = draw.random()
        bid, ask = writer.engine.best(BUY), writer.engine.best(SELL)
        if roll < 0.60 or bid is None or ask is None:
            offset = draw.randint(1, 100)
            if draw.random() < 0.5:
                writer.rest(BUY, min(MID, (ask or MID + 1)) - offset)
            else:
                writer.rest(SELL, max(MID, (bid or MID - 1)) + offset)
        elif roll < 0.85:
            writer.cross(draw.randint(1, 100))
        else:
            writer.cancel()
    return writer.flow("mix", before)


def deep(orders: int = 100_000, count: int = 100_000, *, seed: int = 2) -> Flow:
    """``orders`` on four prices, then the mix's shares on those prices."""
    writer = Writer(seed)
    prices = ((BUY, MID - 2), (BUY, MID - 1), (SELL, MID + 1), (SELL, MID + 2))
    for _ in range(orders):
        writer.rest(*writer.random.choice(prices))
    before = len(writer.commands)
    for _ in range(count):
        roll = writer.random.random()
        if roll < 0.60:
            writer.rest(*writer.random.choice(prices))
        elif roll < 0.85:
            writer.cross(writer.random.randint(1, 100))
        else:
            writer.cancel()
    return writer.flow("deep levels", before)


def fronts(orders: int = 100_000, *, seed: int = 3) -> Flow:
    """One price with ``orders`` on it: the first half is cancelled from the front, with a match
    of one lot after every tenth cancel, then half of the rest from anywhere, likewise."""
    writer = Writer(seed)
    writer.rest(BUY, MID - 1)
    for _ in range(orders):
        writer.rest(SELL, MID + 1)
    before = len(writer.commands)
    front = list(reversed(writer.open[1:]))
    for n in range(orders // 2):
        number, user = front.pop()
        writer.add(CancelOrder(user, number))
        if n % 10 == 9:
            writer.add(NewOrder(7, BUY, OrderType.LIMIT, 1, MID + 1))
    writer.random.shuffle(front)
    writer.open = front
    for n in range(orders // 4):
        writer.cancel()
        if n % 10 == 9:
            writer.add(NewOrder(7, BUY, OrderType.LIMIT, 1, MID + 1))
    return writer.flow("cancels from the front", before)


def wide(levels: int = 100_000, count: int = 100_000, *, seed: int = 4) -> Flow:
    """``levels`` prices with one order each, then the mix's shares over all of them."""
    writer = Writer(seed)
    half = levels // 2
    places = [(BUY, MID - 1 - n) for n in range(half)] + [(SELL, MID + 1 + n) for n in range(half)]
    writer.random.shuffle(places)
    for side, price in places:
        writer.rest(side, price)
    before = len(writer.commands)
    for _ in range(count):
        roll = writer.random.random()
        bid, ask = writer.engine.best(BUY), writer.engine.best(SELL)
        assert bid is not None
        assert ask is not None
        if roll < 0.60:
            side = writer.random.choice((BUY, SELL))
            offset = writer.random.randint(1, half)
            writer.rest(side, max(1, ask - offset) if side is BUY else bid + offset)
        elif roll < 0.85:
            writer.cross(writer.random.randint(1, 100))
        else:
            writer.cancel()
    return writer.flow("100,000 levels", before)

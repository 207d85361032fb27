"""Long random command sequences in which everything collides: few users, few prices, and cancels
and amends that find an open order to cancel or amend."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol, TypeVar

from msgspec.structs import replace

from gomatch.engine import (
    NOTIONAL_LIMIT,
    AmendOrder,
    BandMode,
    CancelAll,
    CancelOrder,
    Command,
    Configure,
    Engine,
    Event,
    MarketConfig,
    NewOrder,
    OrderType,
    Reason,
    SelfTrade,
    SetState,
    Side,
    TimeInForce,
    TradingState,
)

Value = TypeVar("Value", NewOrder, AmendOrder, MarketConfig)

CONFIG = MarketConfig(max_price=10_000)
"""What the sequences begin with."""
MOST = 1_000
"""The usual ``max_quantity`` of the sequences; a seldom one is a few lots."""
FEW = 24
RANGES = ((94, 106), (94, 106), (98, 102), (1, 4), (50, 150))
"""Lowest and highest price of a sequence."""
FAR = (1, 3, 1_000, 1 << 31, 1 << 40, NOTIONAL_LIMIT // MOST, NOTIONAL_LIMIT // FEW)
"""Or prices at and next to these, up to the highest that the quantities allow."""
_AMENDED = ("quantity", "price", "display", "stop_price", "expiry")
_KINDS = ("new", "cancel", "amend", "all", "state", "configure")
_WEIGHTS = (600, 50, 250, 4, 50, 30)
_WEIGHTS_ELSE = (100, 50, 150, 4, 350, 30)
AFTER_RUNNING = (
    *(TradingState.RUNNING,) * 5,
    *(TradingState.AUCTION,) * 6,
    TradingState.CANCEL_ONLY,
    TradingState.CANCEL_ONLY,
    TradingState.HALTED,
    TradingState.CLOSED,
)
AFTER_ANOTHER = (
    *(TradingState.RUNNING,) * 6,
    *(TradingState.AUCTION,) * 3,
    TradingState.CANCEL_ONLY,
    TradingState.HALTED,
)


class OpenOrder(Protocol):
    """What a reference book's entry and an order's image have in common."""

    @property
    def number(self) -> int: ...
    @property
    def user(self) -> int: ...
    @property
    def type(self) -> OrderType: ...
    @property
    def quantity(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def stop_price(self) -> int: ...
    @property
    def expiry(self) -> int: ...


class Flow:
    """Draws one command after the other, each by what is open when it comes. The times that it
    thinks of are ten for every command."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._users = draw.choice((2, 3, 3, 6))
        self._far = draw.random() < 0.2
        self._low, self._high = draw.choice(RANGES)

    def first_config(self) -> MarketConfig:
        """A configuration to begin with."""
        config = CONFIG if self._draw.random() < 0.3 else self._config()
        return config if config.self_trade else replace(config, self_trade=SelfTrade.NONE)

    def command(
        self,
        number: int,
        opened: Sequence[OpenOrder],
        state: TradingState,
        config: MarketConfig,
    ) -> Command:
        """The command ``number``, now and then a hostile one, for a market with these orders."""
        draw = self._draw
        trades = state in (TradingState.RUNNING, TradingState.AUCTION)
        kind = draw.choices(_KINDS, _WEIGHTS if trades else _WEIGHTS_ELSE)[0]
        user = draw.randint(1, self._users)
        if kind == "state":
            states = AFTER_RUNNING if state is TradingState.RUNNING else AFTER_ANOTHER
            return SetState(
                draw.choice(states), draw.choice((Reason.REQUESTED, Reason.MANUAL, Reason.ADMIN))
            )
        if kind == "all":
            reason = draw.choice((Reason.USER, Reason.ADMIN, Reason.DISCONNECT))
            return CancelAll(draw.choice((user, user, user, 0)), reason)
        if kind == "configure":
            config = self._config() if draw.random() < 0.5 else self._changed(config)
            return Configure(spoiled(draw, config) if draw.random() < 0.2 else config)
        if kind == "new" or not opened:
            return self._new(number, user)
        target = draw.choice(opened)
        owner = target.user if draw.random() < 0.95 else draw.choice((user, 0))
        gone = draw.random() < 0.05
        if kind == "cancel":
            return CancelOrder(owner, max(1, number - 5) if gone else target.number)
        amend = self._amend(number, owner, target)
        if gone:
            amend = replace(amend, order=max(1, number - 5))
        return spoiled(draw, amend) if draw.random() < 0.05 else amend

    def _amend(self, number: int, user: int, target: OpenOrder) -> AmendOrder:
        draw = self._draw
        fields = ["quantity", "quantity", "quantity"]
        fields += ["price", "display"] if target.price else []
        fields += ["stop_price", "stop_price"] if target.stop_price else []
        fields += ["expiry"] if target.expiry else []
        wanted: dict[str, int] = {}
        for _ in range(draw.choice((1, 1, 1, 2))):
            field = draw.choice(fields if draw.random() < 0.97 else _AMENDED)
            wanted[field] = self._wanted(field, number, target)
        return AmendOrder(user, target.number, **wanted)

    def _wanted(self, field: str, number: int, target: OpenOrder) -> int:
        """A new value that is mostly possible."""
        draw = self._draw
        if draw.random() < 0.04:
            return draw.randint(0, 9)
        match field:
            case "quantity":
                less = target.quantity - draw.randint(0, target.remaining + 1)
                return draw.choice((less, target.quantity - 1, target.quantity + 3, less + 40))
            case "display":
                return draw.randint(1, target.quantity + 1)
            case "expiry":
                return number * 10 + draw.randint(-20, 400)
            case _:
                return self._price()

    def _new(self, number: int, user: int) -> NewOrder:
        draw = self._draw
        kind = draw.choices(tuple(OrderType), (64, 8, 11, 17))[0]
        limited = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
        force = draw.choices(tuple(TimeInForce), (54, 13, 15, 18))[0]
        if kind is OrderType.MARKET and draw.random() < 0.95:
            force = draw.choice((TimeInForce.IOC, TimeInForce.FOK))
        quantity = draw.choice((draw.randint(1, 30), draw.randint(1, 8)))
        plain = limited and force in (TimeInForce.GTC, TimeInForce.GTD)
        expiry = number * 10 + draw.randint(-5, 700) if force is TimeInForce.GTD else 0
        order = NewOrder(
            user if draw.random() < 0.99 else 0,
            draw.choice(tuple(Side)),
            kind,
            quantity,
            self._price() if limited else 0,
            force,
            self._price() if stop else 0,
            draw.randint(1, quantity) if plain and draw.random() < 0.4 else 0,
            expiry,
            draw.choice(tuple(SelfTrade)),
            plain and draw.random() < 0.15,
            f"c{number}" if draw.random() < 0.2 else "",
        )
        return spoiled(draw, order) if draw.random() < 0.03 else order

    def _price(self) -> int:
        draw = self._draw
        if self._far:
            return max(1, draw.choice(FAR) + draw.randint(-2, 2))
        return draw.randint(self._low, self._high)

    def _config(self) -> MarketConfig:
        draw = self._draw
        mode = draw.choice(tuple(BandMode))
        band = draw.choice((20_000_000, 50_000_000, 50_000_000, 500_000_000, 100_000_000_000))
        most = draw.choice((MOST, MOST, FEW))
        highest = NOTIONAL_LIMIT // most
        return MarketConfig(
            min_quantity=draw.choice((1, 1, 1, 1, 3)),
            max_quantity=most,
            max_price=highest
            if self._far
            else draw.choice((10_000, 10_000, 10_000, self._high - 1)),
            min_notional=draw.choice((0, 0, 0, 0, self._high * 3)),
            self_trade=draw.choice(tuple(SelfTrade)),
            band_mode=mode,
            band=band if mode else 0,
            reference_price=draw.choice((0, self._high - 1)),
            maker_fee=draw.choice((0, -200_000, 1_000_000)),
            taker_fee=draw.choice((0, 1_500_000)),
            max_open_orders=draw.choice((0, 0, 0, 6)),
        )

    def _changed(self, config: MarketConfig) -> MarketConfig:
        """``config`` with one or two fields changed."""
        other = self._config()
        names = self._draw.sample(config.__struct_fields__, self._draw.choice((1, 2)))
        return replace(config, **{name: getattr(other, name) for name in names})


def spoiled(draw: random.Random, value: Value) -> Value:
    """The same with one field that is hostile, or at least out of place."""
    name = draw.choice(value.__struct_fields__)
    old = getattr(value, name)
    if isinstance(old, bool):
        return replace(value, **{name: not old})
    if isinstance(old, IntEnum):
        return replace(value, **{name: draw.choice(tuple(type(old)))})
    if isinstance(old, int):
        hostile = (-1, 0, 1, 5, 2**30, 2**31, 10**12 + 1, 2**62, 2**63, 2**64, -(2**63), -(10**30))
        return replace(value, **{name: draw.choice(hostile)})
    return value


def commands(draw: random.Random, count: int) -> list[Command]:
    """``count`` commands for an engine that begins with CONFIG."""
    flow, engine = Flow(draw), Engine(CONFIG)
    made: list[Command] = []
    events: list[Event] = []
    for number in range(1, count + 1):
        engine.advance(number * 10, events)
        made.append(flow.command(number, engine.image().orders, engine.state, engine.config))
        engine.apply(number, made[-1], events)
        events.clear()
    return made

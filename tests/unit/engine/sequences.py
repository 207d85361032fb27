"""Long random command sequences in which everything collides: few users, few prices."""

from __future__ import annotations

import random
from enum import IntEnum
from typing import TypeVar

from msgspec.structs import replace

from gomatch.engine import (
    AmendOrder,
    BandMode,
    CancelAll,
    CancelOrder,
    Command,
    Configure,
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


def commands(draw: random.Random, count: int) -> list[Command]:
    """``count`` commands of every kind, now and then hostile ones."""
    return [_command(draw, number) for number in range(1, count + 1)]


def _command(draw: random.Random, number: int) -> Command:
    kind = draw.choices(
        ("new", "cancel", "amend", "all", "state", "configure"), (68, 9, 14, 2, 4, 3)
    )[0]
    user = draw.randint(1, 3)
    target = max(1, number - int(draw.expovariate(0.08)))
    match kind:
        case "cancel":
            return CancelOrder(draw.choice((user, user, 0)), target)
        case "amend":
            amend = AmendOrder(
                user,
                target,
                quantity=draw.choice((0, 0, draw.randint(1, 30), -1)),
                price=draw.choice((0, 0, _price(draw))),
                display=draw.choice((0, 0, 0, 2, 50)),
                stop_price=draw.choice((0, 0, 0, _price(draw))),
                expiry=draw.choice((0, 0, 0, number * 10 + draw.randint(-5, 200))),
            )
            return spoiled(draw, amend) if draw.random() < 0.1 else amend
        case "all":
            reason = draw.choice((Reason.USER, Reason.ADMIN, Reason.DISCONNECT))
            return CancelAll(draw.choice((user, user, 0)), reason)
        case "state":
            return SetState(
                draw.choice((*TradingState, TradingState.RUNNING, TradingState.AUCTION))
            )
        case "configure":
            config = _config(draw)
            return Configure(spoiled(draw, config) if draw.random() < 0.2 else config)
        case _:
            return _new(draw, number, user)


def _new(draw: random.Random, number: int, user: int) -> NewOrder:
    kind = draw.choices(tuple(OrderType), (70, 8, 10, 12))[0]
    limited = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
    force = draw.choices(tuple(TimeInForce), (60, 14, 14, 12))[0]
    if kind is OrderType.MARKET and draw.random() < 0.95:
        force = draw.choice((TimeInForce.IOC, TimeInForce.FOK))
    quantity = draw.randint(1, 20)
    plain = limited and force in (TimeInForce.GTC, TimeInForce.GTD)
    expiry = number * 10 + draw.randint(-5, 300) if force is TimeInForce.GTD else 0
    order = NewOrder(
        user if draw.random() < 0.99 else 0,
        draw.choice(tuple(Side)),
        kind,
        quantity,
        _price(draw) if limited else 0,
        force,
        _price(draw) if stop else 0,
        draw.randint(1, quantity) if plain and quantity > 0 and draw.random() < 0.3 else 0,
        expiry,
        draw.choice(tuple(SelfTrade)),
        plain and draw.random() < 0.15,
        f"c{number}" if draw.random() < 0.2 else "",
    )
    return spoiled(draw, order) if draw.random() < 0.05 else order


def spoiled(draw: random.Random, value: Value) -> Value:
    """The same with one field that is hostile, or at least out of place."""
    name = draw.choice(value.__struct_fields__)
    old = getattr(value, name)
    if isinstance(old, bool):
        return replace(value, **{name: not old})
    if isinstance(old, IntEnum):
        return replace(value, **{name: draw.choice(tuple(type(old)))})
    if name == "max_price":  # the reference tries every tick up to it
        return replace(value, **{name: draw.choice((-1, 0, 1, 100, 2**63, 2**64))})
    if isinstance(old, int):
        hostile = (-1, 0, 1, 5, 2**30, 2**31, 10**12 + 1, 2**62, 2**63, 2**64, -(2**63), -(10**30))
        return replace(value, **{name: draw.choice(hostile)})
    return value


def _price(draw: random.Random) -> int:
    return draw.randint(94, 106)


def _config(draw: random.Random) -> MarketConfig:
    mode = draw.choice(tuple(BandMode))
    return MarketConfig(
        min_quantity=draw.choice((1, 1, 3)),
        max_quantity=draw.choice((1_000, 15)),
        max_price=draw.choice((10_000, 104)),
        min_notional=draw.choice((0, 0, 300)),
        self_trade=draw.choice(tuple(SelfTrade)),
        band_mode=mode,
        band=draw.choice((20_000_000, 50_000_000)) if mode else 0,
        reference_price=draw.choice((0, 100)),
        maker_fee=draw.choice((0, -200_000, 1_000_000)),
        taker_fee=draw.choice((0, 1_500_000)),
        max_open_orders=draw.choice((0, 0, 6)),
    )

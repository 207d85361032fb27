"""The checker against the real engine: silent on what it does, loud on every change of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gomatch.audit.accounts import Accounts
from gomatch.engine import (
    Accepted,
    Amended,
    Cancelled,
    Engine,
    Event,
    Expired,
    Image,
    Rested,
    Traded,
)
from tests.unit.engine.sequences import CONFIG, commands

Stored = dict[int, tuple[int, int]]
Change = Callable[[list[Event], random.Random], "list[Event] | None"]
"""Makes another journal of a sound one; None when there is nothing in it to change."""

ANY: set[str] = set()
"""Of the kinds that a change may be found by."""


def flow(seed: int, count: int) -> tuple[Engine, list[Event]]:
    draw = random.Random(seed)
    engine = Engine(CONFIG)
    events: list[Event] = []
    for number, command in enumerate(commands(draw, count), 1):
        engine.advance(number * 10, events)
        engine.apply(number, command, events)
    return engine, events


def open_orders(image: Image) -> Stored:
    return {order.number: (order.filled, order.remaining) for order in image.orders}


def kinds(events: list[Event], stored: Stored) -> set[str]:
    found = set()
    accounts = Accounts(lambda kind, _: found.add(kind))
    for sequence, event in enumerate(events, 1):
        accounts.take(sequence, event)
    accounts.settle(len(events))
    accounts.finish(stored)
    return found


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 20))
def test_nothing_is_found_in_what_the_engine_does(seed: int, count: int, batch: int) -> None:
    """Also from an image in the middle."""
    draw = random.Random(seed)
    engine = Engine(CONFIG)
    found: list[tuple[str, str]] = []

    def report(kind: str, detail: str) -> None:
        found.append((kind, detail))

    accounts = Accounts(report)
    for number, command in enumerate(commands(draw, count), 1):
        events: list[Event] = []
        sequence = engine.sequence
        engine.advance(number * 10, events)
        engine.apply(number, command, events)
        for place, event in enumerate(events, sequence + 1):
            accounts.take(place, event)
        if number % batch == 0:
            accounts.settle(engine.sequence)
        if draw.random() < 0.03:
            accounts.finish(open_orders(engine.image()))
            accounts = Accounts(report, engine.image())
    accounts.finish(open_orders(engine.image()))
    assert found == []


def swap_fills(events: list[Event], draw: random.Random) -> list[Event] | None:
    """Two fills of one order after each other, with what remains of it put right."""
    places = []
    for place, (one, two) in enumerate(pairwise(events)):
        if (
            isinstance(one, Traded)
            and isinstance(two, Traded)
            and one.taker_order == two.taker_order
            and one.maker_order != two.maker_order
        ):
            swapped = (
                replace(two, taker_remaining=one.taker_remaining + one.quantity - two.quantity),
                replace(one, taker_remaining=two.taker_remaining),
            )
            places.append((place, swapped))
    if not places:
        return None
    place, swapped = draw.choice(places)
    return [*events[:place], *swapped, *events[place + 2 :]]


def another_price(events: list[Event], draw: random.Random) -> list[Event] | None:
    step = draw.choice((-1, 1, 5, -5, 1_000))
    return _one(events, draw, Traded, lambda trade: replace(trade, price=trade.price + step))


def another_quantity(events: list[Event], draw: random.Random) -> list[Event] | None:
    step = draw.choice((-1, 1, 3))
    return _one(events, draw, Traded, lambda one: replace(one, quantity=one.quantity + step))


def both_remain_more(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _one(
        events,
        draw,
        Traded,
        lambda one: replace(
            one, maker_remaining=one.maker_remaining + 1, taker_remaining=one.taker_remaining + 1
        ),
    )


def another_user(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _one(events, draw, Traded, lambda one: replace(one, maker_user=one.maker_user + 1))


def less_cancelled(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _one(events, draw, Cancelled, lambda one: replace(one, quantity=one.quantity - 1))


def rest_with_an_old_priority(events: list[Event], draw: random.Random) -> list[Event] | None:
    old = next((event.priority for event in events if isinstance(event, Rested)), 0)
    return _one(
        events, draw, Rested, lambda one: replace(one, priority=old) if one.priority > old else None
    )


def keep_the_priority_or_lose_it(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _one(
        events, draw, Amended, lambda one: replace(one, kept_priority=not one.kept_priority)
    )


def drop(events: list[Event], draw: random.Random) -> list[Event] | None:
    """Not a rest that a cancel follows at once: without it an order just came and went."""
    unseen = {
        id(one)
        for one, two in pairwise(events)
        if isinstance(one, Rested) and isinstance(two, Cancelled)
    }
    return _one(events, draw, _Quantities, lambda one: None if id(one) in unseen else ())


def double(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _one(events, draw, _Quantities, lambda one: (one, one))


_Quantities = (Accepted, Rested, Traded, Cancelled, Expired)


def _one(
    events: list[Event],
    draw: random.Random,
    kind: type | tuple[type, ...],
    change: Callable[[Any], Any],
) -> list[Event] | None:
    """One event of ``kind`` changed: into another, into several or none; not where ``change``
    gives None."""
    places = [
        (place, changed)
        for place, event in enumerate(events)
        if isinstance(event, kind) and (changed := change(event)) is not None
    ]
    if not places:
        return None
    place, changed = draw.choice(places)
    put = changed if isinstance(changed, tuple) else (changed,)
    return [*events[:place], *put, *events[place + 1 :]]


CHANGES: list[tuple[Change, set[str]]] = [
    (swap_fills, {"priority"}),
    (another_price, {"price", "uncross"}),
    (another_quantity, {"quantity", "trade_sides"}),
    (both_remain_more, {"quantity"}),
    (another_user, {"order_user"}),
    (less_cancelled, {"quantity"}),
    (rest_with_an_old_priority, {"priority"}),
    (keep_the_priority_or_lose_it, {"priority"}),
    (drop, ANY),
    (double, ANY),
]


@pytest.mark.parametrize(
    ("change", "expected"), CHANGES, ids=[change.__name__ for change, _ in CHANGES]
)
def test_every_change_of_what_the_engine_did_is_found(change: Change, expected: set[str]) -> None:
    draw = random.Random(7)
    made = 0
    for seed in range(50):
        engine, events = flow(seed, 150)
        stored = open_orders(engine.image())
        for _ in range(6):
            changed = change(events, draw)
            if changed is None:
                continue
            made += 1
            found = kinds(changed, stored)
            assert found if expected is ANY else found & expected, (seed, changed)
    assert made > 20

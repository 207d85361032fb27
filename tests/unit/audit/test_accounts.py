"""The checker of quantities and priority, on event lists made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gomatch.audit.accounts import Accounts
from gomatch.engine import Engine, Event, NewOrder, OrderType, SelfTrade, Side
from tests.unit.audit.flaws import (
    BUY,
    FLAWS,
    SELL,
    SOUND,
    Flaw,
    accepted,
    cancelled,
    rested,
    resting,
    traded,
)


def findings(
    events: Sequence[Event],
    stored: dict[int, tuple[int, int]] | None = None,
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    accounts = Accounts(lambda kind, detail: found.append((kind, detail)))
    for sequence, event in enumerate(events, 1):
        accounts.take(sequence, event)
    accounts.settle(len(events))
    if stored is not None:
        accounts.finish(stored)
    return found


def test_nothing_is_found_in_a_sound_journal() -> None:
    assert findings(SOUND, {}) == []


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: f"{flaw.kind}: {flaw.what}")
def test_each_flaw_is_found(flaw: Flaw) -> None:
    found = findings(flaw.events, {} if flaw.kind == "open_orders" else None)
    assert flaw.kind in {kind for kind, _ in found}, found


def test_what_is_stored_as_open_must_be_what_the_events_leave_open() -> None:
    events = [
        *resting(1, SELL, 5, 100, 1),
        *resting(2, SELL, 5, 100, 2),
        accepted(3, BUY, 2, 100),
        traded(1, 3, BUY, 100, 2, (3, 0)),
    ]
    assert findings(events, {1: (2, 3), 2: (0, 5)}) == []
    assert findings(events, {1: (2, 2), 2: (0, 5)}) == [
        (
            "open_orders",
            "order 1: by its events (filled, remaining) is (2, 3), stored is (2, 2)",
        )
    ]
    assert "order 2" in findings(events, {1: (2, 3)})[0][1]
    assert "order 3" in findings(events, {1: (2, 3), 2: (0, 5), 3: (2, 0)})[0][1]


def test_one_flaw_is_told_once() -> None:
    """What the journal says is taken from then on, so that the next flaw shows."""
    events = [
        *resting(1, SELL, 9, 100, 1),
        accepted(2, BUY, 2, 100),
        traded(1, 2, BUY, 100, 2, (6, 0)),
        accepted(3, BUY, 2, 100),
        traded(1, 3, BUY, 100, 2, (4, 0)),
        cancelled(1, SELL, 4),
    ]
    assert [kind for kind, _ in findings(events)] == ["quantity", "sides_differ"]


def test_it_goes_on_from_an_image() -> None:
    engine = Engine()
    events: list[Event] = []
    for number, price in enumerate((100, 101, 100), 1):
        order = NewOrder(2, Side.SELL, OrderType.LIMIT, 5, price, self_trade=SelfTrade.NONE)
        engine.apply(number, order, events)
    engine.apply(4, NewOrder(1, Side.BUY, OrderType.STOP, 1, stop_price=100), events)
    image = engine.image()
    stored = {1: (0, 5), 2: (0, 5), 3: (0, 5), 4: (0, 1)}

    def after(*more: Event) -> set[str]:
        found: list[str] = []
        accounts = Accounts(lambda kind, _: found.append(kind), image)
        if not more:
            accounts.finish(stored)
        for sequence, event in enumerate(more, engine.sequence + 1):
            accounts.take(sequence, event)
        return set(found)

    taker = accepted(5, BUY, 2, 100)
    assert after() == set()
    assert after(taker, traded(1, 5, BUY, 100, 2, (3, 0))) == set()
    assert after(taker, traded(3, 5, BUY, 100, 2, (3, 0))) == {"priority"}
    assert after(traded(1, 4, BUY, 100, 1, (4, 0))) == {"trade_state"}
    assert after(accepted(4, BUY, 2, 99)) == {"order_number"}
    assert after(accepted(5, BUY, 2, 99), rested(5, BUY, 99, 2, 3)) == {"priority"}

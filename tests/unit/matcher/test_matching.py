"""What the matcher hands on is complete: committed state, rows and images follow from it alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import (
    BandMode,
    CancelAll,
    Command,
    Configure,
    Engine,
    MarketConfig,
    NewOrder,
    OrderType,
    Reason,
    SetState,
    Side,
    TimeInForce,
    Traded,
    TradingState,
)
from gomatch.errors import EngineFault
from gomatch.messages.codec import GENESIS_CHAIN, pack_image, unpack_events
from gomatch.store.records import OrderStatus
from gomatch_matcher.committed import CommittedState
from gomatch_matcher.matched import MatchedBatch, Segment, Taken
from gomatch_matcher.matching import Matching
from tests.unit.matcher.flows import random_commands


def run(seed: int, count: int, batch: int) -> tuple[Matching, CommittedState, list[MatchedBatch]]:
    commands = random_commands(seed, count)
    matching = Matching(Engine(), market_id=1, epoch=4, chain=GENESIS_CHAIN)
    committed = CommittedState(Engine(), epoch=4, chain=GENESIS_CHAIN)
    batches = []
    for start in range(0, count, batch):
        taken = Taken([Segment(start + 1, commands[start : start + batch], start)])
        matched = matching.match(taken, now=(start + 1) * 10)
        assert matched is not None
        committed.advance(matched)
        batches.append(matched)
    return matching, committed, batches


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 150), st.sampled_from([1, 7, 50]))
def test_the_committed_state_equals_the_engine_after_any_batches(
    seed: int, count: int, batch: int
) -> None:
    matching, committed, batches = run(seed, count, batch)
    fresh = CommittedState(matching.engine, epoch=4, chain=batches[-1].chain)
    assert committed.orders == fresh.orders
    assert committed.places == fresh.places
    assert committed.bids == fresh.bids
    assert committed.asks == fresh.asks
    assert committed.summary == fresh.summary
    assert asyncio.run(committed.image()) == pack_image(matching.engine.image())


@pytest.mark.parametrize("count", [1, 15, 16, 12_000, 70_000])
async def test_an_image_of_any_size_is_of_one_moment(count: int) -> None:
    """Commits go on while it is put together."""
    matching = Matching(Engine(), market_id=1, epoch=4, chain=GENESIS_CHAIN)
    committed = CommittedState(Engine(), epoch=4, chain=GENESIS_CHAIN)

    def enter(first: int, commands: Sequence[Command]) -> None:
        matched = matching.match(Taken([Segment(first, commands, 1)]), now=1)
        if matched is not None:
            committed.advance(matched)

    resting = [
        NewOrder(1, Side.SELL, OrderType.LIMIT, 5, 100 + number % 500) for number in range(count)
    ]
    enter(1, resting)
    expected = pack_image(matching.engine.image())
    packing = asyncio.create_task(committed.image())
    await asyncio.sleep(0)
    enter(count + 1, [CancelAll(1), NewOrder(2, Side.BUY, OrderType.LIMIT, 5, 90)])
    assert await packing == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 150), st.sampled_from([1, 7, 50]))
def test_rows_add_up_to_what_happened(seed: int, count: int, batch: int) -> None:
    matching, _, batches = run(seed, count, batch)
    orders: dict[int, tuple[object, ...]] = {}
    for matched in batches:
        for row in matched.new_orders:
            assert row[1] not in orders
            orders[row[1]] = (row[6 + 5], row[12], row[13], row[15])
        for update in matched.order_updates:
            orders[update[0]] = (update[5], update[6], update[7], update[9])
    open_now = {order.number: order for order in matching.engine.image().orders}
    for number, (quantity, filled, remaining, status) in orders.items():
        live = open_now.get(number)
        if live is None:
            assert remaining == 0 or status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
            assert status not in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
        else:
            assert (quantity, filled, remaining) == (live.quantity, live.filled, live.remaining)
    trades = [trade for matched in batches for trade in matched.trades]
    events = [e for matched in batches for e in unpack_events(matched.applied.packed)]
    traded = [(n, e) for n, e in enumerate(events, 1) if isinstance(e, Traded)]
    assert [(trade[1], trade[8]) for trade in trades] == [(n, e.quantity) for n, e in traded]


def test_sequences_and_chain_follow_without_a_gap() -> None:
    _, _, batches = run(3, 120, 7)
    for before, after in itertools.pairwise(batches):
        assert after.previous_sequence == before.applied.last_sequence
        assert after.previous_chain == before.chain
        assert after.first_number == before.applied.applied + 1


def test_nothing_to_do_makes_no_batch() -> None:
    matching = Matching(Engine(), market_id=1, epoch=1, chain=GENESIS_CHAIN)
    assert matching.match(Taken(()), now=5) is None


def test_an_engine_that_raises_names_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    matching = Matching(Engine(), market_id=1, epoch=1, chain=GENESIS_CHAIN)
    commands = random_commands(1, 10)
    sound = Engine.apply_batch

    def apply_batch(self: Engine, first: int, commands: Any, out: Any) -> None:
        if first == 6:
            raise ZeroDivisionError("planted")
        sound(self, first, commands, out)

    monkeypatch.setattr(Engine, "apply_batch", apply_batch)
    with pytest.raises(EngineFault) as raised:
        matching.match(Taken([Segment(1, commands[:5], 0), Segment(6, commands[5:], 0)]), now=1)
    assert raised.value.number == 6
    assert raised.value.last == 10


def test_a_skipped_command_is_journaled_as_an_internal_error() -> None:
    matching = Matching(Engine(), market_id=1, epoch=1, chain=GENESIS_CHAIN)
    commands = random_commands(1, 3)
    matched = matching.match(Taken([Segment(1, commands, 0)]), now=1, skip=frozenset({2}))
    assert matched is not None
    assert matched.skipped == (2,)
    assert matched.applied.applied == 3


def test_a_batch_carries_the_reason_of_its_last_change_of_state() -> None:
    band = MarketConfig(band_mode=BandMode.HALT, band=100_000_000, reference_price=100)

    def limit(side: Side, price: int) -> NewOrder:
        return NewOrder(1 if side is Side.SELL else 2, side, OrderType.LIMIT, 5, price)

    market_order = NewOrder(2, Side.BUY, OrderType.MARKET, 9, 0, TimeInForce.IOC)
    matching = Matching(Engine(), market_id=1, epoch=1, chain=GENESIS_CHAIN)
    steps: list[tuple[list[Command], Reason | None]] = [
        ([Configure(MarketConfig()), limit(Side.SELL, 100), limit(Side.SELL, 120)], None),
        ([Configure(band), market_order], Reason.PRICE_BAND),
        ([CancelAll(1)], None),
        ([SetState(TradingState.HALTED, Reason.MANUAL)], Reason.MANUAL),
        (
            [
                SetState(TradingState.RUNNING, Reason.MANUAL),
                SetState(TradingState.HALTED, Reason.ENGINE_ERROR),
            ],
            Reason.ENGINE_ERROR,
        ),
    ]
    number = 1
    for commands, reason in steps:
        matched = matching.match(Taken([Segment(number, commands, 0)]), now=number)
        number += len(commands)
        assert matched is not None
        assert matched.state_reason is reason

"""The engine gives the reference book's events and changes, over long sequences of everything."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import (
    CancelAll,
    CancelOrder,
    Command,
    Engine,
    Event,
    MarketConfig,
    OrderImage,
    Side,
    TradingState,
)
from gomatch.messages.codec import pack_image, unpack_image
from tests.unit.engine.reference_book import Ended, ReferenceBook
from tests.unit.engine.sequences import Flow
from tests.unit.engine.shortening import shortened

LONG = os.environ.get("GOMATCH_HYPOTHESIS") == "long"


@dataclass(frozen=True)
class Time:
    """The batch ends; the next begins at this time. ``restart``: on another engine."""

    time: int
    restart: bool


@dataclass(frozen=True)
class Skip:
    """The command is not applied."""

    command: Command


@dataclass(frozen=True)
class Idle:
    """Neither a batch ends nor is anything done: left out of a failing sequence."""


Step = Command | Time | Skip | Idle
NOTHING = CancelOrder(1, 0)
"""A command that is refused in every state."""


@settings(max_examples=20_000 if LONG else 500, deadline=None, derandomize=not LONG)
@given(st.integers(0, 2**32), st.integers(1, 160))
def test_sequences_equal_the_reference(seed: int, count: int) -> None:
    check(seed, count)


@pytest.mark.parametrize("seed", range(16))
def test_long_sequences_equal_the_reference(seed: int) -> None:
    check(1_000 + seed, 700)


def test_a_failing_sequence_is_shortened_to_what_it_needs() -> None:
    def fails(steps: Sequence[Step]) -> bool:
        return CancelAll(7) in steps[:50] and Skip(CancelAll(9)) in steps

    steps: list[Step] = [Time(n, restart=False) if n % 3 else CancelAll(1) for n in range(99)]
    steps[20], steps[77] = CancelAll(7), Skip(CancelAll(9))
    kept = shortened(steps, idle, fails)
    assert len(kept) == len(steps)
    assert [step for step in kept if step not in (Idle(), NOTHING)] == [steps[20], steps[77]]


def idle(step: Step) -> Step:
    return Idle() if isinstance(step, Time | Idle) else NOTHING


def check(seed: int, count: int) -> None:
    """Draw a sequence while the reference book goes along, and compare the engine's way."""
    draw = random.Random(seed)
    flow = Flow(draw)
    config = flow.first_config()
    book = ReferenceBook(config)
    steps: list[Step] = []
    for number in range(1, count + 1):
        if draw.random() < 0.6:
            time = number * 10 + draw.choice((0, 0, 3, 40))
            steps.append(Time(time, restart=draw.random() < 0.03))
            book.advance(time)
        command = flow.command(number, book.open, book.state, book.config)
        if draw.random() < 0.01:
            steps.append(Skip(command))
            book.skip(number, command)
        else:
            steps.append(command)
            book.apply(number, command)
    try:
        Pair(config).play(steps)
    except Exception as error:
        few = shortened(steps, idle, partial(fails, config))
        raise AssertionError(f"seed {seed}, {count} commands: {config}\n{told(few)}") from error


def fails(config: MarketConfig, steps: Sequence[Step]) -> bool:
    with suppress(Exception):
        Pair(config).play(steps)
        return False
    return True


def told(steps: Sequence[Step]) -> str:
    """Line by line, the commands with their numbers."""
    lines: list[str] = []
    number = 0
    for step in steps:
        number += not isinstance(step, Time | Idle)
        if step not in (Idle(), NOTHING):
            lines.append(repr(step) if isinstance(step, Time) else f"{number}: {step!r}")
    return "\n".join(lines)


class Pair:
    """An engine, the reference book, and what a reader of the drained changes knows."""

    def __init__(self, config: MarketConfig) -> None:
        self.engine, self.book = Engine(config), ReferenceBook(config)
        self.batch: list[Command] = []
        self._expected: list[Event] = []
        self._orders: dict[int, OrderImage] = {}
        self._levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}

    def play(self, steps: Sequence[Step]) -> None:
        """Raises AssertionError where the two differ."""
        for step in steps:
            if isinstance(step, Time):
                self.compare()
                self.advance(step.time)
                if step.restart:
                    self.restore()
            elif isinstance(step, Skip):
                self.skip(step.command)
            elif not isinstance(step, Idle):
                self.batch.append(step)
                self._expected += self.book.apply(self.book.applied + 1, step)
        self.compare()

    def advance(self, time: int) -> None:
        out: list[Event] = []
        self.engine.advance(time, out)
        assert out == self.book.advance(time)

    def skip(self, command: Command) -> None:
        self.compare()
        number = self.engine.applied + 1
        out: list[Event] = []
        self.engine.skip(number, command, out)
        assert out == self.book.skip(number, command)

    def restore(self) -> None:
        """Go on with an engine that went through the bytes of an image, as after a restart."""
        self._drain()
        image = self.engine.image()
        self.engine = Engine.restore(unpack_image(pack_image(image)))
        assert self.engine.image() == image
        assert self.engine.drain().orders == {}

    def compare(self) -> None:
        """Apply the batch, sometimes one command, and see that nothing differs."""
        engine, book = self.engine, self.book
        out: list[Event] = []
        engine.apply_batch(engine.applied + 1, self.batch, out)
        assert out == self._expected, self.batch
        image = book.image()
        assert engine.image() == image
        assert engine.next_expiry == book.next_expiry
        assert (engine.open_orders, engine.last_price) == (len(book.open), book.last)
        if engine.state is TradingState.AUCTION:
            assert engine.indicative() == book.indicative()
        self._drain()
        assert self._orders == {order.number: order for order in image.orders}
        for side in Side:
            depth = book.depth(side)
            assert engine.depth(side) == depth
            assert engine.best(side) == (depth[0][0] if depth else None)
            assert self._levels[side] == dict(depth)
        self.batch, self._expected = [], []

    def _drain(self) -> None:
        changes = self.engine.drain()
        ended = {}
        for number, order in changes.orders.items():
            if order.closing is None:
                self._orders[number] = order.image()
            else:
                ended[number] = Ended(order.closing, order.filled, order.cancelled, order.value)
                self._orders.pop(number, None)
                assert order.remaining == order.displayed == 0
        assert ended == self.book.ended
        self.book.ended.clear()
        for side, levels in ((Side.BUY, changes.bids), (Side.SELL, changes.asks)):
            known = self._levels[side] | levels
            self._levels[side] = {price: lots for price, lots in known.items() if lots}

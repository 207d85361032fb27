"""The engine gives the reference book's events and changes, over long sequences of everything."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import Command, Engine, Event, OrderImage, Side, TradingState
from gomatch.messages.codec import pack_image, unpack_image
from tests.unit.engine.reference_book import Ended, ReferenceBook
from tests.unit.engine.sequences import Flow

LONG = os.environ.get("GOMATCH_HYPOTHESIS") == "long"


@settings(max_examples=3_000 if LONG else 120, deadline=None, derandomize=not LONG)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_short_sequences_equal_the_reference(draw: random.Random, count: int) -> None:
    """Every choice is hypothesis's own: what fails is shrunk to the few commands that matter."""
    check(draw, count)


@settings(max_examples=20_000 if LONG else 700, deadline=None, derandomize=not LONG)
@given(st.integers(0, 2**32), st.integers(1, 160))
def test_sequences_equal_the_reference(seed: int, count: int) -> None:
    check(random.Random(seed), count)


@pytest.mark.parametrize("seed", range(20))
def test_long_sequences_equal_the_reference(seed: int) -> None:
    check(random.Random(1_000 + seed), 700)


def check(draw: random.Random, count: int) -> None:
    flow = Flow(draw)
    config = flow.first_config()
    pair = Pair(Engine(config), ReferenceBook(config))
    book = pair.book
    for number in range(1, count + 1):
        if not pair.batch or draw.random() < 0.6:
            pair.compare()
            pair.advance(number * 10 + draw.choice((0, 0, 3, 40)))
            if draw.random() < 0.02:
                pair.restore()
        command = flow.command(number, book.open, book.state, book.config)
        if draw.random() < 0.01:
            pair.skip(number, command)
        else:
            pair.add(number, command)
    pair.compare()


class Pair:
    """An engine, the reference book, and what a reader of the drained changes knows."""

    def __init__(self, engine: Engine, book: ReferenceBook) -> None:
        self.engine, self.book = engine, book
        self.batch: list[Command] = []
        self._expected: list[Event] = []
        self._orders: dict[int, OrderImage] = {}
        self._levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}

    def add(self, number: int, command: Command) -> None:
        self.batch.append(command)
        self._expected += self.book.apply(number, command)

    def advance(self, time: int) -> None:
        out: list[Event] = []
        self.engine.advance(time, out)
        assert out == self.book.advance(time)

    def skip(self, number: int, command: Command) -> None:
        self.compare()
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

"""The engine gives the reference book's events, over long sequences of everything."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import Command, Engine, Event, Side, TradingState
from gomatch.messages.codec import pack_image, unpack_image
from tests.unit.engine.reference_book import ReferenceBook
from tests.unit.engine.sequences import CONFIG, commands

LONG = os.environ.get("GOMATCH_HYPOTHESIS") == "long"


@settings(max_examples=20_000 if LONG else 400, deadline=None, derandomize=not LONG)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_events_images_and_depth_equal_the_reference(seed: int, count: int) -> None:
    check(seed, count)


@pytest.mark.parametrize("seed", range(12))
def test_long_sequences_equal_the_reference(seed: int) -> None:
    check(1_000 + seed, 700)


def check(seed: int, count: int) -> None:
    draw = random.Random(seed)
    engine, book = Engine(CONFIG), ReferenceBook(CONFIG)
    batch: list[Command] = []
    expected: list[Event] = []
    for number, command in enumerate(commands(draw, count), 1):
        now = number * 10 + draw.choice((0, 0, 3, 40))
        if not batch or draw.random() < 0.7:
            compare(engine, book, batch, expected, f"before {number} of seed {seed}")
            out: list[Event] = []
            engine.advance(now, out)
            assert out == book.advance(now), f"time before {number} of seed {seed}"
            batch, expected = [], []
            if draw.random() < 0.03:
                engine = restored(engine)
        batch.append(command)
        expected += book.apply(number, command)
    compare(engine, book, batch, expected, f"the end of seed {seed}")


def compare(
    engine: Engine, book: ReferenceBook, batch: list[Command], expected: list[Event], where: str
) -> None:
    """Apply the batch, sometimes one command, and see that nothing differs."""
    out: list[Event] = []
    engine.apply_batch(engine.applied + 1, batch, out)
    assert out == expected, f"{where}: {batch}"
    assert engine.image() == book.image(), where
    assert engine.depth(Side.BUY) == book.depth(Side.BUY), where
    assert engine.depth(Side.SELL) == book.depth(Side.SELL), where
    if engine.state is TradingState.AUCTION:
        assert engine.indicative() == book.indicative(), where


def restored(engine: Engine) -> Engine:
    """Through the bytes of an image, as after a restart."""
    image = engine.image()
    again = Engine.restore(unpack_image(pack_image(image)))
    assert again.image() == image
    return again

"""The engine gives the reference book's events, over long sequences of everything."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import Engine, Event, Image
from gomatch.messages.codec import pack_image, unpack_image
from tests.unit.engine.reference_book import ReferenceBook
from tests.unit.engine.sequences import commands

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
    engine, book = Engine(), ReferenceBook()
    for number, command in enumerate(commands(draw, count), 1):
        out: list[Event] = []
        book.out = []
        now = number * 10 + draw.choice((0, 0, 3, 40))
        engine.advance(now, out)
        book.advance(now)
        engine.apply(number, command, out)
        book.apply(number, command)
        assert out == book.out, f"command {number} of seed {seed}: {command}"
        assert engine.state is book.state
        assert engine.last_price == book.last
        assert engine.open_orders == len(book.open)
        if draw.random() < 0.03:
            engine = restored(engine)
    compare_state(engine.image(), book)


def restored(engine: Engine) -> Engine:
    """Through the bytes of an image, as after a restart."""
    image = engine.image()
    again = Engine.restore(unpack_image(pack_image(image)))
    assert again.image() == image
    return again


def compare_state(image: Image, book: ReferenceBook) -> None:
    expected = sorted(
        (one.number, one.terms.quantity, one.remaining, one.shown, one.priority)
        for one in book.open
    )
    assert expected == [
        (one.number, one.quantity, one.remaining, one.displayed, one.priority)
        for one in image.orders
    ]

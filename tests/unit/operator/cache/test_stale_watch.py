"""When a leader is asked to write its mirror anew: not while it moves, not twice at once."""

from __future__ import annotations

import pytest

from gomatch.cache import MirrorMeta
from gomatch_operator.cache.stale_watch import StaleWatch
from tests.fixtures.example_facts import example_mirror

SYMBOL = "BTC-USDT"
CHAIN, OTHER_CHAIN = bytes(32), b"x" * 32


def meta(sequence: int, *, chain: bytes = CHAIN, epoch: int = 1) -> MirrorMeta:
    return example_mirror(epoch=epoch, sequence=sequence, chain=chain, applied=sequence)


class Looking:
    """A watch of 10 s over one market whose head is given at each look."""

    def __init__(self) -> None:
        self.watch = StaleWatch(stale_seconds=10)

    def at(self, now: float, mirror: MirrorMeta | None, *, head: int = 5, epoch: int = 1) -> bool:
        return self.watch.look(
            SYMBOL,
            head_epoch=epoch,
            head_sequence=head,
            head_chain=CHAIN,
            meta=mirror,
            now=now,
        )


@pytest.fixture
def looking() -> Looking:
    return Looking()


@pytest.mark.parametrize(
    "mirror",
    [None, meta(4), meta(5, chain=OTHER_CHAIN), meta(6)],
    ids=["missing", "behind", "of another history", "ahead of what is committed"],
)
def test_a_mirror_that_stays_so_is_asked_for_after_ten_seconds(
    looking: Looking, mirror: MirrorMeta | None
) -> None:
    asked = [now for now in range(13) if looking.at(now, mirror)]

    assert asked == [10]
    assert looking.watch.rebuilding(SYMBOL)


def test_a_mirror_in_step_is_never_asked_for(looking: Looking) -> None:
    assert not any(looking.at(now, meta(5)) for now in range(100))
    assert looking.watch.due_at(SYMBOL) is None


def test_the_epoch_of_a_mirror_in_step_does_not_count(looking: Looking) -> None:
    assert not any(looking.at(now, meta(5, epoch=1), epoch=2) for now in range(100))


def test_a_busy_markets_mirror_moves_and_is_let_be(looking: Looking) -> None:
    assert not any(looking.at(now, meta(now), head=now + 3) for now in range(1, 100))


def test_a_mirror_that_stops_moving_is_asked_for_ten_seconds_later(looking: Looking) -> None:
    asked = [now for now in range(1, 40) if looking.at(now, meta(min(now, 20)), head=now + 3)]

    assert asked == [30]


def test_it_is_asked_again_only_after_another_ten_seconds(looking: Looking) -> None:
    assert [now for now in range(40) if looking.at(now, None)] == [10, 20, 30]


def test_once_in_step_the_wait_begins_anew(looking: Looking) -> None:
    looking.at(0, None)
    looking.at(9, meta(5))

    assert not looking.watch.rebuilding(SYMBOL)
    assert [now for now in range(10, 25) if looking.at(now, None)] == [20]


def test_a_market_that_nobody_has_led_needs_no_mirror(looking: Looking) -> None:
    assert not any(looking.at(now, None, head=0, epoch=0) for now in range(100))


def test_it_says_when_to_look_again(looking: Looking) -> None:
    looking.at(3, None)
    assert looking.watch.due_at(SYMBOL) == 13

    assert looking.at(13, None)
    assert looking.watch.due_at(SYMBOL) == 23


def test_a_mirror_that_was_taken_away_is_drift_and_a_first_one_is_not(looking: Looking) -> None:
    looking.at(0, None)
    assert looking.at(10, None)
    first = looking.watch.plan(SYMBOL)

    looking.at(11, meta(5))
    looking.at(12, None)
    assert looking.at(22, None)
    again = looking.watch.plan(SYMBOL)

    assert (first.drift, again.drift) == (False, True)
    assert str(again) == "cache: enter refresh request BTC-USDT (the mirror is missing)"


def test_a_market_that_was_forgotten_is_new(looking: Looking) -> None:
    looking.at(0, None)
    looking.watch.forget(SYMBOL)

    assert not looking.at(10, None)
    assert looking.watch.due_at(SYMBOL) == 20


def test_a_mirror_follows_once_it_was_seen_in_step_until_it_is_asked_for(
    looking: Looking,
) -> None:
    def follows(now: float, mirror: MirrorMeta | None) -> bool:
        looking.at(now, mirror)
        return looking.watch.follows(SYMBOL)

    assert not looking.watch.follows(SYMBOL)
    assert [follows(0, None), follows(1, meta(5)), follows(2, None), follows(12, None)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_busy_markets_mirror_follows_though_it_is_never_seen_in_step(looking: Looking) -> None:
    looking.at(0, meta(1), head=4)
    assert not looking.watch.follows(SYMBOL)
    looking.at(1, meta(3), head=6)
    assert looking.watch.follows(SYMBOL)

"""What the matcher says about how far its market is."""

from __future__ import annotations

from gomatch.store import Backlog
from gomatch_matcher.progress import Progress


def test_the_age_of_the_oldest_command_grows_until_it_is_applied() -> None:
    now = 100.0
    progress = Progress(lambda: now)
    progress.begin(accepted=5, applied=5)
    assert progress.oldest_seconds() == 0
    progress.saw(Backlog(accepted=9, applied=5, oldest=6, oldest_seconds=0.5))
    assert progress.oldest_seconds() == 0.5
    now += 10
    assert progress.oldest_seconds() == 10.5
    progress.advance(6)
    assert (progress.accepted, progress.applied, progress.oldest_seconds()) == (9, 6, 0)


def test_accepted_is_never_behind_applied() -> None:
    progress = Progress()
    progress.begin(accepted=5, applied=5)
    progress.advance(20)
    assert progress.accepted == 20
    progress.saw(Backlog(accepted=18, applied=18, oldest=0, oldest_seconds=0))
    assert progress.accepted == 20


def test_who_does_not_lead_says_nothing() -> None:
    progress = Progress()
    progress.saw(Backlog(accepted=9, applied=5, oldest=6, oldest_seconds=3))
    assert (progress.accepted, progress.applied, progress.oldest_seconds()) == (0, 0, 0)
    progress.begin(accepted=9, applied=5)
    progress.end()
    progress.saw_accepted(30)
    assert (progress.accepted, progress.applied, progress.oldest_seconds()) == (0, 0, 0)

"""When a matcher is ready, and what it says while it is not."""

from __future__ import annotations

import time

import pytest

from gomatch.errors import CredentialsRefused, UnknownMarket
from gomatch_matcher.status import STANDBY_SECONDS, MatcherStatus


def why(status: MatcherStatus) -> str:
    return status.not_ready.code if status.not_ready else ""


def test_a_standby_is_ready_for_as_long_as_the_database_answers_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    status = MatcherStatus()
    assert why(status) == "starting"
    status.waiting = True
    status.progressed()
    assert status.ready
    now += STANDBY_SECONDS + 0.1
    assert why(status) == "store_unavailable"
    status.progressed()
    assert status.ready


def test_what_ended_it_is_said_until_the_database_answers_again() -> None:
    status = MatcherStatus(leading=True, epoch=7)
    assert status.ended(CredentialsRefused("credentials refused"))
    assert (status.leading, status.epoch, why(status)) == (False, 0, "credentials_refused")
    assert not status.ended(CredentialsRefused("credentials refused"))
    assert status.ended(UnknownMarket("no such market"))
    assert status.not_ready is not None
    assert status.not_ready.why == "no such market"
    status.progressed()
    assert why(status) == "starting"


def test_an_orderly_end_leaves_no_reason_of_before() -> None:
    status = MatcherStatus(leading=True)
    status.ended(UnknownMarket("no such market"))
    status.ended(None)
    assert why(status) == "starting"

"""An outage is declared once for all Markets, after its time."""

from __future__ import annotations

from gomatch_operator.outages import Fault, Outages

AWAY = Fault("StoreUnavailable", "no answer")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_short_silence_is_no_outage() -> None:
    clock = Clock()
    outages = Outages(limit=10, clock=clock)
    assert not outages.failed("PostgreSQL", AWAY)
    clock.now = 9.9
    assert not outages.failed("PostgreSQL", AWAY)
    assert outages.outage("PostgreSQL") is None
    assert outages.suspected("PostgreSQL")


def test_an_outage_is_declared_once_and_ends_once() -> None:
    clock = Clock()
    outages = Outages(limit=10, clock=clock)
    outages.failed("PostgreSQL", AWAY)
    clock.now = 10.0
    assert outages.failed("PostgreSQL", AWAY)
    assert not outages.failed("PostgreSQL", AWAY)
    assert outages.outage("PostgreSQL") == AWAY
    assert outages.worked("PostgreSQL")
    assert not outages.worked("PostgreSQL")
    assert outages.outage("PostgreSQL") is None


def test_an_answer_in_between_begins_the_time_anew() -> None:
    clock = Clock()
    outages = Outages(limit=10, clock=clock)
    outages.failed("Redis", AWAY)
    clock.now = 6.0
    assert not outages.worked("Redis")
    outages.failed("Redis", AWAY)
    clock.now = 12.0
    assert not outages.failed("Redis", AWAY)


def test_servers_are_told_apart() -> None:
    clock = Clock()
    outages = Outages(limit=0, clock=clock)
    assert outages.failed("Redis", AWAY)
    assert outages.outage("RabbitMQ") is None


def settling(outages: Outages) -> bool:
    return outages.settling


def test_markets_settle_for_a_while_after_an_outage() -> None:
    clock = Clock()
    outages = Outages(limit=0, clock=clock)
    assert not settling(outages)
    outages.failed("PostgreSQL", AWAY)
    assert settling(outages)
    clock.now = 100.0
    outages.worked("PostgreSQL")
    assert settling(outages)
    clock.now = 130.0
    assert not settling(outages)

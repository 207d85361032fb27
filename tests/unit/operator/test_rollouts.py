"""A new default image reaches a few Markets at a time, and stops where one fails with it."""

from __future__ import annotations

from dataclasses import replace

from gomatch_operator.market import MarketKey
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.watched import DeploymentStatus

OLD, NEW, OWN = "matcher:1", "matcher:2", "special:7"
MARKETS = [MarketKey("trading", f"m{number}") for number in range(4)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rollouts(clock: Clock, *, at_once: int = 2, woken: list[MarketKey] | None = None) -> Rollouts:
    heard = [] if woken is None else woken
    return Rollouts(
        target=NEW, max_concurrent=at_once, deadline=300, wake=heard.append, clock=clock
    )


def settled(image: str) -> DeploymentStatus:
    return DeploymentStatus(image=image, desired=1, updated=1, ready=1, total=1)


def under_way(image: str) -> DeploymentStatus:
    return DeploymentStatus(image=image, desired=1, updated=1, ready=0, total=2)


def test_only_so_many_take_it_at_once() -> None:
    rolling = rollouts(Clock())
    answers = [rolling.image_for(key, own="", current=OLD) for key in MARKETS]
    assert [image for image, _ in answers] == [NEW, NEW, OLD, OLD]
    assert answers[2][1] is not None
    assert answers[2][1].reason == "RolloutPending"
    assert rolling.admissible() == []


def test_the_next_goes_when_one_is_ready() -> None:
    rolling = rollouts(Clock())
    for key in MARKETS:
        rolling.image_for(key, own="", current=OLD)
    rolling.look(MARKETS[0], under_way(NEW))
    assert rolling.admissible() == []
    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.admissible() == [MARKETS[2]]
    assert rolling.image_for(MARKETS[2], own="", current=OLD) == (NEW, None)
    assert rolling.admissible() == []


def test_one_that_does_not_become_ready_stops_the_others() -> None:
    clock = Clock()
    rolling = rollouts(clock, at_once=1)
    rolling.image_for(MARKETS[0], own="", current=OLD)
    rolling.look(MARKETS[0], under_way(NEW))
    clock.now = 301.0
    image, fault = rolling.image_for(MARKETS[1], own="", current=OLD)
    assert image == OLD
    assert fault is not None
    assert fault.reason == "RolloutBlocked"
    assert "m0" in fault.message
    assert rolling.admissible() == []


def test_a_blocked_rollout_goes_on_once_that_one_is_ready() -> None:
    clock = Clock()
    rolling = rollouts(clock, at_once=1)
    rolling.image_for(MARKETS[0], own="", current=OLD)
    clock.now = 301.0
    rolling.image_for(MARKETS[1], own="", current=OLD)
    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.admissible() == [MARKETS[1]]


def test_a_new_market_and_one_with_an_image_of_its_own_never_wait() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.image_for(MARKETS[0], own="", current=OLD)
    assert rolling.image_for(MARKETS[1], own="", current="") == (NEW, None)
    assert rolling.image_for(MARKETS[2], own=OWN, current=OLD) == (OWN, None)


def test_a_rollout_that_was_under_way_before_a_restart_counts() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.resume(MARKETS[0], under_way(NEW))
    rolling.resume(MARKETS[2], under_way(OLD))
    assert rolling.image_for(MARKETS[1], own="", current=OLD)[0] == OLD
    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.image_for(MARKETS[1], own="", current=OLD)[0] == NEW


def test_one_whose_controller_had_not_looked_before_a_restart_counts() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.resume(MARKETS[0], replace(settled(NEW), stale=True))
    assert rolling.image_for(MARKETS[1], own="", current=OLD)[0] == OLD
    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.image_for(MARKETS[1], own="", current=OLD)[0] == NEW


def test_a_market_that_is_deleted_makes_room() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.image_for(MARKETS[0], own="", current=OLD)
    rolling.image_for(MARKETS[1], own="", current=OLD)
    rolling.forget(MARKETS[0])
    assert rolling.admissible() == [MARKETS[1]]


def test_a_deployment_whose_controller_has_not_looked_yet_is_no_sign_of_success() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.image_for(MARKETS[0], own="", current=OLD)
    rolling.image_for(MARKETS[1], own="", current=OLD)
    rolling.look(MARKETS[0], replace(settled(NEW), stale=True))
    assert rolling.admissible() == []
    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.admissible() == [MARKETS[1]]


def test_those_that_wait_are_looked_at_when_another_gets_late_and_when_it_is_ready_after_all() -> (
    None
):
    clock, woken = Clock(), list[MarketKey]()
    rolling = rollouts(clock, at_once=1, woken=woken)
    for key in MARKETS[:3]:
        rolling.image_for(key, own="", current=OLD)
    clock.now = 301.0
    assert rolling.admissible() == MARKETS[1:3]
    reasons = [rolling.admit(key) for key in MARKETS[1:3]]
    assert [fault and fault.reason for fault in reasons] == ["RolloutBlocked"] * 2
    assert rolling.admissible() == woken == []
    rolling.look(MARKETS[0], settled(NEW))
    assert woken == MARKETS[1:3]


def test_a_markets_own_change_takes_no_place() -> None:
    rolling = rollouts(Clock(), at_once=1)
    rolling.image_for(MARKETS[0], own=OWN, current=OLD)
    rolling.look(MARKETS[0], under_way(OWN))
    assert rolling.image_for(MARKETS[1], own="", current=OLD) == (NEW, None)


def test_those_that_wait_no_more_do_not_take_the_turn_of_others() -> None:
    woken: list[MarketKey] = []
    rolling = rollouts(Clock(), at_once=1, woken=woken)
    for key in MARKETS[:3]:
        rolling.image_for(key, own="", current=OLD)
    rolling.withdraw(MARKETS[1])
    rolling.look(MARKETS[0], settled(NEW))

    assert woken == [MARKETS[2]]


def test_a_restart_gives_no_other_the_image_with_which_one_is_overdue() -> None:
    rolling = rollouts(Clock())
    rolling.resume(MARKETS[0], replace(under_way(NEW), overdue=True))
    image, fault = rolling.image_for(MARKETS[1], own="", current=OLD)
    assert image == OLD
    assert fault is not None
    assert fault.reason == "RolloutBlocked"

    rolling.look(MARKETS[0], settled(NEW))
    assert rolling.image_for(MARKETS[1], own="", current=OLD) == (NEW, None)

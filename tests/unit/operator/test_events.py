"""Which turns of a condition make an Event."""

from __future__ import annotations

import pytest

from gomatch_operator import conditions as c
from gomatch_operator.cluster.api import Body, ClusterApi
from gomatch_operator.conditions import Condition
from gomatch_operator.events import Events, worth_telling
from gomatch_operator.status import Transition
from tests.fixtures.example_markets import example_market


@pytest.mark.parametrize(
    ("kind", "before", "now"),
    [
        (c.READY, ("", ""), ("True", "Trading")),
        (c.READY, ("False", "MatcherNotAvailable"), ("True", "Trading")),
        (c.SPEC_VALID, ("True", "Valid"), ("False", "OutOfRange")),
        (c.SPEC_VALID, ("False", "OutOfRange"), ("True", "Valid")),
        (c.MATCHER_AVAILABLE, ("False", "Starting"), ("False", "ImagePullFailed")),
        (c.MATCHER_AVAILABLE, ("False", "ImagePullFailed"), ("False", "CrashLooping")),
        (c.CONFLICT, ("", ""), ("True", "HeldByAnother")),
        (c.CONFLICT, ("True", "HeldByAnother"), ("False", "NoConflict")),
        (c.HALTED, ("False", "NotHalted"), ("True", "PriceBand")),
        (c.DRAINING, ("False", "NotDeleting"), ("True", "Closing")),
        (c.DRAINING, ("True", "Closing"), ("True", "WritingImage")),
        (c.RECONCILIATION_PAUSED, ("False", "Active"), ("True", "Paused")),
        (c.PROGRESSING, ("True", "RollingOut"), ("True", "RolloutBlocked")),
    ],
)
def test_is_told(kind: str, before: tuple[str, str], now: tuple[str, str]) -> None:
    assert worth_telling(_transition(kind, before, now))


@pytest.mark.parametrize(
    ("kind", "before", "now"),
    [
        (c.SPEC_VALID, ("", ""), ("True", "Valid")),
        (c.MATCHER_AVAILABLE, ("", ""), ("False", "NotStarted")),
        (c.MATCHER_AVAILABLE, ("False", "NotStarted"), ("False", "Starting")),
        (c.MATCHER_AVAILABLE, ("False", "Starting"), ("True", "Leading")),
        (c.READY, ("True", "Trading"), ("False", "MatcherNotAvailable")),
        (c.PROGRESSING, ("False", "Settled"), ("True", "RollingOut")),
        (c.PROGRESSING, ("True", "RollingOut"), ("False", "Settled")),
        (c.HALTED, ("False", "NotHalted"), ("Unknown", "Unknown")),
        (c.HALTED, ("Unknown", "Unknown"), ("False", "NotHalted")),
        (c.CONFLICT, ("True", "HeldByAnother"), ("True", "HeldByAnother")),
    ],
)
def test_is_not_told(kind: str, before: tuple[str, str], now: tuple[str, str]) -> None:
    assert not worth_telling(_transition(kind, before, now))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (c.STORE_READY, "StoreUnavailable"),
        (c.STORE_READY, "CredentialsRefused"),
        (c.QUEUE_READY, "BrokerUnavailable"),
        (c.QUEUE_READY, "CredentialsRefused"),
        (c.QUEUE_READY, "ManagementMissing"),
        (c.QUEUE_READY, "VirtualHostMissing"),
        (c.QUEUE_READY, "ForeignExchange"),
        (c.CACHE_READY, "CacheUnavailable"),
        (c.CACHE_READY, "CredentialsRefused"),
        (c.SPEC_VALID, "CrdTooOld"),
    ],
)
def test_what_befalls_all_markets_is_no_event_of_each(kind: str, reason: str) -> None:
    assert not worth_telling(_transition(kind, ("True", "InStep"), ("False", reason)))
    assert not worth_telling(_transition(kind, ("False", reason), ("True", "InStep")))


@pytest.mark.parametrize(
    "reason", sorted(c.REASONS[c.READY].keys() - {"Trading"}), ids=lambda reason: reason
)
def test_why_it_is_not_ready_is_told_by_the_condition_that_it_names(reason: str) -> None:
    assert not worth_telling(_transition(c.READY, ("True", "Trading"), ("False", reason)))


def _transition(kind: str, before: tuple[str, str], now: tuple[str, str]) -> Transition:
    status, reason = now
    condition = Condition(kind, status, reason, "-")  # type: ignore[arg-type]
    return Transition(condition, *before)


class Api(ClusterApi):
    def __init__(self) -> None:
        self.posted: list[str] = []

    async def create_event(self, namespace: str, body: Body) -> None:
        self.posted.append(body["involvedObject"]["name"])


async def test_what_flaps_or_is_fought_over_is_told_less_and_less() -> None:
    api, now = Api(), [0.0]
    events = Events(api, instance="a", namespace="venue", lease="operator", clock=lambda: now[0])
    market, other = example_market(), example_market(name="other", uid="another")
    halted = _transition(c.HALTED, ("False", "NotHalted"), ("True", "PriceBand"))
    for _ in range(30):
        await events.repaired(market, ["Service a: somebody changed it"])
    await events.tell(market, [halted])
    assert len(api.posted) == 25

    await events.tell(other, [halted])
    assert api.posted[25:] == ["other"]
    now[0] = 60.0
    for _ in range(2):
        await events.tell(market, [halted])
    assert len(api.posted) == 27
    # The operator's own are few.
    await events.operator("StoreUnavailable", "-", warning=True)
    assert len(api.posted) == 28


async def test_markets_that_are_quiet_again_are_forgotten() -> None:
    api, now = Api(), [0.0]
    events = Events(api, instance="a", namespace="venue", lease="operator", clock=lambda: now[0])
    for number in range(10_001):
        now[0] += 1.0
        await events.repaired(example_market(uid=str(number)), ["-"])

    assert len(events._allowance._spent) < 100

"""Which of a Market's objects are written now, and which wait for a rollout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from gomatch_operator.cluster.keeper import ClusterKeeper, ClusterResult
from gomatch_operator.cluster.reconciler import ClusterReconciler
from gomatch_operator.errors import (
    ClusterUnavailable,
    Forbidden,
    LeadershipLost,
    NamespaceTerminating,
    ObjectChanged,
    ObjectInvalid,
    QuotaExceeded,
)
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.market import MarketKey
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.watched import ObjectKey, Watched
from tests.fixtures.example_markets import (
    PLAIN_SETTINGS,
    PLAIN_SPEC,
    example_market,
    example_settings,
)
from tests.fixtures.memory_cluster import MemoryApi

KEY = MarketKey("venue", "btc-usdt")
DEPLOYMENT = ObjectKey("Deployment", "venue", "btc-usdt-matcher")
OTHER = MarketKey("venue", "other")
OTHER_RESOURCES = {"limits": {"memory": "2Gi"}}


class Place:
    """One Market may roll at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.api = MemoryApi()
        self.watched = Watched()
        self.begin(PLAIN_SETTINGS)

    def begin(self, content: Any) -> None:
        """As an operator that has just started with these settings."""
        settings = example_settings(content)
        self.rollouts = Rollouts(
            target=settings.matcher.image,
            max_concurrent=1,
            deadline=300,
            wake=lambda key: None,
            clock=lambda: self.now,
        )
        self.keeper = self._keeper(settings)

    def _keeper(self, settings: OperatorSettings) -> ClusterKeeper:
        return ClusterKeeper(
            ClusterReconciler(self.api, self.watched),
            settings=settings,
            watched=self.watched,
            rollouts=self.rollouts,
            leadership=cast("OperatorLeadership", self),
        )

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")

    async def keep(self, *, handled: bool = True, **matcher: Any) -> ClusterResult:
        market = example_market({**PLAIN_SPEC, "matcher": matcher})
        self.watched.markets[market.key] = market
        return await self.keeper.keep(market, handled=handled)

    @property
    def container(self) -> dict[str, Any]:
        spec = self.api.objects[DEPLOYMENT]["spec"]["template"]["spec"]
        [container] = spec["containers"]
        assert isinstance(container, dict)
        return container


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.api.close()


def with_settings(**matcher: Any) -> dict[str, Any]:
    return {**PLAIN_SETTINGS, "matcher": {**PLAIN_SETTINGS["matcher"], **matcher}}


async def test_all_is_made_at_once_and_then_nothing_is_written(place: Place) -> None:
    assert (await place.keep(handled=False)).complete
    assert DEPLOYMENT in place.api.objects
    place.api.writes.clear()

    assert (await place.keep()).complete
    assert place.api.writes == []


@pytest.mark.parametrize(
    "changed",
    [{"image": "gomatch-matcher:next"}, {"resources": OTHER_RESOURCES}],
    ids=lambda changed: next(iter(changed)),
)
async def test_what_the_settings_change_waits_for_the_market_before(
    place: Place, changed: dict[str, Any]
) -> None:
    await place.keep(handled=False)
    before = dict(place.container)
    place.begin(with_settings(**changed))
    place.rollouts.admit(OTHER)

    waits = await place.keep()
    assert waits.rollout is not None
    assert waits.rollout.reason == "RolloutPending"
    assert waits.complete
    assert place.container == before

    place.rollouts.forget(OTHER)
    assert (await place.keep()).rollout is None
    assert {name: place.container[name] for name in changed} == changed


async def test_what_a_market_itself_changes_goes_at_once(place: Place) -> None:
    await place.keep(handled=False)
    place.rollouts.admit(OTHER)
    kept = await place.keep(handled=False, resources=OTHER_RESOURCES)

    assert kept.rollout is None
    assert place.container["resources"] == OTHER_RESOURCES


async def test_what_somebody_changes_while_a_market_waits_is_put_back(place: Place) -> None:
    await place.keep(handled=False)
    place.begin(with_settings(image="gomatch-matcher:next"))
    place.rollouts.admit(OTHER)
    await place.keep()
    known = place.watched.owned[DEPLOYMENT]
    place.watched.owned[DEPLOYMENT] = replace(known, actual_hash="edited by hand")
    place.container["image"] = "hand:1"
    kept = await place.keep()

    assert [kind for kind, _ in kept.restored] == ["Deployment"]
    assert place.container["image"] == PLAIN_SETTINGS["matcher"]["image"]


async def test_a_market_that_is_only_looked_at_takes_no_turn(place: Place) -> None:
    await place.keep(handled=False)
    place.begin(with_settings(image="gomatch-matcher:next"))
    place.rollouts.admit(OTHER)
    await place.keep()
    place.keeper.look(KEY)
    place.rollouts.forget(OTHER)

    assert place.rollouts.admissible() == []


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (QuotaExceeded("-"), "QuotaExceeded"),
        (NamespaceTerminating("-"), "NamespaceTerminating"),
        (Forbidden("-"), "Forbidden"),
        (ObjectInvalid("-"), "ClusterRefused"),
        (ObjectChanged("-"), None),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_what_the_api_server_refuses_is_told_and_tried_again(
    place: Place, refusal: Exception, reason: str | None
) -> None:
    await place.keep(handled=False)
    place.api.refusal = refusal
    kept = await place.keep(handled=False, resources=OTHER_RESOURCES)

    assert (kept.fault and kept.fault.reason) == reason
    assert kept.retry
    assert not kept.complete


async def test_an_api_server_that_is_away_refuses_nothing(place: Place) -> None:
    await place.keep(handled=False)
    place.api.refusal = ClusterUnavailable("away")

    with pytest.raises(ClusterUnavailable):
        await place.keep(handled=False, resources=OTHER_RESOURCES)


async def test_who_leads_no_more_writes_nothing(place: Place) -> None:
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.keep(handled=False)

    assert place.api.writes == []

"""Liveness fails when a change that can be read was not heard for long, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterUnavailable, ObjectMissing
from gomatch_operator.watching.canary import Canary


class Lease:
    """What the API server holds of it; ``away`` raises."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.away = False
        self.reads = 0

    @property
    def beat(self) -> int:
        assert self.body is not None
        return int(self.body["spec"]["leaseTransitions"])

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        self.reads += 1
        if self.away:
            raise ClusterUnavailable("no answer")
        if self.body is None:
            raise ObjectMissing("not found", status=404)
        return {**self.body, "spec": dict(self.body["spec"])}

    async def create(self, kind: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        self.body = body
        return body

    async def replace(
        self, kind: str, namespace: str, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        self.body = body
        return body


class Place:
    def __init__(self) -> None:
        self.now = 0.0
        self.watched = True
        self.lease = Lease()
        self.canary = self.make(limit=90)

    def make(self, *, limit: float) -> Canary:
        return Canary(
            cast("ClusterApi", self.lease),
            namespace="gomatch",
            name="canary",
            limit=limit,
            watched=lambda: self.watched,
            clock=lambda: self.now,
        )


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_change_that_is_heard_is_followed_by_the_next(place: Place) -> None:
    await place.canary.beat()
    for expected in (1, 2, 3):
        assert place.lease.beat == expected
        place.canary.heard(expected)
        place.now += 1_000
        await place.canary.beat()

    assert not place.canary.deaf


def deaf(place: Place) -> bool:
    return place.canary.deaf


async def test_a_change_that_is_not_heard_is_not_followed_and_ends_in_deafness(
    place: Place,
) -> None:
    await place.canary.beat()
    await place.canary.beat()
    place.now = 90.0
    await place.canary.beat()
    assert place.lease.beat == 1
    assert not deaf(place)

    place.now = 90.1
    assert deaf(place)
    place.canary.heard(1)
    assert not deaf(place)


async def test_what_no_watch_can_hear_is_no_deafness(place: Place) -> None:
    await place.canary.beat()
    await place.canary.beat()
    place.watched = False
    place.now = 90.1
    await place.canary.beat()
    assert not deaf(place)

    place.watched = True
    await place.canary.beat()
    assert not deaf(place)
    place.now = 200.0
    assert deaf(place)


async def test_an_api_server_that_is_away_is_no_deafness(place: Place) -> None:
    place.canary = place.make(limit=0.01)
    running = asyncio.create_task(place.canary.run())
    try:
        await until(lambda: place.lease.body is not None)
        await until(lambda: place.lease.reads >= 3)
        place.now = 1.0
        assert place.canary.deaf

        place.lease.away = True
        await until(lambda: not place.canary.deaf)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)

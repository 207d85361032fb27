"""When a leader is asked to write its mirror anew, and what CacheReady says meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gomatch.cache import MirrorMeta
from gomatch_operator.cache.keeper import MirrorKeeper
from gomatch_operator.cache.reconciler import CacheReconciler
from gomatch_operator.cache.stale_watch import StaleWatch
from gomatch_operator.errors import LeadershipLost, MirrorUnavailable
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.outages import Outages
from tests.fixtures.example_facts import example_mirror, example_row

ROW = example_row()
SYMBOL = ROW.symbol
IN_STEP = example_mirror()


class Redis:
    """The reconciler's part, with one mirror."""

    def __init__(self) -> None:
        self.meta: MirrorMeta | None = IN_STEP
        self.fault: MirrorUnavailable | None = None
        self.deleted: list[str] = []
        self.looks = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def observe(self, symbols: list[str]) -> dict[str, MirrorMeta | None]:
        if self.fault is not None:
            raise self.fault
        found: dict[str, MirrorMeta | None] = dict.fromkeys(symbols, self.meta)
        self.looks.set()
        await self.answers.wait()
        return found

    async def delete(self, symbol: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.deleted.append(symbol)
        self.meta = None


class Place:
    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.redis = Redis()
        self.outages = Outages(limit=10, clock=lambda: self.now)
        self.keeper = MirrorKeeper(
            cast("CacheReconciler", self.redis),
            StaleWatch(stale_seconds=10),
            outages=self.outages,
            leadership=cast("OperatorLeadership", self),
            clock=lambda: self.now,
        )

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")

    async def look(self, *, at: float, **row: Any) -> set[str]:
        self.now = at
        return await self.keeper.look([example_row(**row)])


@pytest.fixture
def place() -> Place:
    return Place()


async def lose_the_mirror(place: Place) -> None:
    await place.look(at=0)
    place.redis.meta = None
    await place.look(at=1)
    assert await place.look(at=11) == {SYMBOL}


async def test_a_mirror_that_stays_away_is_asked_for_once_and_told_until_it_is_back(
    place: Place,
) -> None:
    await lose_the_mirror(place)

    first, second = place.keeper.keep(SYMBOL), place.keeper.keep(SYMBOL)
    assert first.request is not None
    assert first.request.drift
    assert second.request is None
    assert [each.fault and each.fault.reason for each in (first, second)] == ["Rebuilding"] * 2

    place.redis.meta = IN_STEP
    assert await place.look(at=12) == {SYMBOL}
    assert place.keeper.keep(SYMBOL).fault is None


@pytest.mark.parametrize("epoch", [ROW.epoch, 0], ids=["it is back", "nobody has led"])
async def test_a_mirror_that_is_well_before_anybody_could_ask_is_not_asked_for(
    place: Place, epoch: int
) -> None:
    await lose_the_mirror(place)
    place.redis.meta = IN_STEP
    await place.look(at=12, epoch=epoch)
    kept = place.keeper.keep(SYMBOL)

    assert (kept.request, kept.fault) == (None, None)


async def test_an_outage_is_told_and_a_short_one_is_not(place: Place) -> None:
    place.redis.fault = MirrorUnavailable("away")
    for at, unknown, told in ((1, True, None), (12, False, "CacheUnavailable")):
        with pytest.raises(MirrorUnavailable):
            await place.look(at=at)
        kept = place.keeper.keep(SYMBOL)
        assert (kept.unknown, kept.fault and kept.fault.reason) == (unknown, told)

    place.redis.fault = None
    await place.look(at=13)
    assert place.keeper.keep(SYMBOL).fault is None


async def test_refused_credentials_are_told_from_an_outage(place: Place) -> None:
    place.redis.fault = MirrorUnavailable("WRONGPASS", refused=True)
    for at in (1, 12):
        with pytest.raises(MirrorUnavailable):
            await place.look(at=at)
    fault = place.keeper.keep(SYMBOL).fault

    assert fault is not None
    assert fault.reason == "CredentialsRefused"


async def test_who_leads_no_more_deletes_no_keys(place: Place) -> None:
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.keeper.remove(SYMBOL)
    assert place.redis.deleted == []

    place.leads = True
    await place.keeper.remove(SYMBOL)
    assert place.redis.deleted == [SYMBOL]


async def test_a_market_that_was_removed_is_not_asked_for_any_more(place: Place) -> None:
    await lose_the_mirror(place)
    await place.keeper.remove(SYMBOL)

    assert place.keeper.keep(SYMBOL).request is None
    assert place.keeper.next_look([ROW]) is None


async def test_a_mirror_that_was_removed_while_it_was_looked_at_does_not_follow(
    place: Place,
) -> None:
    place.redis.answers.clear()
    looking = asyncio.create_task(place.look(at=0))
    await place.redis.looks.wait()
    await place.keeper.remove(SYMBOL)
    place.redis.answers.set()
    await looking
    assert not place.keeper.keep(SYMBOL).seen

    # The next market of that symbol has its own.
    place.redis.meta = IN_STEP
    await place.look(at=1)
    assert place.keeper.keep(SYMBOL).seen

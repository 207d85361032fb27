"""A server is away, and all Markets say so; the Event that tells it is one, on the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gomatch_operator import conditions as c
from tests.fixtures.operator_stage import Stage
from tests.fixtures.played_leader import played_leader, write_mirror
from tests.fixtures.staged_market import Saying, StagedMarket

pytestmark = pytest.mark.asyncio(loop_scope="module")
_MARKETS = 10
_TRADING = {
    c.READY: ("True", "Trading"),
    c.SPEC_VALID: ("True", "Valid"),
    c.STORE_READY: ("True", "InStep"),
    c.MATCHER_AVAILABLE: ("True", "Leading"),
    c.QUEUE_READY: ("True", "InStep"),
    c.CACHE_READY: ("True", "InStep"),
    c.PROGRESSING: ("False", "Settled"),
    c.HALTED: ("False", "NotHalted"),
    c.DRAINING: ("False", "NotDeleting"),
    c.CONFLICT: ("False", "NoConflict"),
    c.RECONCILIATION_PAUSED: ("False", "Active"),
}

_PAUSED = {c.RECONCILIATION_PAUSED: ("True", "Paused")}


@dataclass(frozen=True)
class Outage:
    """``proxy`` of the stage; ``turns`` is what conditions say meanwhile, all others stay."""

    server: str
    proxy: str
    reason: str
    turns: Mapping[str, tuple[str, str]]


OUTAGES = (
    Outage(
        "PostgreSQL",
        "postgres",
        "StoreUnavailable",
        {
            c.READY: ("False", "StoreNotReady"),
            c.STORE_READY: ("False", "StoreUnavailable"),
            c.PROGRESSING: ("False", "Blocked"),
            c.HALTED: ("Unknown", "Unknown"),
            c.CONFLICT: ("Unknown", "Unknown"),
        },
    ),
    Outage(
        "RabbitMQ",
        "management",
        "BrokerUnavailable",
        {c.QUEUE_READY: ("False", "BrokerUnavailable")},
    ),
    Outage("Redis", "redis", "CacheUnavailable", {c.CACHE_READY: ("False", "CacheUnavailable")}),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trading(stage: Stage) -> AsyncIterator[list[StagedMarket]]:
    """Many Markets, of which each is led and mirrored, and the last is paused."""
    markets = [stage.market() for _ in range(_MARKETS)]
    async with AsyncExitStack() as stack:
        for market in markets:
            await market.says(Saying(c.QUEUE_READY, "True", "InStep"))
            pod = await market.make_pods_ready()
            leading = played_leader(stage.site.database_url, market.symbol)
            leader = await stack.enter_async_context(leading)
            await leader.lead(pod)
            await write_mirror(stage.site.database_url, stage.redis_admin_url, market.symbol)
        await _all_say(markets, _TRADING)
        markets[-1].annotate(paused="true")
        await _all_say(markets[-1:], {**_TRADING, **_PAUSED})
        await _each_is_through(markets)
        yield markets


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.server)
async def test_an_outage_is_said_by_all_markets_and_told_once(
    stage: Stage, trading: list[StagedMarket], outage: Outage
) -> None:
    before = [_events(market) for market in trading]
    told = _told(stage, outage.reason), _told(stage, "ServerBack")

    stage.proxies[outage.proxy].cut()
    try:
        await _all_say(trading[:-1], {**_TRADING, **outage.turns})
        await _all_say(trading[-1:], {**_TRADING, **_PAUSED, **outage.turns})
        await trading[0].stage_until(lambda: _told(stage, outage.reason) > told[0], "an Event")
    finally:
        stage.proxies[outage.proxy].restore()
    await _all_say(trading[:-1], _TRADING)
    await _all_say(trading[-1:], {**_TRADING, **_PAUSED})
    await trading[0].stage_until(lambda: _told(stage, "ServerBack") > told[1], "an Event")
    await _each_is_through(trading)
    assert (_told(stage, outage.reason), _told(stage, "ServerBack")) == (told[0] + 1, told[1] + 1)
    assert f"{outage.server} answers again." in [each["message"] for each in stage.events()]
    assert [_events(market) for market in trading] == before


async def test_a_cache_that_comes_back_empty_is_no_event_on_each_market(
    stage: Stage, trading: list[StagedMarket]
) -> None:
    markets = trading[:-1]
    before = [_events(market) for market in markets]
    stage.proxies["redis"].cut()
    try:
        await _all_say(markets, {**_TRADING, c.CACHE_READY: ("False", "CacheUnavailable")})
        async with Redis.from_url(stage.redis_admin_url) as client:
            await client.flushdb()
    finally:
        stage.proxies["redis"].restore()

    await _all_say(markets, {**_TRADING, c.CACHE_READY: ("False", "Rebuilding")})
    for market in trading:
        await write_mirror(stage.site.database_url, stage.redis_admin_url, market.symbol)
    await _all_say(markets, _TRADING)
    await _each_is_through(markets)
    assert [_events(market) for market in markets] == before


def _told(stage: Stage, reason: str) -> int:
    """Events of this reason on the operator's Lease."""
    return sum(each["reason"] == reason for each in stage.events())


def _events(market: StagedMarket) -> list[tuple[str, str]]:
    return sorted((each["reason"], each["message"]) for each in market.stage.events(market.name))


def _said(market: StagedMarket) -> dict[str, tuple[str, str]]:
    conditions = market.read().get("status", {}).get("conditions", [])
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


async def _all_say(markets: list[StagedMarket], wanted: Mapping[str, tuple[str, str]]) -> None:
    for market in markets:
        await market.stage_until(lambda: _said(market) == wanted, f"as in {wanted}")  # noqa: B023 - awaited here


async def _each_is_through(markets: list[StagedMarket]) -> None:
    """The reconciles of before have ended, with their Events: no Market is in two at once."""
    for market in markets:
        market.change(maxOpenOrders=market.read()["spec"]["maxOpenOrders"] + 1)
    for market in markets:
        generation = market.read()["metadata"]["generation"]
        await market.stage_until(
            lambda: market.read()["status"]["observedGeneration"] == generation,  # noqa: B023 - awaited here
            "a further reconcile",
        )

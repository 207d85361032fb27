"""A quiet market: nobody writes anything. And what changes all the time is told now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gomatch.engine import Command, NewOrder, OrderType, Side
from gomatch.messages.codec import pack_commands
from gomatch.store import Intake, Markets, connect_pool
from tests.fixtures.audit_log import AuditEvent
from tests.fixtures.operator_process import until
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket

pytestmark = pytest.mark.asyncio(loop_scope="module")
_TABLES = ("claims", "markets", "intake", "commands")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(empty_stage: Stage) -> AsyncIterator[StagedMarket]:
    """It is led by a real matcher and has orders in its book."""
    empty_stage.start()
    market = empty_stage.market(queue={"maxLength": 5000})
    await market.says(Saying("StoreReady", "True", "InStep"))
    async with market.matcher():
        await market.says(Saying("Ready", "True", "Trading"))
        await accept(market, [order(price) for price in (100, 101, 102)])
        yield market


async def test_three_sweeps_and_a_restart_write_nothing(
    empty_stage: Stage, market: StagedMarket
) -> None:
    await settled(market, depth=0)
    before, since = await everything(market), audit(market).position()

    await sweeps(market, 3)
    assert writes(market, since) == []
    await empty_stage.stop()
    operator = empty_stage.start()
    await until(lambda: operator.events("leading"))
    await until(lambda: operator.metric('gomatch_operator_reconciles_total{result="done"}') >= 1)
    await sweeps(market, 3)

    assert writes(market, since) == []
    assert await everything(market) == before


async def test_what_follows_the_orders_is_written_only_now_and_then_and_wakes_nobody(
    empty_stage: Stage, market: StagedMarket
) -> None:
    # It has been written a moment ago, so it waits for an hour.
    await empty_stage.stop()
    await accept(market, [order(103)])
    await applied(market)
    empty_stage.start(statusSeconds=3600)
    await settled(market)
    await accept(market, [order(104)])
    await applied(market)
    since = audit(market).position()
    await sweeps(market, 3)
    assert writes(market, since) == []

    # With what cannot wait it is written, too, and then there is nothing more to do.
    market.change(state="CancelOnly")
    await market.stage_until(lambda: status(market).get("state") == "CancelOnly", "its new state")
    sequence = await applied(market)
    assert status(market)["lastSequence"] >= sequence - 1
    await empty_stage.stop()

    operator = empty_stage.start()
    market.change(state="Running")
    await market.stage_until(
        lambda: status(market).get("state") == "Running", "the state of before"
    )
    await settled(market, depth=0)
    done = operator.metric('gomatch_operator_reconciles_total{result="done"}')
    await sweeps(market, 3)
    assert operator.metric('gomatch_operator_reconciles_total{result="done"}') == done


def order(price: int) -> Command:
    return NewOrder(1, Side.BUY, OrderType.LIMIT, 1, price)


async def accept(market: StagedMarket, commands: Sequence[Command]) -> None:
    """As the API would."""
    pool = await connect_pool(market.stage.site.database_url, size=1, timeout=10, application="t")
    try:
        record = await Markets(pool).get(market.symbol)
        assert record is not None
        await Intake(pool).accept(
            record.market_id,
            bodies=pack_commands(commands),
            count=len(commands),
            backlog_limit=10**6,
        )
    finally:
        await pool.close()


async def applied(market: StagedMarket) -> int:
    """Wait until all that was accepted is; the sequence then."""
    sql = (
        "SELECT i.accepted = h.applied AS done, h.sequence"
        " FROM heads AS h JOIN intake AS i USING (market_id)"
    )
    async with asyncio.timeout(30):
        while True:
            [row] = await market.stage.site.sql(sql)
            if row["done"]:
                return int(row["sequence"])
            await asyncio.sleep(0.05)


async def settled(market: StagedMarket, *, depth: int | None = None) -> None:
    """Wait until status and mirror have followed, sweeps have written nothing, and the queue is
    told to be of this ``depth``, if given: the broker counts its messages some seconds late."""
    sequence = await applied(market)
    await market.stage_until(lambda: status(market)["lastSequence"] == sequence, "its sequence")
    await market.says(Saying("CacheReady", "True", "InStep"))
    await market.stage_until(lambda: status(market)["queue"]["consumers"] == 1, "a consumer")
    async with asyncio.timeout(60):
        while True:
            since = audit(market).position()
            await sweeps(market, 2)
            told = status(market)["queue"]["depth"]
            if not writes(market, since) and depth in (None, told):
                return


async def sweeps(market: StagedMarket, count: int) -> None:
    """Wait for so many whole ones: each begins by a look at the CRD."""
    log, user = audit(market), market.stage.site.user
    since = log.position()

    def begun() -> int:
        return sum(
            event.user == user and event.resource == "customresourcedefinitions"
            for event in log.events(since)
        )

    await until(lambda: begun() > count, timeout=60, every=0.2)


def writes(market: StagedMarket, since: int) -> list[AuditEvent]:
    """The operator's, but for Leases."""
    found = audit(market).writes(since, user=market.stage.site.user)
    return [event for event in found if event.resource != "leases"]


def audit(market: StagedMarket) -> Any:
    return market.stage.site.plane.audit


def status(market: StagedMarket) -> dict[str, Any]:
    found: dict[str, Any] = market.read().get("status", {})
    return found


async def everything(market: StagedMarket) -> dict[str, Any]:
    """What all servers hold, rows with the transaction that wrote them."""
    site = market.stage.site
    rows = {
        table: sorted(map(str, await site.sql(f"SELECT xmin::text, * FROM {table}")))
        for table in _TABLES
    }
    requests = await site.sql("SELECT market_id, refresh_requested FROM leases")
    async with Redis.from_url(site.redis_url) as client:
        keys = {key: await client.dump(key) for key in await client.keys("*")}
    assert keys
    return {
        "market": market.read(),
        "rows": rows,
        "requests": list(map(str, requests)),
        "definitions": site.broker.definitions(),
        "keys": keys,
    }

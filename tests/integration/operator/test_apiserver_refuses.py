"""An API server that answers, and refuses for a while: it is asked again in good time and not
sooner, and what was wanted meanwhile is done once it can be."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from gomatch.engine import TradingState
from gomatch_operator import names
from tests.fixtures.answering_proxy import WRITES, AnsweringProxy, Refusal
from tests.fixtures.operator_pair import LEASE, PATIENT, market, until_leads, until_settled
from tests.fixtures.operator_process import OperatorProcess, OperatorSite, until
from tests.fixtures.operator_stage import Stage
from tests.fixtures.played_leader import played_leader, write_mirror
from tests.fixtures.staged_market import Saying, StagedMarket

RENEWALS = 8
"""Of the Lease that were refused, one a second: so long it lasts."""
LONG = 30
"""Seconds; it is over before."""
SELDOM: dict[str, Any] = {"retryPeriod": 1, "sweepSeconds": 3600, "canarySeconds": 3600}
"""What else than the Lease is asked now and then anyway does not count."""


async def leading(site: OperatorSite, proxy: AnsweringProxy) -> OperatorProcess:
    """An operator that has done all that there is to do."""
    operator = site.start(api_server=proxy.url, **{**PATIENT, **SELDOM})
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    await until_settled(site)
    return operator


@pytest.mark.parametrize(
    ("refusal", "calls"),
    [
        # Pauses double from at most half a second, and are of a random part of that: a few calls,
        # and some more by chance.
        (Refusal(500), 3 * RENEWALS),
        (Refusal(503, methods=WRITES), 3 * RENEWALS),
        # Once as it was heard of, and once as something else changed.
        (Refusal(429, retry_after=LONG), 2),
        (Refusal(429, retry_after=LONG, methods=WRITES), 2),
    ],
    ids=["fails", "takes no writes", "names a time", "names one for writes"],
)
async def test_an_api_server_that_refuses_is_not_hammered_and_all_is_right_afterwards(
    operator_site: OperatorSite, answering_proxy: AnsweringProxy, refusal: Refusal, calls: int
) -> None:
    site, proxy = operator_site, answering_proxy
    operator = await leading(site, proxy)

    proxy.refuse(refusal)
    site.kubectl("patch", "market/btc-usdt", "--type=merge", "-p", '{"spec":{"state":"Halted"}}')
    site.kubectl("delete", "service", "btc-usdt-matcher")
    site.apply(market("eth-usdt", symbol="ETH-USDT", base="ETH"))
    await until(lambda: renewals(proxy) >= RENEWALS)
    asked = Counter({call: n for call, n in proxy.refused.items() if not call[1].endswith(LEASE)})
    proxy.restore()

    assert asked.total() > 0
    assert max(asked.values()) <= calls, asked
    await until_done(site, {"btc-usdt": TradingState.HALTED, "eth-usdt": TradingState.RUNNING})
    assert operator.running
    assert operator.get("/healthz").status_code == 200
    # Before the proxy does, which would leave connections that are half closed.
    await asyncio.to_thread(operator.stop)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_role_that_could_not_be_written_is_written_later(empty_stage: Stage) -> None:
    """Nothing else about the Market changes, which would have it looked at."""
    stage = empty_stage
    async with AnsweringProxy(stage.site.plane).running() as proxy:
        operator = stage.start(api_server=proxy.url, **PATIENT)
        market = stage.market()
        await market.says(Saying("QueueReady", "True", "InStep"))
        pod = await market.make_pods_ready()
        proxy.refuse(Refusal(503, methods=WRITES, part=f"/pods/{pod}"))
        database = stage.site.database_url
        async with played_leader(database, market.symbol) as leader:
            await leader.lead(pod)
            await market.says(Saying("Ready", "True", "Trading"))
            await write_mirror(database, stage.redis_admin_url, market.symbol)
            await market.says(Saying("CacheReady", "True", "InStep"))
            # Its watch may tell of the pod a moment late.
            await market.stage_until(lambda: proxy.refused.total() > 0, "a try")
            proxy.restore()

            # Tried again after a while that has doubled a few times.
            await market.stage_until(lambda: role(market) == names.ROLE_LEADER, "a role")
            await market.says(Saying("Progressing", "False", "Settled"))
        await asyncio.to_thread(operator.stop)


def role(market: StagedMarket) -> str:
    [pod] = market.pods()
    label: str = pod["metadata"]["labels"].get(names.LABEL_ROLE, "")
    return label


def renewals(proxy: AnsweringProxy) -> int:
    return sum(times for (_, path), times in proxy.refused.items() if path.endswith(LEASE))


async def until_done(site: OperatorSite, states: dict[str, TradingState]) -> None:
    for name in states:
        await until(lambda: up_to_date(site, name), timeout=80)  # noqa: B023 - awaited here
        await site.until_condition(name, "StoreReady", "True", "InStep")
        await site.until_condition(name, "QueueReady", "True", "InStep")
        await until(lambda: site.get("service", f"{name}-matcher"))  # noqa: B023 - awaited here
    rows = await site.sql("SELECT name, requested_state FROM claims")
    assert {row["name"]: TradingState(row["requested_state"]) for row in rows} == states


def up_to_date(site: OperatorSite, name: str) -> bool:
    """All that it asks for has been looked at."""
    found = site.market(name)
    seen: bool = (
        found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
    )
    return seen

"""The API server is away for longer than the operators' Lease lasts: nobody writes, and one leads
once it is back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gomatch.engine import TradingState
from tests.fixtures.links import ProxyFactory
from tests.fixtures.operator_pair import (
    STEADY,
    lease,
    market,
    role,
    until_ended,
    until_leads,
    until_settled,
    until_waits,
    writes_of,
)
from tests.fixtures.operator_process import OperatorSite, until
from tests.fixtures.proxy import TcpProxy

QUEUE = "gomatch.orders.BTC-USDT"


@pytest.mark.parametrize("trouble", [TcpProxy.cut, TcpProxy.stall], ids=["refuses", "is silent"])
async def test_both_stop_while_the_api_server_is_away_and_one_leads_afterwards(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory, trouble: Callable[[TcpProxy], None]
) -> None:
    site = operator_site
    proxies = [await tcp_proxy(site.plane.apiserver.url) for _ in range(2)]
    ways = [f"https://127.0.0.1:{proxy.port}" for proxy in proxies]
    first = site.start(api_server=ways[0], **STEADY)
    await until_leads(first)
    second = site.start(api_server=ways[1], **STEADY)
    await until_waits(second)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    await until_settled(site)
    before, term = await claim(site), lease(site)["leaseTransitions"]

    for proxy in proxies:
        trouble(proxy)
    since = site.plane.audit.position()
    assert await until_ended(first) == 1
    assert first.events("leadership_lost")
    # As a kubelet does.
    again = site.start(api_server=ways[0], **STEADY)
    site.kubectl("patch", "market/btc-usdt", "--type=merge", "-p", '{"spec":{"state":"Halted"}}')
    site.kubectl("delete", "service", "btc-usdt-matcher")
    site.broker.delete(site.broker.at("queues", QUEUE))
    await until(lambda: expired(site))
    await until_waits(again)
    assert role(second) == "standby"
    assert all(writes_of(site, each, since) == [] for each in (first, second, again))
    assert site.broker.get(site.broker.at("queues", QUEUE)) is None
    assert await claim(site) == before

    for proxy in proxies:
        proxy.restore()
    await until(lambda: "leader" in (role(second), role(again)))
    leader, other = (second, again) if role(second) == "leader" else (again, second)
    await until_leads(leader)
    await until(lambda: site.get("service", "btc-usdt-matcher"))
    await until(lambda: site.broker.get(site.broker.at("queues", QUEUE)))
    await until(lambda: observed(site))
    assert role(other) == "standby"
    assert (second.running, again.running) == (True, True)
    assert [writes_of(site, each, since) for each in (first, other)] == [[], []]
    # One command, though two operators may have wished for it.
    assert await claim(site) == (TradingState.HALTED, before[1] + 1)
    assert lease(site)["leaseTransitions"] == term + 1
    [[recorded]] = await site.sql("SELECT term FROM operator_terms")
    assert recorded == term + 1


async def claim(site: OperatorSite) -> tuple[TradingState, int]:
    """The state that was asked for last, and how many commands were accepted."""
    [[state, accepted]] = await site.sql(
        "SELECT requested_state, accepted FROM claims JOIN markets USING (symbol)"
        " JOIN intake USING (market_id)"
    )
    return TradingState(state), accepted


def expired(site: OperatorSite) -> bool:
    """Whoever holds the Lease has not renewed it in the time that it lasts."""
    spec = lease(site)
    renewed = datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    return bool((datetime.now(UTC) - renewed).total_seconds() > spec["leaseDurationSeconds"])


def observed(site: OperatorSite) -> bool:
    found = site.market("btc-usdt")
    return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

"""A Market is deleted while a server is away: what PostgreSQL has is never lost, and what is left
elsewhere is cleaned up once it can be."""

from __future__ import annotations

import asyncio

import redis
import yaml

from gomatch.engine import TradingState
from tests.fixtures.apiserver import temporary_namespace
from tests.fixtures.links import ProxyFactory
from tests.fixtures.operator_process import (
    OperatorSite,
    chart_documents,
    grant_rights,
    until,
)
from tests.fixtures.shared_site import market
from tests.integration.operator.test_deletion import assert_nothing_outside, keys, queue


async def test_queue_and_keys_that_cannot_be_removed_in_time_are_cleaned_up_later(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    broker, cache = await tcp_proxy(site.broker.url), await tcp_proxy(site.redis_url)
    servers = site.settings["servers"]
    servers["rabbitmq"]["managementUrl"] = broker.url(site.broker.url)
    servers["redis"]["url"] = cache.url(site.redis_url)
    site.start()
    for name, symbol in (("one", "ONE-USDT"), ("two", "TWO-USDT")):
        site.apply(market(name, symbol, drainTimeoutSeconds=3))
        await site.until_condition(name, "QueueReady", "True", "InStep")
        with redis.Redis.from_url(site.redis_url) as client:
            client.set(f"gomatch:{{{symbol}}}:orders", "as a matcher leaves it")

    broker.cut()
    await in_thread(site, "delete", "market", "one", "--timeout=60s")
    await until_left(site, ("ONE-USDT", True, False))
    assert queue(site, "ONE-USDT")
    assert keys(site, "ONE-USDT") == []
    broker.restore()
    await until_left(site)
    assert_nothing_outside(site, "ONE-USDT")

    cache.cut()
    await in_thread(site, "delete", "market", "two", "--timeout=60s")
    await until_left(site, ("TWO-USDT", False, True))
    assert keys(site, "TWO-USDT")
    assert not queue(site, "TWO-USDT")
    cache.restore()
    await until_left(site)
    assert_nothing_outside(site, "TWO-USDT")


async def test_without_postgresql_a_deletion_waits_or_is_abandoned(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    proxy = await tcp_proxy(site.database_url)
    postgres = site.settings["servers"]["postgres"]
    postgres["url"] = proxy.url(postgres["url"])
    site.start()
    for name, symbol in (("held", "HELD-USDT"), ("left", "LEFT-USDT")):
        site.apply(market(name, symbol, drainTimeoutSeconds=1))
        await site.until_condition(name, "QueueReady", "True", "InStep")

    proxy.cut()
    for name in ("held", "left"):
        await in_thread(site, "delete", "market", name, "--wait=false")
        await site.until_condition(name, "Draining", "True", "StoreUnavailable")
    await in_thread(site, "annotate", "market", "left", "gomatch.io/abandon=true")
    await in_thread(site, "wait", "--for=delete", "market/left", "--timeout=40s")

    assert "Abandoned" in [reason for reason, _ in site.kubernetes_events("left")]
    assert site.get("market", "held") is not None
    claims = await site.sql("SELECT symbol, held, requested_state FROM claims ORDER BY symbol")
    assert [tuple(each) for each in claims] == [
        ("HELD-USDT", True, TradingState.RUNNING),
        ("LEFT-USDT", True, TradingState.RUNNING),
    ]
    assert queue(site, "LEFT-USDT")

    proxy.restore()
    await in_thread(site, "wait", "--for=delete", "market/held", "--timeout=40s")
    [held] = await site.sql("SELECT held FROM claims WHERE symbol = 'HELD-USDT'")
    assert not held[0]
    assert_nothing_outside(site, "HELD-USDT")
    # The abandoned one is the same Market by name when it is made again.
    site.apply(market("left", "LEFT-USDT"))
    await site.until_condition("left", "StoreReady", "True", "InStep")


async def test_markets_go_with_their_namespace_and_lose_nothing(
    operator_site: OperatorSite,
) -> None:
    """By an operator of all namespaces: the rights of one by one go with the namespace, too."""
    site = operator_site
    grant_rights(site.plane, chart_documents(site.namespace, "clusterScope=true"))
    with temporary_namespace(site.plane, f"{site.namespace}-markets") as namespace:
        site.start(watchNamespaces=[], clusterScope=True)
        site.plane.kubectl(
            *("-n", namespace, "apply", "-f", "-"),
            stdin=yaml.safe_dump(market("going", "GOING-USDT", drainTimeoutSeconds=600)),
        )
        await until(lambda: queue(site, "GOING-USDT"))
        await until(lambda: site.plane.kubectl("-n", namespace, "get", "deployments", "-o", "name"))

        site.plane.kubectl("delete", "namespace", namespace, "--timeout=100s", timeout=110)

    [row] = await site.sql(
        "SELECT held, accepted FROM claims JOIN markets USING (symbol)"
        " JOIN intake USING (market_id) WHERE symbol = 'GOING-USDT'"
    )
    # The Market's own beginning, and the two commands that close it: applied once it is back.
    assert tuple(row) == (False, 3)
    assert_nothing_outside(site, "GOING-USDT")


async def leftovers(site: OperatorSite) -> list[tuple[object, ...]]:
    """What PostgreSQL remembers to be cleaned up: symbol, queue, keys."""
    return [tuple(row) for row in await site.sql("SELECT symbol, queue, cache FROM leftovers")]


async def until_left(site: OperatorSite, *expected: tuple[object, ...]) -> None:
    """A server that was only slow is cleaned up soon."""
    async with asyncio.timeout(40):
        while await leftovers(site) != list(expected):
            await asyncio.sleep(0.1)


async def in_thread(site: OperatorSite, *arguments: str) -> None:
    """kubectl, while the proxies of the test go on."""
    await asyncio.to_thread(site.kubectl, *arguments)

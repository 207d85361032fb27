"""A leader that stood still in the middle of its work does nothing more once another leads."""

from __future__ import annotations

from collections.abc import Callable

import aio_pika
import pytest

from gomatch.transport.rabbitmq import topology
from tests.fixtures.links import ProxyFactory
from tests.fixtures.operator_pair import (
    STEADY,
    market,
    role,
    until_ended,
    until_leads,
    until_waits,
    writes_of,
)
from tests.fixtures.operator_process import OperatorProcess, OperatorSite, until
from tests.fixtures.proxy import Direction, TcpProxy

QUEUE = topology.queue_name("BTC-USDT")


def stop_at(proxy: TcpProxy, words: bytes, process: OperatorProcess) -> Callable[[], bool]:
    """Stop ``process`` as it sends ``words`` through ``proxy``, which keeps them. The result tells
    whether that has happened."""
    stopped = False

    def look(direction: Direction, data: bytes) -> None:
        nonlocal stopped
        if direction == "to_server" and words in data and not stopped:
            stopped = True
            process.pause()
            proxy.stall()

    proxy.hook = look
    return lambda: stopped


async def until_lost(process: OperatorProcess) -> None:
    """The one that stood still goes on, and ends."""
    process.resume()
    assert await until_ended(process) == 1, process.logged()[-3000:]
    assert process.events("leadership_lost")


async def test_a_leader_that_stood_still_ends_and_writes_nothing(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    first = site.start(**STEADY)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    second = site.start(**STEADY)
    await until_waits(second)

    first.pause()
    await until_leads(second)
    # Work for the one that still takes itself for the leader.
    site.kubectl("delete", "configmap,service", "btc-usdt-matcher")
    await until(lambda: site.get("service", "btc-usdt-matcher"))
    since = site.plane.audit.position()
    await until_lost(first)

    assert writes_of(site, first, since) == []
    assert role(second) == "leader"


@pytest.mark.parametrize(
    ("words", "timeout"),
    [
        # Its session outlasts the takeover: it is told that a later term began.
        (b"BEGIN", 60),
        # PostgreSQL ends the transaction of one that says nothing, and what it holds is free.
        (b"INSERT INTO claims", 5),
        (b"COMMIT", 5),
    ],
    ids=["before the transaction", "in the transaction", "before the commit"],
)
async def test_a_claim_that_was_interrupted_is_fenced(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory, words: bytes, timeout: float
) -> None:
    site = operator_site
    proxy = await tcp_proxy(site.database_url)
    servers = site.settings["servers"]
    through = {
        **servers,
        "postgres": {**servers["postgres"], "url": proxy.url(servers["postgres"]["url"])},
    }
    first = site.start(servers=through, requestTimeout=timeout, **STEADY)
    await until_leads(first)
    second = site.start(**STEADY)
    await until_waits(second)
    stopped = stop_at(proxy, words, first)
    site.apply(market())
    await until(stopped)
    await until_leads(second)
    proxy.hook = None

    proxy.restore()
    await site.until_condition("btc-usdt", "StoreReady", "True", "InStep")
    since = site.plane.audit.position()
    before = await _stored(site)
    await until_lost(first)

    assert writes_of(site, first, since) == []
    assert await _stored(site) == before


async def test_a_deletion_that_was_interrupted_deletes_nothing_made_since(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    proxy = await tcp_proxy(site.broker.url)
    servers = site.settings["servers"]
    through = {
        **servers,
        "rabbitmq": {**servers["rabbitmq"], "managementUrl": proxy.url(site.broker.url)},
    }
    first = site.start(servers=through, **STEADY)
    site.apply(market(drainTimeoutSeconds=1))
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    second = site.start(**STEADY)
    await until_waits(second)
    stopped = stop_at(proxy, b"DELETE /api/queues", first)
    site.kubectl("delete", "market", "btc-usdt", "--wait=false")
    await until(stopped)
    await until_leads(second)
    await until(lambda: site.get("market", "btc-usdt") is None)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    # It would not outlast the queue, which the second would make again.
    async with site.broker.connect() as channel:
        message = aio_pika.Message(b"since", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=QUEUE)

    since = site.plane.audit.position()
    # What it sent has not arrived; it would have to send it again.
    proxy.hook = None
    proxy.drop()
    proxy.restore()
    await until_lost(first)

    assert writes_of(site, first, since) == []
    async with site.broker.connect() as channel:
        queue = await channel.get_queue(QUEUE)
    assert queue.declaration_result.message_count == 1
    assert await site.sql("SELECT held FROM claims WHERE symbol = 'BTC-USDT' AND held")


async def _stored(site: OperatorSite) -> list[tuple[object, ...]]:
    """All that operators write there."""
    tables = ("operator_terms", "claims", "markets")
    found: list[tuple[object, ...]] = []
    for table in tables:
        found += [tuple(row) for row in await site.sql(f"SELECT * FROM {table}")]
    return found

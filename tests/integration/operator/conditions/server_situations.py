"""Servers that are away, refuse, or are not what they should be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import httpx

from gomatch.store import Leadership, Markets
from gomatch.transport.rabbitmq import topology
from gomatch_operator import conditions as c
from tests.fixtures.operator_process import until
from tests.fixtures.operator_stage import Stage, set_redis_password
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.situation import Situation
from tests.integration.operator.conditions.spec_situations import IN_STEP, STARTING

_OTHER = "another-one"
_QUEUED = Saying(c.QUEUE_READY, "True", "InStep")
_NOT_MIRRORED = Saying(c.CACHE_READY, "False", "NotStarted")
_MIRRORED = Saying(c.CACHE_READY, "True", "InStep")
_IN_STEP = (_MIRRORED.type, _MIRRORED.status)


async def postgres_away(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    stage.proxies["postgres"].cut()
    yield market
    stage.proxies["postgres"].restore()


async def postgres_refuses(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    _set_postgres_password(stage, _OTHER)
    stage.proxies["postgres"].drop()
    yield market
    stage.credentials["postgres"].write(stage.account, _OTHER)


async def broker_away(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    stage.proxies["management"].cut()
    yield market
    stage.proxies["management"].restore()


async def broker_refuses_user(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    stage.site.broker.make_user(stage.account, _OTHER)
    yield market
    stage.credentials["rabbitmq"].write(stage.account, _OTHER)


async def no_management(stage: Stage) -> AsyncIterator[StagedMarket]:
    """Something else is at its port: here the operator's own health server."""
    market = await _begun(stage)
    assert stage.operator is not None
    stage.proxies["management"].redirect(("127.0.0.1", stage.operator.port))
    yield market
    stage.proxies["management"].redirect(stage.management)


async def no_virtual_host(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    broker = stage.site.broker
    broker.delete(f"vhosts/{broker.vhost}")
    yield market
    broker.put(f"vhosts/{broker.vhost}", {})
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    broker.put(f"permissions/{broker.vhost}/{stage.account}", rights)
    broker.put(f"permissions/{broker.vhost}/guest", rights)


async def no_room_for_queues(stage: Stage) -> AsyncIterator[StagedMarket]:
    broker = stage.site.broker
    limit = f"vhost-limits/{broker.vhost}/max-queues"
    broker.put(limit, {"value": len(broker.get(f"queues/{broker.vhost}"))})
    yield stage.market()
    broker.delete(limit)


async def strange_queue(stage: Stage) -> AsyncIterator[StagedMarket]:
    number = stage.number()
    market = StagedMarket(stage, f"s{number}", f"S{number}-USDT")
    broker = stage.site.broker
    queue = broker.at("queues", topology.queue_name(market.symbol))
    broker.put(queue, {"durable": True, "auto_delete": False, "arguments": {}})
    stage.market(name=market.name, symbol=market.symbol)
    yield market
    broker.delete(queue)


async def strange_exchange(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    broker = stage.site.broker
    exchange = broker.at("exchanges", topology.DEAD)

    def replaced() -> bool:
        """The operator may have made its own again between the two calls."""
        broker.delete(exchange)
        with suppress(httpx.HTTPStatusError):
            broker.put(exchange, {"type": "topic", "durable": True})
        found = broker.get(exchange)
        return found is not None and found["type"] == "topic"

    await until(replaced)
    yield market
    broker.delete(exchange)


async def redis_away(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    stage.proxies["redis"].cut()
    yield market
    stage.proxies["redis"].restore()


async def redis_refuses(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = await _begun(stage)
    await set_redis_password(stage.redis_admin_url, stage.account, _OTHER)
    stage.proxies["redis"].drop()
    yield market
    stage.credentials["redis"].write(stage.account, _OTHER)


async def no_mirror(stage: Stage) -> AsyncIterator[StagedMarket]:
    """Somebody leads and has not written it."""
    market = await _begun(stage)
    pod = await market.make_pods_ready()
    before = market.read()["metadata"]["resourceVersion"]
    leadership = Leadership(stage.site.database_url, timeout=10)
    try:
        async with stage.database() as pool:
            record = await Markets(pool).get(market.symbol)
        assert record is not None
        leader = await leadership.acquire(record.market_id, f"{pod}/test", 60)
        assert leader is not None
        yield market
        told = [each for one in market.versions(before) for each in one["status"]["conditions"]]
        assert not [each for each in told if (each["type"], each["status"]) == _IN_STEP], told
        await leadership.release(record.market_id, leader.epoch)
    finally:
        await leadership.close()
    async with market.matcher(pod=pod):
        await market.says(_MIRRORED)


async def _begun(stage: Stage) -> StagedMarket:
    market = stage.market()
    for saying in (IN_STEP, _QUEUED, STARTING):
        await market.says(saying)
    return market


def _set_postgres_password(stage: Stage, password: str) -> None:
    stage.postgres.run_sql(f"ALTER ROLE {stage.account} PASSWORD '{password}'")


SITUATIONS = (
    Situation(
        name="PostgreSQL gives no answer",
        on_operator="StoreUnavailable",
        arrange=postgres_away,
        says=(
            Saying(c.STORE_READY, "False", "StoreUnavailable"),
            Saying(c.READY, "False", "StoreNotReady"),
            Saying(c.CONFLICT, "Unknown", "Unknown"),
            Saying(c.HALTED, "Unknown", "Unknown"),
            STARTING,
        ),
        afterwards=(IN_STEP, Saying(c.HALTED, "False", "NotHalted")),
    ),
    Situation(
        name="PostgreSQL refuses the password",
        on_operator="CredentialsRefused",
        arrange=postgres_refuses,
        says=(Saying(c.STORE_READY, "False", "CredentialsRefused", "password"),),
        afterwards=(IN_STEP,),
    ),
    Situation(
        name="RabbitMQ gives no answer",
        on_operator="BrokerUnavailable",
        arrange=broker_away,
        says=(Saying(c.QUEUE_READY, "False", "BrokerUnavailable", "no answer"), IN_STEP, STARTING),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="RabbitMQ refuses the password",
        on_operator="CredentialsRefused",
        arrange=broker_refuses_user,
        says=(Saying(c.QUEUE_READY, "False", "CredentialsRefused", "refuses"), IN_STEP),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="nothing serves the management API",
        on_operator="ManagementMissing",
        arrange=no_management,
        says=(Saying(c.QUEUE_READY, "False", "ManagementMissing", "management API"), IN_STEP),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="the virtual host is missing",
        on_operator="VirtualHostMissing",
        arrange=no_virtual_host,
        says=(Saying(c.QUEUE_READY, "False", "VirtualHostMissing", "virtual host"), IN_STEP),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="RabbitMQ has no room for another queue",
        arrange=no_room_for_queues,
        says=(Saying(c.QUEUE_READY, "False", "BrokerRefused", "limit"), IN_STEP, STARTING),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="a queue of its name is somebody else's",
        arrange=strange_queue,
        says=(
            Saying(c.QUEUE_READY, "False", "ForeignQueue", "none of gomatch's"),
            Saying(c.CONFLICT, "True", "ForeignQueue", "none of gomatch's"),
        ),
        afterwards=(_QUEUED, Saying(c.CONFLICT, "False", "NoConflict"), STARTING),
    ),
    Situation(
        name="an exchange of our name has another type",
        on_operator="ForeignExchange",
        arrange=strange_exchange,
        says=(Saying(c.QUEUE_READY, "False", "ForeignExchange", topology.DEAD),),
        afterwards=(_QUEUED,),
    ),
    Situation(
        name="Redis gives no answer",
        on_operator="CacheUnavailable",
        arrange=redis_away,
        says=(Saying(c.CACHE_READY, "False", "CacheUnavailable"), IN_STEP, _QUEUED),
        afterwards=(_NOT_MIRRORED,),
    ),
    Situation(
        name="Redis refuses the password",
        on_operator="CredentialsRefused",
        arrange=redis_refuses,
        says=(Saying(c.CACHE_READY, "False", "CredentialsRefused"), IN_STEP, _QUEUED),
        afterwards=(_NOT_MIRRORED,),
    ),
    Situation(
        name="a leader has no mirror",
        arrange=no_mirror,
        says=(
            Saying(c.MATCHER_AVAILABLE, "True", "Leading"),
            Saying(c.CACHE_READY, "False", "Rebuilding"),
        ),
        afterwards=(_MIRRORED,),
    ),
)

"""What somebody deletes or changes in RabbitMQ and Redis comes back with the next sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gomatch.cache import MarketKeys
from gomatch.engine import NewOrder, OrderType, Side
from gomatch.messages.codec import pack_commands
from gomatch.store import Intake, Markets, connect_pool
from gomatch.transport.rabbitmq import topology
from tests.fixtures.management import BrokerAdmin
from tests.fixtures.operator_stage import Stage
from tests.fixtures.owned_objects import OwnedObjects
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.fixtures.stored import all_applied, mirrored

pytestmark = pytest.mark.asyncio(loop_scope="module")
_KEYS = ("meta", "orders", "bids", "depth")


@dataclass(frozen=True)
class Damage:
    """``change`` is given the broker and the market's queue; ``shared`` if all Markets have it."""

    name: str
    kind: str
    change: Callable[[BrokerAdmin, str], None]
    shared: bool = False


def _other_queue(broker: BrokerAdmin, queue: str) -> None:
    broker.delete(broker.at("queues", queue))
    arguments = {"x-dead-letter-exchange": topology.DEAD, "x-queue-type": "classic"}
    broker.put(broker.at("queues", queue), {"durable": True, "arguments": arguments})


def _delete_binding(broker: BrokerAdmin, queue: str) -> None:
    path = broker.at("bindings").rstrip("/") + f"/e/{topology.EXCHANGE}/q/{queue}"
    for each in broker.get(path):
        broker.delete(f"{path}/{each['properties_key']}")


def _longer(broker: BrokerAdmin, name: str) -> None:
    policy = broker.get(broker.at("policies", name))
    body = {key: policy[key] for key in ("pattern", "priority", "apply-to")}
    broker.put(
        broker.at("policies", name),
        {**body, "definition": {**policy["definition"], "max-length": 7}},
    )


DAMAGES = (
    Damage("the queue", "queue", lambda broker, queue: broker.delete(broker.at("queues", queue))),
    Damage("the queue's arguments", "queue", _other_queue),
    Damage("the binding", "binding", _delete_binding),
    Damage(
        "the policy", "policy", lambda broker, queue: broker.delete(broker.at("policies", queue))
    ),
    Damage("the policy's length", "policy", _longer),
    Damage(
        "the policy of all",
        "policy",
        lambda broker, _: broker.delete(broker.at("policies", topology.EXCHANGE)),
        shared=True,
    ),
    Damage(
        "the exchange",
        "exchange",
        lambda broker, _: broker.delete(broker.at("exchanges", topology.EXCHANGE)),
        shared=True,
    ),
    Damage(
        "the exchange of dead letters",
        "exchange",
        lambda broker, _: broker.delete(broker.at("exchanges", topology.DEAD)),
        shared=True,
    ),
    Damage(
        "the queue of dead letters",
        "queue",
        lambda broker, _: broker.delete(broker.at("queues", topology.DEAD)),
        shared=True,
    ),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def objects(empty_stage: Stage) -> OwnedObjects:
    """Of a Market whose queue has a length of its own; nobody reads it yet."""
    empty_stage.start()
    market = empty_stage.market(queue={"maxLength": 5000})
    await market.says(Saying("QueueReady", "True", "InStep"))
    return OwnedObjects(empty_stage, market)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
async def test_what_is_taken_from_rabbitmq_comes_back(
    objects: OwnedObjects, damage: Damage
) -> None:
    broker, market = objects.stage.site.broker, objects.market
    before, counted = broker.definitions(), objects.repaired(damage.kind)

    operator = objects.stage.operator
    assert operator is not None
    # It sees nothing of a change that is half done.
    operator.pause()
    try:
        damage.change(broker, topology.queue_name(market.symbol))
        assert broker.definitions() != before
    finally:
        operator.resume()

    await market.stage_until(lambda: broker.definitions() == before, "all as before")
    await market.stage_until(lambda: objects.repaired(damage.kind) > counted, "it counted")
    place = objects.stage.site.settings["leaseName"] if damage.shared else market.name
    await market.stage_until(lambda: restorations(objects, place, damage.kind), "it told")


async def test_another_length_is_a_wish_and_no_drift(objects: OwnedObjects) -> None:
    broker, market = objects.stage.site.broker, objects.market
    path = broker.at("policies", topology.queue_name(market.symbol))
    counted = objects.repaired("policy")

    market.change(queue={"maxLength": 6000})
    await market.stage_until(
        lambda: broker.get(path)["definition"]["max-length"] == 6000, "the new length"
    )
    generation = market.read()["metadata"]["generation"]
    await market.stage_until(
        lambda: market.read()["status"]["observedGeneration"] == generation, "it handled"
    )
    assert objects.repaired("policy") == counted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def led(objects: OwnedObjects) -> AsyncIterator[OwnedObjects]:
    """With a real matcher, which leads and has orders in its book."""
    market = objects.market
    async with market.matcher():
        await market.says(Saying("Ready", "True", "Trading"))
        await accept_orders(market)
        await market.says(Saying("CacheReady", "True", "InStep"))
        yield objects


@pytest.mark.parametrize("damage", ["deleted", "spoilt"])
@pytest.mark.parametrize("key", _KEYS)
async def test_what_is_taken_from_the_mirror_of_an_idle_market_is_written_anew(
    led: OwnedObjects, key: str, damage: str
) -> None:
    market, site = led.market, led.stage.site
    head = await all_applied(site.database_url, market.symbol)
    await mirrored(site.redis_url, market.symbol, head.sequence, head.chain)
    await led.swept()
    counted = led.repaired("mirror")

    async with Redis.from_url(site.redis_url) as client:
        name = getattr(MarketKeys.of(market.symbol), key)
        assert await client.delete(name) == 1
        if damage == "spoilt":
            await client.set(name, "theirs")

    await market.stage_until(lambda: led.repaired("mirror") > counted, "it counted")
    await mirrored(site.redis_url, market.symbol, head.sequence, head.chain)
    await market.says(Saying("CacheReady", "True", "InStep"))
    await market.stage_until(lambda: restorations(led, market.name, "mirror"), "it told")


def restorations(objects: OwnedObjects, name: str, kind: str) -> Sequence[str]:
    """What Events on the object of this name say of what was restored of this kind."""
    return [
        each["message"]
        for each in objects.stage.events(name)
        if each["reason"] == "Restored" and f"{kind} " in each["message"]
    ]


async def accept_orders(market: StagedMarket) -> None:
    """As the API would."""
    pool = await connect_pool(market.stage.site.database_url, size=1, timeout=10, application="t")
    orders = [NewOrder(1, Side.BUY, OrderType.LIMIT, 1, price) for price in (100, 101, 102)]
    try:
        record = await Markets(pool).get(market.symbol)
        assert record is not None
        await Intake(pool).accept(
            record.market_id,
            bodies=pack_commands(orders),
            count=len(orders),
            backlog_limit=10**6,
        )
    finally:
        await pool.close()

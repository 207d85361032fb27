"""Queues at a real broker, kept by a user of the least rights: what is taken away or changed comes
back, what is somebody else's stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import count

import aio_pika
import pytest

from gomatch.errors import PublishFailed
from gomatch.transport import CommandPublisher, RabbitMQTransport
from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action
from gomatch_operator.queue.desired_queue import USUAL_LENGTH, DesiredQueue
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.reconciler import QueueReconciler
from tests.fixtures.batches import make_batch
from tests.fixtures.broker import publish_until_confirmed, take_numbers
from tests.fixtures.management import BrokerAdmin, CredentialFiles
from tests.fixtures.queues import make_queue

SYMBOL = "BTC-USDT"
NAME = "gomatch.orders.BTC-USDT"
USUAL = DesiredQueue(symbol=SYMBOL, max_length=USUAL_LENGTH)
SHORT = DesiredQueue(symbol=SYMBOL, max_length=3)


class Kept:
    """The queue layer of one operator and the HTTP calls that it made."""

    def __init__(self, admin: BrokerAdmin, credentials: CredentialFiles) -> None:
        self.calls: list[str] = []
        self.api = ManagementApi(
            admin.url,
            vhost=admin.vhost,
            credentials=credentials.folder,
            timeout=20,
            called=lambda method, _: self.calls.append(method),
        )
        self.reconciler = QueueReconciler(self.api)

    async def reconcile(self, *desired: DesiredQueue, known: bool = False) -> list[Action]:
        """What was done, with one look at the broker."""
        inventory = await self.reconciler.observe()
        plan = self.reconciler.plan_shared(inventory, known=known)
        assert not plan.foreign
        done = list(plan.actions)
        for each in desired:
            plan = self.reconciler.plan(each, inventory, known=known)
            assert not plan.foreign
            done += plan.actions
        for action in done:
            await self.reconciler.apply(action)
            inventory = inventory.with_applied(action)
        assert not self.reconciler.plan_shared(inventory).actions
        assert not [
            each for one in desired for each in self.reconciler.plan(one, inventory).actions
        ]
        return done


@pytest.fixture
async def kept(
    broker_admin: BrokerAdmin, operator_credentials: CredentialFiles
) -> AsyncIterator[Kept]:
    kept = Kept(broker_admin, operator_credentials)
    yield kept
    await kept.api.close()


async def test_a_market_can_use_what_was_made_and_the_programs_find_nothing_missing(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await kept.reconcile(USUAL)

    assert not await make_queue(broker_admin.amqp_url, SYMBOL)
    transport = RabbitMQTransport(broker_admin.amqp_url)
    try:
        publisher = await transport.publisher()
        consumer = await transport.consumer(SYMBOL, prefetch=10)
        await publisher.publish(make_batch(SYMBOL, 1), timeout=10)
        assert [each.batch.first for each in await take_numbers(consumer, 1)] == [1]
    finally:
        await transport.close()


async def test_what_the_programs_made_themselves_is_as_the_operator_wants_it(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await make_queue(broker_admin.amqp_url, SYMBOL)

    assert [each.kind for each in await kept.reconcile(USUAL)] == ["policy"]


@pytest.mark.parametrize("desired", [USUAL, SHORT], ids=["usual length", "own length"])
async def test_a_second_look_finds_nothing_to_do(
    kept: Kept, broker_admin: BrokerAdmin, desired: DesiredQueue
) -> None:
    assert await kept.reconcile(desired)
    before = broker_admin.definitions()
    kept.calls.clear()

    assert await kept.reconcile(desired) == []
    assert set(kept.calls) == {"GET"}
    assert broker_admin.definitions() == before


TAKEN_AWAY: dict[str, Callable[[BrokerAdmin], str]] = {
    "queue": lambda admin: admin.at("queues", NAME),
    "binding": lambda admin: f"bindings/{admin.vhost}/e/gomatch.orders/q/{NAME}/{SYMBOL}",
    "orders exchange": lambda admin: admin.at("exchanges", "gomatch.orders"),
    "dead exchange": lambda admin: admin.at("exchanges", "gomatch.dead"),
    "dead queue": lambda admin: admin.at("queues", "gomatch.dead"),
    "usual policy": lambda admin: admin.at("policies", "gomatch.orders"),
    "own policy": lambda admin: admin.at("policies", NAME),
}


@pytest.mark.parametrize("taken", TAKEN_AWAY)
async def test_what_is_deleted_by_hand_comes_back(
    kept: Kept, broker_admin: BrokerAdmin, taken: str
) -> None:
    await kept.reconcile(SHORT)
    before = broker_admin.definitions()
    broker_admin.delete(TAKEN_AWAY[taken](broker_admin))
    assert broker_admin.definitions() != before

    done = await kept.reconcile(SHORT, known=True)

    assert done
    assert all(action.drift for action in done)
    assert broker_admin.definitions() == before


@pytest.mark.parametrize("name", ["gomatch.orders", NAME])
async def test_a_policy_edited_by_hand_is_put_back(
    kept: Kept, broker_admin: BrokerAdmin, name: str
) -> None:
    await kept.reconcile(SHORT)
    before = broker_admin.definitions()
    broker_admin.put(
        broker_admin.at("policies", name),
        {"pattern": "^nothing$", "definition": {"max-length": 1}, "apply-to": "all"},
    )

    done = await kept.reconcile(SHORT, known=True)

    assert [(each.verb, each.name, each.drift) for each in done] == [("apply", name, True)]
    assert broker_admin.definitions() == before


async def test_a_queue_of_ours_with_other_arguments_is_made_anew(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await make_queue(broker_admin.amqp_url, SYMBOL, length=10)

    done = await kept.reconcile(USUAL)

    assert ("replace", "queue") in {(each.verb, each.kind) for each in done}
    queue = broker_admin.get(broker_admin.at("queues", NAME))
    assert queue["arguments"] == topology.queue_arguments(0)
    assert await kept.reconcile(USUAL) == []
    assert not await make_queue(broker_admin.amqp_url, SYMBOL)


async def test_a_length_is_changed_in_place_and_no_message_is_lost(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await kept.reconcile(USUAL)
    transport = RabbitMQTransport(broker_admin.amqp_url)
    try:
        publisher = await transport.publisher()
        for number in range(1, 11):
            await publisher.publish(make_batch(SYMBOL, number), timeout=10)

        await kept.reconcile(SHORT)
        with pytest.raises(PublishFailed, match="full"):
            await _publish_for_ever(publisher, first=11)
        await kept.reconcile(USUAL)
        # The queue hears of its new length a moment later.
        await publish_until_confirmed(publisher, make_batch(SYMBOL, 100_000))

        consumer = await transport.consumer(SYMBOL, prefetch=100)
        taken = [each.batch.first for each in await take_numbers(consumer, 11)]
        assert taken[:10] == list(range(1, 11))
    finally:
        await transport.close()


async def test_a_queue_of_somebody_else_is_reported_and_left_with_its_messages(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    broker_admin.put(broker_admin.at("queues", NAME), {"durable": True, "arguments": {}})
    async with broker_admin.connect() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"theirs"), routing_key=NAME)
    await kept.reconcile()
    before = broker_admin.definitions()

    for inventory in (
        await kept.reconciler.observe(),
        await kept.reconciler.observe_one(SYMBOL),
    ):
        plan = kept.reconciler.plan(USUAL, inventory, known=True)
        assert NAME in plan.foreign
        assert not plan.actions
        assert not kept.reconciler.plan_removal(SYMBOL, inventory).actions

    assert broker_admin.definitions() == before
    async with broker_admin.connect() as channel:
        message = await (await channel.get_queue(NAME)).get(timeout=10)
        assert message is not None
        assert message.body == b"theirs"


async def test_an_exchange_of_our_name_and_another_type_is_reported(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    broker_admin.put(broker_admin.at("exchanges", "gomatch.orders"), {"type": "topic"})

    plan = kept.reconciler.plan_shared(await kept.reconciler.observe())

    assert "gomatch.orders" in plan.foreign
    assert not plan.actions


async def test_the_policy_that_we_take_for_effective_is_the_one_that_the_broker_applies(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await kept.reconcile(USUAL)
    for name, pattern, priority, on in [
        ("low", ".*", 5, "all"),
        ("exchanges-only", ".*", 99, "exchanges"),
        ("others", r"^gomatch\.orders\.ETH", 98, "queues"),
        ("theirs", "BTC-USDT$", 50, "queues"),
        ("literal", r"^gomatch\.orders\.BTC-USDT$", 40, "queues"),
    ]:
        broker_admin.put(
            broker_admin.at("policies", name),
            {
                "pattern": pattern,
                "priority": priority,
                "apply-to": on,
                "definition": {"alternate-exchange": "x"}
                if on == "exchanges"
                else {"expires": 9**9},
            },
        )

    inventory = await kept.reconciler.observe()

    assert [each.name for each in inventory.effective(NAME)] == ["theirs"]
    assert "theirs" in kept.reconciler.plan(USUAL, inventory).note
    async with asyncio.timeout(60):
        while broker_admin.get(broker_admin.at("queues", NAME)).get("policy") != "theirs":
            await asyncio.sleep(0.2)


async def test_a_markets_removal_leaves_what_all_share(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    other = DesiredQueue(symbol="ETH-USDT", max_length=7)
    await kept.reconcile(other)
    before = broker_admin.definitions()
    await kept.reconcile(SHORT)

    inventory = await kept.reconciler.observe_one(SYMBOL)
    for action in kept.reconciler.plan_removal(SYMBOL, inventory).actions * 2:
        await kept.reconciler.apply(action)

    assert broker_admin.definitions() == before
    again = await kept.reconciler.observe_one(SYMBOL)
    assert not kept.reconciler.plan_removal(SYMBOL, again).actions


async def test_one_markets_look_is_enough_to_plan_for_it(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await kept.reconcile(SHORT)
    inventory = await kept.reconciler.observe_one(SYMBOL)
    assert not kept.reconciler.plan(SHORT, inventory).actions

    broker_admin.delete(TAKEN_AWAY["binding"](broker_admin))
    broker_admin.delete(TAKEN_AWAY["own policy"](broker_admin))

    plan = kept.reconciler.plan(SHORT, await kept.reconciler.observe_one(SYMBOL))
    assert [each.kind for each in plan.actions] == ["policy", "binding"]


async def test_two_hundred_markets_are_looked_at_and_planned_by_five_calls(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    markets = [DesiredQueue(symbol=f"A{n}-USDT", max_length=USUAL_LENGTH) for n in range(199)]
    markets.append(DesiredQueue(symbol="A199-USDT", max_length=50))
    await kept.reconcile(*markets)
    taken = ["A3-USDT", "A77-USDT", "A199-USDT"]
    for symbol in taken:
        broker_admin.delete(broker_admin.at("queues", topology.queue_name(symbol)))
    kept.calls.clear()

    inventory = await kept.reconciler.observe()
    planned = [
        action
        for each in markets
        for action in kept.reconciler.plan(each, inventory, known=True).actions
    ]

    assert kept.calls == ["GET"] * 5
    assert {action.name for action in planned} == {topology.queue_name(each) for each in taken}
    for action in planned:
        await kept.reconciler.apply(action)
    assert await kept.reconcile(*markets) == []


async def test_depth_and_consumers_of_a_market_become_known(
    kept: Kept, broker_admin: BrokerAdmin
) -> None:
    await kept.reconcile(USUAL)
    transport = RabbitMQTransport(broker_admin.amqp_url)
    try:
        publisher = await transport.publisher()
        await publisher.publish(make_batch(SYMBOL, 1), timeout=10)
        consumer = await transport.consumer(SYMBOL, prefetch=10)
        await take_numbers(consumer, 1)
        seen: tuple[int | None, int | None] = (None, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while seen != (1, 1):
                    await asyncio.sleep(0.2)
                    queue = (await kept.reconciler.observe()).queues[NAME]
                    seen = (queue.messages, queue.consumers)
        assert seen == (1, 1)
    finally:
        await transport.close()


async def _publish_for_ever(publisher: CommandPublisher, *, first: int) -> None:
    """The broker looks at a quorum queue's length some messages late."""
    async with asyncio.timeout(30):
        for number in count(first):
            await publisher.publish(make_batch(SYMBOL, number), timeout=10)

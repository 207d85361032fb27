"""What is done to a broker for one Market, by a list that may be old."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action
from gomatch_operator.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    LeadershipLost,
    ManagementMissing,
    VirtualHostMissing,
)
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.outages import Outages
from gomatch_operator.queue.inventory import QueueInventory
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.planning import USUAL_POLICY
from gomatch_operator.queue.reconciler import QueueReconciler
from gomatch_operator.queue.rows import BindingRow, ExchangeRow, QueueRow

SYMBOL = "BTC-USDT"
QUEUE = f"gomatch.orders.{SYMBOL}"
LENGTH = 100_000


class Broker(QueueReconciler):
    """Lists come from ``listed``, a look at one queue and writes go to ``inventory``."""

    def __init__(self) -> None:
        super().__init__(cast("ManagementApi", None))
        self.inventory = shared()
        self.listed: QueueInventory | None = None
        self.fault: BrokerError | None = None
        self.written: list[str] = []
        self.looks = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def observe(self) -> QueueInventory:
        if self.fault is not None:
            raise self.fault
        seen = self.listed or self.inventory
        self.looks.set()
        await self.answers.wait()
        return seen

    async def observe_one(self, symbol: str) -> QueueInventory:
        if self.fault is not None:
            raise self.fault
        return self.inventory

    async def apply(self, action: Action) -> None:
        if self.fault is not None:
            raise self.fault
        self.inventory = self.inventory.with_applied(action)
        self.written.append(f"{action.verb} {action.kind}")


def shared(*queues: QueueRow, bindings: tuple[BindingRow, ...] = ()) -> QueueInventory:
    """What all Markets share, and more."""
    dead = QueueRow(
        name=topology.DEAD, durable=True, type="quorum", arguments=topology.dead_letter_arguments()
    )
    return QueueInventory.of(
        queues=(dead, *queues),
        exchanges=(
            ExchangeRow(name=topology.EXCHANGE, type="direct", durable=True),
            ExchangeRow(name=topology.DEAD, type="fanout", durable=True),
        ),
        bindings=(BindingRow(source=topology.DEAD, destination=topology.DEAD), *bindings),
        policies=(USUAL_POLICY,),
    )


class Place:
    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.broker = Broker()
        self.outages = Outages(limit=10, clock=lambda: self.now)
        self.keeper = QueueKeeper(
            self.broker, outages=self.outages, leadership=cast("OperatorLeadership", self)
        )

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_queue_is_made_once_and_that_is_no_repair(place: Place) -> None:
    made = await place.keeper.keep(SYMBOL, LENGTH, known=False)
    again = await place.keeper.keep(SYMBOL, LENGTH, known=True)

    assert place.broker.written == ["create queue", "create binding"]
    assert (made.in_step, made.fault, made.restored) == (True, None, ())
    assert (again.in_step, again.restored) == (True, ())


async def test_a_queue_that_somebody_deleted_is_a_repair(place: Place) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.inventory = shared()
    await place.keeper.refresh()
    assert place.keeper.differs(SYMBOL, LENGTH)
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=True)

    assert [kind for kind, _ in kept.restored] == ["queue", "binding"]
    assert not place.keeper.differs(SYMBOL, LENGTH)


async def test_nobody_is_accused_on_the_word_of_a_list_of_before(place: Place) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.written.clear()
    place.broker.listed = shared()
    await place.keeper.refresh()
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=True)

    assert (kept.restored, place.broker.written, kept.in_step) == ((), [], True)


@pytest.mark.parametrize(
    "old",
    [
        QueueRow(name=QUEUE, durable=True, arguments={"x-dead-letter-exchange": topology.DEAD}),
        QueueRow(name=QUEUE, durable=False),
    ],
    ids=["with other arguments", "foreign"],
)
async def test_nothing_is_deleted_on_the_word_of_a_list_of_before(
    place: Place, old: QueueRow
) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.written.clear()
    place.broker.listed = shared(old)
    await place.keeper.refresh()
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=True)

    assert (place.broker.written, kept.conflict, kept.fault) == ([], None, None)


async def test_a_queue_that_was_removed_while_a_list_was_under_way_is_made_again(
    place: Place,
) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.looks.clear()
    place.broker.answers.clear()
    looking = asyncio.create_task(place.keeper.refresh())
    await place.broker.looks.wait()
    await place.keeper.remove(SYMBOL)
    place.broker.answers.set()
    await looking
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=False)

    assert kept.in_step
    assert QUEUE in place.broker.inventory.queues


async def test_a_queue_that_was_made_while_a_list_was_under_way_is_not_asked_for_again(
    place: Place,
) -> None:
    await place.keeper.refresh()
    place.broker.looks.clear()
    place.broker.answers.clear()
    looking = asyncio.create_task(place.keeper.refresh())
    await place.broker.looks.wait()
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.answers.set()
    await looking

    assert not place.keeper.differs(SYMBOL, LENGTH)


async def test_a_foreign_queue_is_a_conflict_and_stays(place: Place) -> None:
    place.broker.inventory = shared(QueueRow(name=QUEUE, durable=True))
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=False)

    assert place.broker.written == []
    assert kept.retry
    assert kept.conflict is not None
    assert kept.conflict.reason == "ForeignQueue"
    await place.keeper.remove(SYMBOL)
    assert place.broker.written == []


async def test_who_leads_no_more_writes_and_deletes_nothing(place: Place) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.written.clear()
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.keeper.keep(SYMBOL, 5, known=True)
    with pytest.raises(LeadershipLost):
        await place.keeper.remove(SYMBOL)

    assert place.broker.written == []


async def test_a_market_that_goes_takes_its_queue_and_policy(place: Place) -> None:
    await place.keeper.keep(SYMBOL, 5, known=False)
    await place.keeper.remove(SYMBOL)

    assert QUEUE not in place.broker.inventory.queues
    assert QUEUE not in place.broker.inventory.policies
    assert topology.DEAD in place.broker.inventory.queues


@pytest.mark.parametrize("length", [LENGTH, 5], ids=["usual length", "own length"])
async def test_a_queue_that_was_gone_when_its_market_went_is_made_again_for_the_next(
    place: Place, length: int
) -> None:
    """Somebody deleted it by hand, or the answer to its deletion was lost."""
    await place.keeper.keep(SYMBOL, length, known=False)
    place.broker.inventory = shared()
    await place.keeper.remove(SYMBOL)
    kept = await place.keeper.keep(SYMBOL, length, known=False)

    assert kept.in_step
    assert QUEUE in place.broker.inventory.queues
    assert (QUEUE in place.broker.inventory.policies) is (length != LENGTH)


@pytest.mark.parametrize("used", [False, True], ids=["left", "used again"])
async def test_what_a_market_left_is_removed_before_the_next_has_its_queue_or_not_at_all(
    place: Place, used: bool
) -> None:
    await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.broker.written.clear()
    asked, answers = asyncio.Event(), asyncio.Event()

    async def is_used() -> bool:
        asked.set()
        await answers.wait()
        return used

    removing = asyncio.create_task(place.keeper.remove(SYMBOL, unless=is_used))
    await asked.wait()
    keeping = asyncio.create_task(place.keeper.keep(SYMBOL, LENGTH, known=False))
    await asyncio.sleep(0)
    assert not keeping.done()
    other = await place.keeper.keep("ETH-USDT", LENGTH, known=False)
    answers.set()
    await removing

    assert other.in_step
    assert (await keeping).in_step
    assert QUEUE in place.broker.inventory.queues
    assert ("delete queue" in place.broker.written) is not used


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (BrokerUnavailable("-"), "BrokerUnavailable"),
        (BrokerRefused("-"), "CredentialsRefused"),
        (ManagementMissing("-"), "ManagementMissing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broker_that_is_away_is_doubted_and_then_told(
    place: Place, fault: BrokerError, reason: str
) -> None:
    place.broker.fault = fault
    doubted = await place.keeper.keep(SYMBOL, LENGTH, known=False)
    place.now = 11
    told = await place.keeper.keep(SYMBOL, LENGTH, known=False)

    assert doubted.fault is None
    assert doubted.doubt is not None
    assert doubted.doubt.reason == reason
    assert told.fault is not None
    assert (told.fault.reason, told.doubt) == (reason, None)
    assert doubted.retry
    assert told.retry


async def test_a_broker_that_was_written_to_meanwhile_was_not_away(place: Place) -> None:
    await place.keeper.refresh()
    place.broker.fault = BrokerUnavailable("-")
    assert (await place.keeper.keep(SYMBOL, LENGTH, known=False)).doubt is not None
    place.now, place.broker.fault = 6, None
    assert (await place.keeper.keep(SYMBOL, LENGTH, known=False)).in_step

    place.now, place.broker.fault = 12, BrokerUnavailable("-")
    again = await place.keeper.keep("ETH-USDT", LENGTH, known=False)
    assert again.fault is None
    assert again.doubt is not None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(VirtualHostMissing("-"), "VirtualHostMissing"), (BrokerError("-"), "BrokerRefused")],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broker_that_refuses_one_queue_is_no_outage(
    place: Place, fault: BrokerError, reason: str
) -> None:
    await place.keeper.refresh()
    place.broker.fault = fault
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=False)

    assert kept.fault is not None
    assert kept.fault.reason == reason
    assert kept.retry
    assert not place.outages.suspected("RabbitMQ")


async def test_an_exchange_of_another_type_degrades_every_market(place: Place) -> None:
    exchange = ExchangeRow(name=topology.EXCHANGE, type="topic", durable=True)
    place.broker.inventory = replace(
        place.broker.inventory,
        exchanges={**place.broker.inventory.exchanges, topology.EXCHANGE: exchange},
    )
    kept = await place.keeper.keep(SYMBOL, LENGTH, known=False)

    assert kept.fault is not None
    assert kept.fault.reason == "ForeignExchange"


async def test_what_all_share_is_put_back_and_told(place: Place) -> None:
    assert await place.keeper.refresh() == ()
    place.broker.inventory = replace(place.broker.inventory, policies={}, literal={}, general=())
    restored = await place.keeper.refresh()

    assert [kind for kind, _ in restored] == ["policy"]
    assert USUAL_POLICY.name in place.broker.inventory.policies

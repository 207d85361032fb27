"""The queue step of a reconcile: one inventory for all Markets, refreshed by the sweep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from gomatch.observability import logs
from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action, restorations
from gomatch_operator.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ManagementMissing,
    VirtualHostMissing,
)
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.queue.desired_queue import DesiredQueue
from gomatch_operator.queue.inventory import QueueInventory
from gomatch_operator.queue.reconciler import QueueReconciler

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueResult:
    """``doubt``: why there is no answer, which is no outage yet. ``restored``: kind and description
    of what somebody had taken away or changed."""

    fault: Fault | None = None
    conflict: Fault | None = None
    note: str = ""
    depth: int | None = None
    consumers: int | None = None
    restored: tuple[tuple[str, str], ...] = ()
    in_step: bool = False
    doubt: Fault | None = None
    retry: bool = False


class QueueKeeper:
    def __init__(
        self,
        reconciler: QueueReconciler,
        *,
        outages: Outages,
        leadership: OperatorLeadership,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._reconciler = reconciler
        self._outages = outages
        self._leadership = leadership
        self._checkpoint = checkpoint
        self._inventory: QueueInventory | None = None
        self._written: list[Action] = []
        """Since the list that is under way was begun."""
        self._looking = asyncio.Lock()
        self._keeping: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._shared_known = False
        self._shared_note = ""
        self.shared_fault: Fault | None = None
        """What QueueReady says of every Market whose own queue stands."""

    async def refresh(self) -> tuple[tuple[str, str], ...]:
        """Look at everything, and keep what all Markets share; returns what of that was restored.

        Raises BrokerError, which is noted as an outage in the making.
        """
        async with self._looking:
            return await self._refresh()

    def differs(self, symbol: str, max_length: int) -> bool:
        """Whether a reconcile of this Market would find something to do, by the last look."""
        inventory = self._inventory
        if inventory is None:
            return False
        plan = self._reconciler.plan(DesiredQueue(symbol=symbol, max_length=max_length), inventory)
        return bool(plan.actions)

    def figures(self, symbol: str) -> tuple[int | None, int | None]:
        """Messages and consumers, None where not known."""
        if self._inventory is None:
            return None, None
        row = self._inventory.queues.get(topology.queue_name(symbol))
        return (None, None) if row is None else (row.messages, row.consumers)

    def told(self, symbol: str) -> QueueResult:
        """What is known of a queue that nobody keeps now."""
        depth, consumers = self.figures(symbol)
        outage = self._outages.outage("RabbitMQ")
        return QueueResult(fault=outage or self.shared_fault, depth=depth, consumers=consumers)

    async def keep(self, symbol: str, max_length: int, *, known: bool) -> QueueResult:
        """``known``: the queue stood as it should before."""
        if outage := self._outages.outage("RabbitMQ"):
            return QueueResult(fault=outage)
        async with self._alone(symbol):
            return await self._keep(symbol, max_length, known=known)

    async def remove(
        self, symbol: str, *, unless: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        """The Market's queue and policy. ``unless`` is asked when nobody keeps them, and nobody
        does so until they are gone. Raises BrokerError, LeadershipLost, and what ``unless``
        does."""
        async with self._alone(symbol):
            if unless is not None and await unless():
                return
            fresh = await self._reconciler.observe_one(symbol)
            for action in self._reconciler.plan_removal(symbol, fresh).actions:
                await self._apply(action)
            self._note_gone(symbol, fresh)
        self._outages.worked("RabbitMQ")

    def _alone(self, symbol: str) -> asyncio.Lock:
        return self._keeping.setdefault(symbol, asyncio.Lock())

    async def _keep(self, symbol: str, max_length: int, *, known: bool) -> QueueResult:
        desired = DesiredQueue(symbol=symbol, max_length=max_length)
        done: list[Action] = []
        try:
            if self._inventory is None:
                async with self._looking:
                    if self._inventory is None:
                        await self._refresh()
            inventory = self._inventory
            assert inventory is not None
            plan = self._reconciler.plan(desired, inventory, known=known)
            if plan.foreign or any(_needs_fresh(action) for action in plan.actions):
                # The list may be of before what was written meanwhile.
                fresh = await self._reconciler.observe_one(symbol)
                plan = self._reconciler.plan(desired, fresh, known=known)
            if plan.foreign:
                foreign = Fault("ForeignQueue", plan.foreign)
                return QueueResult(fault=foreign, conflict=foreign, retry=True)
            for action in plan.actions:
                await self._apply(action)
                done.append(action)
                self._checkpoint("queue_written")
        except BrokerError as error:
            return self._failed(error)
        depth, consumers = self.figures(symbol)
        return QueueResult(
            fault=self.shared_fault,
            note=plan.note,
            depth=depth or 0,
            consumers=consumers or 0,
            restored=restorations(done),
            in_step=True,
        )

    async def _refresh(self) -> tuple[tuple[str, str], ...]:
        try:
            self._inventory = await self._observe()
            plan = self._reconciler.plan_shared(self._inventory, known=self._shared_known)
            for action in plan.actions:
                await self._apply(action)
        except BrokerError as error:
            self._outages.failed("RabbitMQ", broker_fault(error))
            raise
        self.shared_fault = Fault("ForeignExchange", plan.foreign) if plan.foreign else None
        self._shared_known = self._shared_known or not plan.foreign
        if plan.note and plan.note != self._shared_note:
            _log.warning("shared_queue_differs", why=plan.note)
        self._shared_note = plan.note
        self._outages.worked("RabbitMQ")
        return restorations(plan.actions)

    async def _observe(self) -> QueueInventory:
        """What is written meanwhile may be in the list or not."""
        self._written.clear()
        inventory = await self._reconciler.observe()
        for action in self._written:
            inventory = inventory.with_applied(action)
        return inventory

    async def _apply(self, action: Action) -> None:
        self._leadership.require()
        await self._reconciler.apply(action)
        self._outages.worked("RabbitMQ")
        self._note(action)

    def _note_gone(self, symbol: str, fresh: QueueInventory) -> None:
        """What somebody else has removed, or a call without an answer, the list still has."""
        if self._inventory is None:
            return
        for action in self._reconciler.plan_removal(symbol, self._inventory).actions:
            if action.name not in (fresh.queues if action.kind == "queue" else fresh.policies):
                self._note(action)

    def _note(self, action: Action) -> None:
        self._written.append(action)
        if self._inventory is not None:
            self._inventory = self._inventory.with_applied(action)

    def _failed(self, error: BrokerError) -> QueueResult:
        fault = broker_fault(error)
        if not isinstance(error, BrokerUnavailable | BrokerRefused | ManagementMissing):
            # It answers, and refuses what is wanted of this one queue.
            return QueueResult(fault=fault, retry=True)
        self._outages.failed("RabbitMQ", fault)
        outage = self._outages.outage("RabbitMQ")
        return QueueResult(fault=outage, doubt=None if outage else fault, retry=True)


def _needs_fresh(action: Action) -> bool:
    """Nothing is deleted, and nobody accused, on the word of an old list."""
    return action.drift or action.verb in ("replace", "delete")


def broker_fault(error: BrokerError) -> Fault:
    match error:
        case BrokerUnavailable():
            reason = "BrokerUnavailable"
        case BrokerRefused():
            reason = "CredentialsRefused"
        case ManagementMissing():
            reason = "ManagementMissing"
        case VirtualHostMissing():
            reason = "VirtualHostMissing"
        case _:
            reason = "BrokerRefused"
    return Fault(reason, str(error))

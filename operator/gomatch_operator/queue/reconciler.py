"""Looks at the broker and writes what was planned."""

from __future__ import annotations

from gomatch.transport.rabbitmq import topology
from gomatch_operator.actions import Action
from gomatch_operator.queue.desired_queue import DesiredQueue
from gomatch_operator.queue.inventory import QueueInventory
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.planning import QueuePlan, plan_queue, plan_removal, plan_shared
from gomatch_operator.queue.writes import (
    DeletePolicy,
    DeleteQueue,
    PutBinding,
    PutExchange,
    PutPolicy,
    PutQueue,
    Write,
)


class QueueReconciler:
    """Methods that do I/O raise BrokerError. ``api`` is closed by its owner."""

    def __init__(self, api: ManagementApi) -> None:
        self._api = api

    async def observe(self) -> QueueInventory:
        """All of the virtual host: one list each, however many Markets there are."""
        queues = await self._api.queues()
        exchanges = await self._api.exchanges()
        bindings = await self._api.bindings(topology.EXCHANGE)
        bindings += await self._api.bindings(topology.DEAD)
        policies = await self._api.policies()
        return QueueInventory.of(
            queues=queues, exchanges=exchanges, bindings=bindings, policies=policies
        )

    async def observe_one(self, symbol: str) -> QueueInventory:
        """One Market's queue, enough for `plan` and `plan_removal` of it, not for
        `plan_shared`."""
        name = topology.queue_name(symbol)
        queue = await self._api.queue(name)
        bindings = [] if queue is None else await self._api.queue_bindings(name)
        policies = await self._api.policies()
        return QueueInventory.of(
            queues=() if queue is None else (queue,), bindings=bindings, policies=policies
        )

    def plan_shared(self, inventory: QueueInventory, *, known: bool = False) -> QueuePlan:
        """To be applied before any Market's plan."""
        return plan_shared(inventory, known=known)

    def plan(
        self, desired: DesiredQueue, inventory: QueueInventory, *, known: bool = False
    ) -> QueuePlan:
        return plan_queue(desired, inventory, known=known)

    def plan_removal(self, symbol: str, inventory: QueueInventory) -> QueuePlan:
        return plan_removal(symbol, inventory)

    async def apply(self, action: Action) -> None:
        """Doing it twice does no harm."""
        write: Write = action.body
        match write:
            case PutExchange(exchange):
                await self._api.put_exchange(exchange.name, kind=exchange.type)
            case PutQueue(queue, replace=replaced):
                if replaced:
                    await self._api.delete_queue(queue.name)
                await self._api.put_queue(queue.name, arguments=queue.arguments)
            case DeleteQueue(name):
                await self._api.delete_queue(name)
            case PutBinding(binding):
                await self._api.put_binding(
                    exchange=binding.source,
                    queue=binding.destination,
                    routing_key=binding.routing_key,
                )
            case PutPolicy(policy):
                await self._api.put_policy(
                    policy.name,
                    pattern=policy.pattern,
                    priority=policy.priority,
                    definition=policy.definition,
                )
            case DeletePolicy(name):
                await self._api.delete_policy(name)

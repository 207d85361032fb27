"""One lane of load: one user in one market, one request at a time."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action, Verb, cancel_action
from gomatch.load.flow import Kind, Operation
from gomatch.load.pacing import Budget, PoissonPacer
from gomatch.load.senders import Reply, Sender
from gomatch.load.statistics import Statistics
from gomatch.load.tracking import FillTimes, OpenOrders, Results

_LARGEST_BACKOFF = 2.0


class Composer:
    """Turns operations of a flow into actions: gives cancels their targets, and orders a client
    order id when ``client_ids`` (a prefix unique to the run) is not empty. ``alone`` says that
    there is nobody else to trade with: orders then ask for no self-trade prevention."""

    def __init__(
        self,
        flow: Iterator[Operation],
        open_orders: OpenOrders,
        *,
        client_ids: str = "",
        alone: bool = False,
    ) -> None:
        self._flow = flow
        self._extra = b',"self_trade_prevention":"none"' if alone else b""
        self._open = open_orders
        self._prefix = client_ids
        self._count = itertools.count(1)

    def compose(self, count: int) -> list[Action]:
        """``count`` actions. A cancel that finds no target yet is passed over."""
        actions: list[Action] = []
        while len(actions) < count:
            kind, members, deep = next(self._flow)
            if kind is Kind.CANCEL:
                target = self._open.take()
                if target is not None:
                    actions.append(cancel_action(target))
                continue
            members += self._extra
            if self._prefix:
                members += b',"client_order_id":"%b%d"' % (
                    self._prefix.encode(),
                    next(self._count),
                )
            actions.append(Action(Verb.NEW, members, "", kind is not Kind.REST, deep))
        return actions


class Lane:
    """Sends until the budget is used up. A refusal or a lost connection is counted, followed by a
    pause with jitter, and what it was about is not sent again."""

    def __init__(
        self,
        *,
        composer: Composer,
        open_orders: OpenOrders,
        fills: FillTimes,
        sender: Sender,
        pacer: PoissonPacer,
        budget: Budget,
        batch: int,
        statistics: Statistics,
        results: Results,
        until_seen: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """With ``until_seen`` the next request waits until this one's results were seen."""
        self._results = results
        self._until_seen = until_seen
        self._timeout = timeout
        self._composer = composer
        self._open = open_orders
        self._fills = fills
        self._sender = sender
        self._pacer = pacer
        self._budget = budget
        self._batch = batch
        self._statistics = statistics
        self._backoff = 0.0

    async def run(self) -> None:
        try:
            while await self._budget.sleep_until(due := self._pacer.next_due()):
                sent = time.perf_counter()
                self._statistics.late.record(max(0.0, sent - due))
                # A timer may also be early by its resolution, which is no merit of the venue.
                due = min(due, sent)
                count = self._budget.take(self._batch)
                if not count:
                    return
                await self._exchange(self._composer.compose(count), due)
        finally:
            await self._sender.close()

    async def _exchange(self, actions: Sequence[Action], due: float) -> None:
        statistics = self._statistics
        statistics.requests += 1
        statistics.sent += len(actions)
        try:
            reply = await self._sender.send(actions)
        except ConnectionFailed as error:
            statistics.failed[str(error)] += 1
            await self._pause(0.0)
            return
        if reply.refused:
            statistics.refused[reply.refused] += len(actions)
            await self._pause(reply.retry_after)
            return
        self._backoff = 0.0
        statistics.acknowledgement.record(time.perf_counter() - due)
        newest = self._record(actions, reply, due)
        if not newest:
            return
        self._results.acknowledged(newest)
        if self._until_seen and not await self._results.until_seen(newest, self._timeout):
            statistics.failed["no result on the stream in time"] += 1

    def _record(self, actions: Sequence[Action], reply: Reply, due: float) -> str:
        """The id of the last new order that was acknowledged; empty if there was none."""
        newest = ""
        statistics = self._statistics
        accepted = 0
        for action, answer in zip(actions, reply.items, strict=True):
            if answer.order is None:
                problem = answer.problem
                statistics.refused[problem.code if problem is not None else "unknown"] += 1
                continue
            accepted += 1
            if action.verb is Verb.NEW:
                newest = answer.order.id
            if action.deep:
                self._open.add(answer.order.id)
            elif action.takes:
                self._fills.sent(answer.order.id, due, statistics.fill)
        statistics.acknowledged += accepted
        return newest

    async def _pause(self, at_least: float) -> None:
        self._backoff = min(max(self._backoff * 2, 0.05), _LARGEST_BACKOFF)
        pause = max(at_least, self._backoff) * random.uniform(0.75, 1.25)
        await self._budget.sleep_until(time.perf_counter() + pause)

"""Sends a recorded flow into one market: in its order, at its own pace or as fast as it goes.

One user sends everything, one request at a time, because what is asked of one order happens in
the order in which it was acknowledged. Orders are told apart by client order ids made of the
recording's; aggressive orders ask for no self-trade prevention, as all orders are one user's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action, Verb
from gomatch.load.flow import FlowMarket
from gomatch.load.lobster import Recorded, RecordedAmend, RecordedPlace, Recording
from gomatch.load.pacing import Budget
from gomatch.load.senders import Sender
from gomatch.load.statistics import Statistics
from gomatch.load.tracking import FillTimes, Results
from gomatch.messages.decimals import SCALE, format_decimal

_RETRY_SECONDS = 0.2
_ATTEMPTS = 25


class RecordingEncoder:
    """``prefix`` makes the client order ids unique to this run. Prices between two ticks are
    rounded down; sizes are whole units of the base asset, rounded to the lot where it is larger,
    up to one lot at least."""

    def __init__(self, market: FlowMarket, *, prefix: str) -> None:
        self._market = market
        self._prefix = prefix

    def action(self, step: Recorded) -> Action:
        if isinstance(step, RecordedPlace):
            return Action(Verb.NEW, self._order(step), takes=step.aggressive)
        name = f'"client_order_id":"{self._prefix}{step.order}"'
        if isinstance(step, RecordedAmend):
            return Action(
                Verb.AMEND, f'{name},"quantity":"{self._quantity(step.quantity)}"'.encode()
            )
        return Action(Verb.CANCEL, name.encode())

    def _order(self, place: RecordedPlace) -> bytes:
        price = max(place.price // self._market.tick, 1) * self._market.tick
        members = (
            f'"market":"{self._market.symbol}","side":"{"buy" if place.buy else "sell"}",'
            f'"type":"limit","price":"{format_decimal(price)}",'
            f'"quantity":"{self._quantity(place.size)}",'
        )
        if place.aggressive:
            return (members + '"time_in_force":"ioc","self_trade_prevention":"none"').encode()
        return (members + f'"client_order_id":"{self._prefix}{place.order}"').encode()

    def _quantity(self, size: int) -> str:
        lot = self._market.lot
        return format_decimal(max(size * SCALE // lot, 1) * lot)


class Replay:
    """``speed`` is a multiple of the recording's pace; 0 is as fast as it goes. Batches hold what
    is due, up to ``batch``. A request that the venue refuses as a whole, or that gets no answer,
    is sent again: client order ids make that harmless."""

    def __init__(
        self,
        recording: Recording,
        *,
        encoder: RecordingEncoder,
        sender: Sender,
        speed: float,
        batch: int,
        budget: Budget,
        statistics: Statistics,
        fills: FillTimes,
        results: Results,
    ) -> None:
        self._recording = recording
        self._encoder = encoder
        self._sender = sender
        self._speed = speed
        self._batch = batch
        self._budget = budget
        self._statistics = statistics
        self._fills = fills
        self._results = results
        self._origin = recording.steps[0].time if recording.steps else 0

    async def run(self) -> None:
        statistics = self._statistics
        statistics.skipped.update(self._recording.skipped)
        try:
            await self._send_all([*self._recording.opening, *self._recording.steps])
        finally:
            await self._sender.close()

    async def _send_all(self, steps: Sequence[Recorded]) -> None:
        began = time.perf_counter()
        position = 0
        while position < len(steps):
            due = began + self._due(steps[position])
            if not await self._budget.sleep_until(due):
                return
            elapsed = time.perf_counter() - began
            if self._speed:
                self._statistics.late.record(max(0.0, began + elapsed - due))
            end = min(position + self._batch, len(steps))
            ready = position + 1
            while ready < end and self._due(steps[ready]) <= elapsed:
                ready += 1
            granted = self._budget.take(ready - position)
            actions = [self._encoder.action(s) for s in steps[position : position + granted]]
            await self._deliver(actions, due if self._speed else time.perf_counter())
            position += granted

    def _due(self, step: Recorded) -> float:
        if not self._speed:
            return 0.0
        return max(step.time - self._origin, 0) / 1e6 / self._speed

    async def _deliver(self, actions: Sequence[Action], due: float) -> None:
        statistics = self._statistics
        statistics.sent += len(actions)
        for attempt in range(1, _ATTEMPTS + 1):
            statistics.requests += 1
            try:
                reply = await self._sender.send(actions)
            except ConnectionFailed as error:
                statistics.failed[str(error)] += 1
                pause = _RETRY_SECONDS * attempt
            else:
                if not reply.refused:
                    break
                statistics.failed[reply.refused] += 1
                pause = max(reply.retry_after, _RETRY_SECONDS * attempt)
            if not await self._budget.sleep_until(time.perf_counter() + pause):
                return
        else:
            statistics.refused["gave_up"] += len(actions)
            return
        statistics.acknowledgement.record(time.perf_counter() - due)
        for action, answer in zip(actions, reply.items, strict=True):
            if answer.order is None:
                problem = answer.problem
                statistics.refused[problem.code if problem is not None else "unknown"] += 1
                continue
            statistics.acknowledged += 1
            if action.verb is Verb.NEW:
                self._results.acknowledged(answer.order.id)
            if action.takes:
                self._fills.sent(answer.order.id, due, statistics.fill)

"""``?wait=result``: from acknowledgements to what matching made of the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gomatch.engine import AllCancelled, Event, Rejected
from gomatch.errors import GomatchError
from gomatch.observability import logs
from gomatch.store.records import OrderRecord
from gomatch_api import codes
from gomatch_api.markets import Market
from gomatch_api.metrics import ApiMetrics
from gomatch_api.order_batch import Lot, problem_result, target_of
from gomatch_api.ports import ResultFeed
from gomatch_api.problems import Problem
from gomatch_api.rendering import order_of
from gomatch_api.responses import CancelAllAcknowledgement, ItemResult, Result

_log = logs.get(__name__)


class OrderRows(Protocol):
    """The part of gomatch.store.Orders that is needed here."""

    async def get_many(self, market_id: int, numbers: Sequence[int]) -> list[OrderRecord]: ...


class CommandResults:
    """Waits for results and reads the orders as they then stand. What does not come in time, or
    cannot be read, stays acknowledged, as ``pending``."""

    def __init__(
        self, feeds: ResultFeed, orders: OrderRows, metrics: ApiMetrics, *, timeout: float
    ) -> None:
        self._feeds = feeds
        self._orders = orders
        self._timeout = timeout
        self._seconds = metrics.step_seconds.labels("result")

    async def complete(self, lot: Lot, user: int, results: list[ItemResult | None]) -> None:
        """Replace the acknowledgements of ``lot`` among ``results``."""
        waiting = [
            (index, target_of(command, result.order.command), result.order)
            for index, command in zip(lot.items, lot.commands, strict=True)
            if (result := results[index]) is not None and result.order is not None
        ]
        if not waiting:
            return
        for _, _, acknowledgement in waiting:
            acknowledgement.status = "pending"
        market = lot.market
        try:
            events = await self._events(market, [entry[2].command for entry in waiting])
            done = {target for (_, target, _), found in zip(waiting, events, strict=True) if found}
            rows = await self._orders.get_many(market.market_id, sorted(done)) if done else []
        except GomatchError as error:
            orders = [f"{market.texts.prefix}{target}" for _, target, _ in waiting[:20]]
            _log.warning(
                "result_not_read",
                market=market.symbol,
                user=user,
                why=str(error),
                **({"order": orders[0]} if len(waiting) == 1 else {"orders": orders}),
            )
            return
        visible = {row.number: row for row in rows if row.user_id == user}
        for (index, target, acknowledgement), found in zip(waiting, events, strict=True):
            if not found:
                continue
            row = visible.get(target)
            if row is None:
                results[index] = problem_result(Problem(codes.UNKNOWN_ORDER))
                continue
            reason = _rejection(found, acknowledgement.command)
            results[index] = ItemResult(
                200,
                None,
                Result(
                    "applied" if reason is None else "rejected",
                    reason,
                    acknowledgement.command,
                    acknowledgement.request_id,
                    order_of(row, market),
                ),
            )

    async def complete_cancel_all(
        self, market: Market, number: int, answer: CancelAllAcknowledgement
    ) -> None:
        """Fill in how many orders were cancelled, or ``pending``."""
        answer.status = "pending"
        try:
            events = (await self._events(market, [number]))[0]
        except GomatchError as error:
            _log.warning("result_not_read", market=market.symbol, command=number, why=str(error))
            return
        for _, event in events:
            if isinstance(event, AllCancelled) and event.number == number:
                answer.status, answer.cancelled = "applied", event.count
        reason = _rejection(events, number)
        if reason is not None:
            answer.status, answer.reason = "rejected", reason

    async def _events(
        self, market: Market, numbers: Sequence[int]
    ) -> list[list[tuple[int, Event]]]:
        with self._seconds.time():
            return await self._feeds.wait_applied(market.symbol, numbers, self._timeout)


def _rejection(events: Sequence[tuple[int, Event]], number: int) -> str | None:
    for _, event in events:
        if isinstance(event, Rejected) and event.number == number:
            return str(event.reason)
    return None

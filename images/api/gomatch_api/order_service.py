"""Order entry: the one way in for REST and WebSocket, single and batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gomatch.engine import CancelAll, Command, NewOrder, TradingState
from gomatch.messages.request_digest import request_digest
from gomatch.messages.trading_state import state_commands
from gomatch.observability.tracing import Tracing
from gomatch.store.records import ClaimKind
from gomatch_api import codes
from gomatch_api.accept_plan import Accepted, Claim, Settled
from gomatch_api.auth.principal import ADMIN, TRADE, Principal
from gomatch_api.client_ids import ClientOrderIds, OrderPlace, Ticket
from gomatch_api.intake import IntakeService
from gomatch_api.markets import Market, MarketRegistry
from gomatch_api.metrics import ApiMetrics
from gomatch_api.order_batch import (
    Lot,
    OrderBatch,
    ids_to_resolve,
    new_ids,
    problem_result,
    stages,
    target_of,
)
from gomatch_api.order_results import CommandResults
from gomatch_api.problems import Problem
from gomatch_api.refusals import Refusals
from gomatch_api.requests import AnyItem, StateName, parse_item
from gomatch_api.responses import (
    Acknowledgement,
    CancelAllAcknowledgement,
    ItemResult,
    StateAcknowledgement,
)
from gomatch_api.times import format_time, now
from gomatch_api.transform import client_id

RawItem = AnyItem | Problem | Mapping[str, Any] | bytes
"""A parsed item, what was wrong with it, or an item that is still to be parsed."""


class OrderService:
    """Checks, transforms and enters what clients ask for, and answers each item by itself."""

    def __init__(
        self,
        *,
        markets: MarketRegistry,
        intake: IntakeService,
        client_ids: ClientOrderIds,
        results: CommandResults,
        metrics: ApiMetrics,
        tracing: Tracing,
    ) -> None:
        self._markets = markets
        self._intake = intake
        self._client_ids = client_ids
        self._results = results
        self._metrics = metrics
        self._tracing = tracing
        self._validate_seconds = metrics.step_seconds.labels("validate")
        self.refusals = Refusals(metrics)

    async def submit(
        self,
        principal: Principal,
        items: Sequence[RawItem],
        *,
        wait: bool = False,
        since: float | None = None,
    ) -> list[ItemResult]:
        """Enter the items in their order, which is kept within each market, and answer each.
        ``wait`` answers after matching; ``since`` is the time.perf_counter() at which reading
        them began. Raises Problem only when the whole is refused: scope_missing, rate_limited."""
        since = time.perf_counter() if since is None else since
        self._admit(principal, TRADE, len(items))
        parsed = [_parse(item) if isinstance(item, bytes | Mapping) else item for item in items]
        results: list[ItemResult] = []
        parts = stages(parsed) if len(parsed) > 1 else [range(len(parsed))]
        user = principal.user_id
        ticket = self._client_ids.begin(user, new_ids(parsed))
        try:
            for part in parts:
                stage = parsed if len(parts) == 1 else [parsed[index] for index in part]
                results += await self._stage(user, stage, ticket, wait=wait, since=since)
                since = time.perf_counter()
        finally:
            self._client_ids.end(ticket)
        self.refusals.items(user, parsed, results)
        return results

    async def cancel_all(
        self,
        principal: Principal,
        market: str,
        *,
        request_id: str | None = None,
        wait: bool = False,
    ) -> CancelAllAcknowledgement:
        """Cancel all of the caller's open orders in one market. Under a ``request_id`` that was
        used before it is the first one that is answered for. Raises Problem."""
        self._admit(principal, TRADE, 1)
        known, number, accepted_at = await self._enter(
            market, principal.user_id, [CancelAll(principal.user_id)], request_id
        )
        answer = CancelAllAcknowledgement(
            market=market,
            status="accepted",
            command=number,
            accepted_at=format_time(accepted_at),
            request_id=request_id,
        )
        if wait:
            await self._results.complete_cancel_all(known, number, answer)
        return answer

    async def set_state(
        self, principal: Principal, symbol: str, state: StateName, *, request_id: str | None = None
    ) -> StateAcknowledgement:
        """Ask for a trading state; ``request_id`` as for `cancel_all`. Raises Problem."""
        self._admit(principal, ADMIN, 1)
        _, number, accepted_at = await self._enter(
            symbol, principal.user_id, state_commands(TradingState[state.upper()]), request_id
        )
        return StateAcknowledgement(
            market=symbol,
            state=state,
            status="accepted",
            command=number,
            accepted_at=format_time(accepted_at),
            request_id=request_id,
        )

    def market(self, symbol: str) -> Market:
        """Raises Problem ``unknown_market``."""
        market = self._markets.get(symbol)
        if market is None:
            raise Problem(codes.UNKNOWN_MARKET)
        return market

    def _admit(self, principal: Principal, scope: str, count: int) -> None:
        """Raises Problem scope_missing, rate_limited."""
        try:
            principal.require(scope)
            principal.spend(count)
        except Problem as problem:
            if problem.code is codes.RATE_LIMITED:
                self._metrics.rate_limited.inc(count)
            self.refusals.whole(problem, user=principal.user_id, commands=count)
            raise

    async def _enter(
        self, symbol: str, user: int, commands: Sequence[Command], request_id: str | None
    ) -> tuple[Market, int, int]:
        """The market, and number and time (microseconds) of the last of the commands, or of the
        first one of this request id. Raises Problem."""
        try:
            market = self.market(symbol)
            claims: list[Claim] = []
            if request_id is not None:
                own_id = client_id(request_id, "request_id")
                digest = request_digest(commands[-1], market.symbol)
                claims = [Claim(len(commands) - 1, ClaimKind.REQUEST, own_id, digest)]
            accepted = await self._intake.submit(
                market,
                user,
                commands,
                claims,
                whole=True,
                trace=self._tracing.current_traceparent(),
            )
            first = accepted.settled.get(len(commands) - 1)
            if first is not None and first.conflict:
                raise _reused(first)
        except Problem as problem:
            self.refusals.whole(problem, user=user)
            raise
        if first is None:
            return market, accepted.numbers[-1], accepted.accepted_at
        self._metrics.commands.labels("duplicate").inc()
        return market, first.number, first.accepted_at

    async def _stage(
        self,
        user: int,
        items: Sequence[AnyItem | Problem],
        ticket: Ticket,
        *,
        wait: bool,
        since: float,
    ) -> list[ItemResult]:
        places: Mapping[str, OrderPlace] = {}
        ids = ids_to_resolve(items)
        unresolved: Problem | None = None
        if ids:
            try:
                places = await self._client_ids.resolve(user, ids, ticket)
            except Problem as problem:
                unresolved = problem
        batch = OrderBatch(user, len(items), self._markets.get)
        batch.add(items, unresolved if unresolved is not None else places, now())
        self._validate_seconds.observe(time.perf_counter() - since)
        if batch.refused:
            await self._refuse(batch, user, batch.results, wait=wait)
        lots = [lot for lot in batch.lots.values() if lot.commands]
        if len(lots) == 1:
            await self._run(lots[0], user, batch.results, wait=wait)
        elif lots:
            await asyncio.gather(*(self._run(lot, user, batch.results, wait=wait) for lot in lots))
        results = [result for result in batch.results if result is not None]
        assert len(results) == len(items), "every item has a result"
        return results

    async def _run(
        self, lot: Lot, user: int, results: list[ItemResult | None], *, wait: bool
    ) -> None:
        """Enter one market's commands and fill in the results of their items."""
        try:
            accepted = await self._intake.submit(
                lot.market,
                user,
                lot.commands,
                lot.claims,
                trace=self._tracing.current_traceparent(),
            )
        except Problem as problem:
            for index in lot.items:
                results[index] = problem_result(problem)
            return
        self._acknowledge(lot, user, accepted, results)
        if wait:
            await self._results.complete(lot, user, results)

    def _acknowledge(
        self, lot: Lot, user: int, accepted: Accepted, results: list[ItemResult | None]
    ) -> None:
        prefix, symbol = lot.market.texts.prefix, lot.market.symbol
        at = format_time(accepted.accepted_at)
        settled, names, request_ids = accepted.settled, lot.names, lot.request_ids
        placed: dict[str, int] = {}
        for position, (index, command, own_number) in enumerate(
            zip(lot.items, lot.commands, accepted.numbers, strict=True)
        ):
            number, time = own_number, at
            if settled and position in settled:
                first = settled[position]
                if first.conflict:
                    results[index] = problem_result(_reused(first))
                    continue
                number, time = first.number, format_time(first.accepted_at)
                self._metrics.commands.labels("duplicate").inc()
            if type(command) is NewOrder:
                target = number
                own_id = command.client_order_id or None
                if own_id is not None:
                    placed[own_id] = number
            else:
                target = target_of(command, number)
                own_id = names.get(position)
            results[index] = ItemResult(
                202,
                Acknowledgement(
                    f"{prefix}{target}",
                    own_id,
                    symbol,
                    "accepted",
                    time,
                    number,
                    request_ids.get(position) if request_ids else None,
                ),
            )
        if placed:
            self._client_ids.remember(user, symbol, placed)

    async def _refuse(
        self, batch: OrderBatch, user: int, results: list[ItemResult | None], *, wait: bool
    ) -> None:
        """What the limits refuse now may have been accepted before: then it has an answer."""
        try:
            known = await self._client_ids.claims([refused.key for refused in batch.refused])
        except Problem:
            known = {}
        for refused in batch.refused:
            claimed = known.get(refused.key)
            if claimed is None:
                results[refused.lot.items[0]] = problem_result(refused.problem)
                continue
            first = Settled(
                claimed.digest != refused.digest,
                ClaimKind(refused.key[1]),
                claimed.symbol,
                claimed.number,
                claimed.accepted_at,
            )
            self._acknowledge(refused.lot, user, Accepted((0,), 0, {0: first}), results)
            if wait:
                await self._results.complete(refused.lot, user, results)


def _reused(first: Settled) -> Problem:
    order = first.kind is ClaimKind.ORDER
    code = codes.CLIENT_ORDER_ID_REUSED if order else codes.REQUEST_ID_REUSED
    return Problem(code, field="client_order_id" if order else "request_id")


def _parse(raw: Mapping[str, Any] | bytes) -> AnyItem | Problem:
    try:
        return parse_item(raw)
    except Problem as problem:
        return problem

"""What one client does on its connection: authenticate, subscribe, enter orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from gomatch.errors import StoreUnavailable
from gomatch.observability.tracing import Tracing
from gomatch_api import codes
from gomatch_api.auth import READ, TRADE, Principal
from gomatch_api.feeds import Feeds
from gomatch_api.markets import Market
from gomatch_api.problems import Problem
from gomatch_api.requests import AnyItem, parse_items
from gomatch_api.responses import CancelAllAcknowledgement, ItemResult
from gomatch_api.stream import requests
from gomatch_api.stream.codes import (
    ALREADY_AUTHENTICATED,
    ALREADY_SUBSCRIBED,
    NOT_SUBSCRIBED,
    SEQUENCE_AHEAD,
    TOO_MANY_SUBSCRIPTIONS,
)
from gomatch_api.stream.connection import Connection
from gomatch_api.stream.disconnects import Armed, DisconnectGuard
from gomatch_api.stream.limits import StreamLimits
from gomatch_api.stream.messages import (
    AckMessage,
    AckResults,
    AuthenticatedMessage,
    CancelOnDisconnectMessage,
    DisconnectedMessage,
    Tag,
    UnsubscribedMessage,
    error_text,
    pong_text,
    text,
)
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_api.stream.orders import OrdersSubscription, ReplayTools
from gomatch_api.stream.ports import Keys, Markets, OrderEntry
from gomatch_api.stream.public import (
    DepthSubscription,
    Subscription,
    TickerSubscription,
    TradesSubscription,
)

_Entry = requests.Place | requests.Cancel | requests.Amend | requests.Batch | requests.CancelAll
_SPANS: dict[type[_Entry], str] = {
    requests.Place: "stream place",
    requests.Cancel: "stream cancel",
    requests.Amend: "stream amend",
    requests.Batch: "stream batch",
    requests.CancelAll: "stream cancel_all",
}
"""What a request on the stream is called in a trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTools:
    """Shared by all sessions of a replica."""

    feeds: Feeds
    markets: Markets
    keys: Keys
    entry: OrderEntry
    replay: ReplayTools
    guard: DisconnectGuard
    limits: StreamLimits
    metrics: StreamMetrics
    tracing: Tracing = field(default_factory=Tracing.off)


class Session:
    """``admit`` is called when the client has authenticated; it raises Problem to refuse."""

    def __init__(
        self,
        connection: Connection,
        tools: SessionTools,
        *,
        principal: Principal | None,
        admit: Callable[[Principal], None],
    ) -> None:
        self.principal = principal
        self._connection = connection
        self._outbox = connection.outbox
        self._tools = tools
        self._admit = admit
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._in_flight: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(tools.limits.requests)
        self._armed: Armed | None = None
        self._finished = True

    async def handle(self, request: requests.StreamRequest) -> None:
        """Carry out one request. Raises Problem."""
        match request:
            case requests.Place():
                await self._enter(request, self._submit(request, bool(request.wait)))
            case requests.Cancel() | requests.Amend():
                await self._enter(request, self._submit_change(request))
            case requests.Batch():
                await self._enter(request, self._submit_batch(request))
            case requests.CancelAll():
                await self._enter(request, self._cancel_all(request))
            case requests.Subscribe():
                await self._subscribe(request)
            case requests.Unsubscribe():
                self._unsubscribe(request)
            case requests.Ping():
                self._outbox.put(pong_text(request.id))
            case requests.Auth():
                await self._authenticate(request)
            case requests.CancelOnDisconnect():
                await self._cancel_on_disconnect(request)

    def heartbeat(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.heartbeat()

    async def finish_requests(self) -> None:
        """Let what was asked come to its end, for a bounded time: an order that is being
        accepted must not come after the cancel that follows a disconnect."""
        if self._in_flight:
            limit = self._tools.limits.drain_timeout
            _, unfinished = await asyncio.wait(self._in_flight, timeout=limit)
            self._finished = not unfinished

    async def close(self) -> None:
        """The connection has ended."""
        for (channel, _), subscription in self._subscriptions.items():
            subscription.close()
            self._tools.metrics.subscriptions.labels(channel).dec()
        self._subscriptions.clear()
        if self._armed is not None:
            await self._tools.guard.disconnected(self._armed, finished=self._finished)

    async def _authenticate(self, request: requests.Auth) -> None:
        if self.principal is not None:
            raise Problem(ALREADY_AUTHENTICATED)
        principal = await self._tools.keys.identify_token(request.token)
        self._admit(principal)
        self.principal = principal
        answer = AuthenticatedMessage(principal.user_name, sorted(principal.scopes), request.id)
        self._outbox.put(text(answer))

    def _require(self, scope: str) -> Principal:
        if self.principal is None:
            raise Problem(codes.UNAUTHENTICATED, "Authenticate this connection first.")
        if self.principal.revoked:
            raise Problem(codes.KEY_REVOKED)
        self.principal.require(scope)
        return self.principal

    def _market(self, symbol: str) -> Market:
        market = self._tools.markets.get(symbol)
        if market is None:
            raise Problem(codes.UNKNOWN_MARKET, field="market")
        return market

    # Subscriptions

    async def _subscribe(self, request: requests.Subscribe) -> None:
        requests.check_channel(request)
        principal = self._require(READ) if request.channel == "orders" else None
        market = self._market(request.market)
        key = (request.channel, request.market)
        if key in self._subscriptions:
            raise Problem(ALREADY_SUBSCRIBED)
        if len(self._subscriptions) >= self._tools.limits.subscriptions:
            raise Problem(TOO_MANY_SUBSCRIPTIONS)
        view = self._tools.feeds.view(market.symbol)
        subscription: Subscription
        if principal is not None:
            subscription = OrdersSubscription(
                user=principal.user_id,
                market=market,
                view=view,
                outbox=self._outbox,
                tools=self._tools.replay,
                start=await self._start(market, request.from_),
                spawn=self._connection.spawn,
            )
        elif request.channel == "trades":
            subscription = TradesSubscription(view, self._outbox)
        elif request.channel == "depth":
            subscription = DepthSubscription(
                view, self._outbox, on_conflation=self._tools.metrics.conflated.inc
            )
        else:
            subscription = TickerSubscription(view, self._outbox)
        self._subscriptions[key] = subscription
        self._tools.metrics.subscriptions.labels(request.channel).inc()
        subscription.open(request.id)

    async def _start(self, market: Market, asked: int | None) -> int:
        """The sequence after which a private stream begins. Raises Problem."""
        view = self._tools.feeds.view(market.symbol)
        if asked is None and view.connected and view.ready:
            return view.sequence
        if asked is not None and asked <= view.sequence:
            return asked
        try:
            head = await self._tools.replay.journal.head(market.market_id)
        except StoreUnavailable as error:
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error
        if asked is not None and asked > head.sequence:
            raise Problem(
                SEQUENCE_AHEAD, f"{market.symbol} stands at {head.sequence}.", field="from"
            )
        return head.sequence if asked is None else asked

    def _unsubscribe(self, request: requests.Unsubscribe) -> None:
        requests.check_channel(request)
        subscription = self._subscriptions.pop((request.channel, request.market), None)
        if subscription is None:
            raise Problem(NOT_SUBSCRIBED)
        subscription.close()
        self._tools.metrics.subscriptions.labels(request.channel).dec()
        self._outbox.put(text(UnsubscribedMessage(request.channel, request.market, request.id)))

    # Order entry

    async def _enter(self, request: _Entry, work: Coroutine[Any, Any, AckResults]) -> None:
        """Carry out ``work`` beside others; requests begin in the order in which they came."""
        tag, name = request.id, _SPANS[type(request)]
        try:
            await self._slots.acquire()
        except BaseException:
            work.close()
            raise
        task = self._connection.spawn(self._answer(name, tag, work))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _answer(self, name: str, tag: Tag, work: Awaitable[AckResults]) -> None:
        try:
            with self._tools.tracing.request(name):
                results = await work
            self._outbox.put(text(AckMessage(results, tag)))
        except Problem as problem:
            self._outbox.put(error_text(problem, tag))
        finally:
            self._slots.release()

    async def _submit(self, item: AnyItem, wait: bool) -> Sequence[ItemResult]:
        principal = self._require(TRADE)
        return await self._tools.entry.submit(principal, [item], wait=wait)

    async def _submit_change(
        self, request: requests.Cancel | requests.Amend
    ) -> Sequence[ItemResult]:
        results = await self._submit(request.item(), bool(request.wait))
        for result in results:
            if result.problem is not None:
                result.problem = requests.of_message(result.problem)
        return results

    async def _submit_batch(self, request: requests.Batch) -> Sequence[ItemResult]:
        principal = self._require(TRADE)
        items = parse_items(bytes(request.items))
        return await self._tools.entry.submit(principal, items, wait=bool(request.wait))

    async def _cancel_all(self, request: requests.CancelAll) -> Sequence[CancelAllAcknowledgement]:
        principal = self._require(TRADE)
        done = await self._tools.entry.cancel_all(
            principal, request.market, request_id=request.request_id, wait=bool(request.wait)
        )
        return [done]

    # Cancel on disconnect

    async def _cancel_on_disconnect(self, request: requests.CancelOnDisconnect) -> None:
        principal = self._require(TRADE)
        guard = self._tools.guard
        if request.enabled is False:
            if self._armed is not None:
                await guard.disarm(self._armed)
                self._armed = None
            markets: list[Market] = []
        else:
            known = self._tools.markets
            markets = (
                known.all()
                if request.markets is None
                else [self._market(symbol) for symbol in dict.fromkeys(request.markets)]
            )
            lost = DisconnectedMessage([market.symbol for market in markets])
            self._armed = await guard.arm(
                self._armed,
                principal,
                [market.market_id for market in markets],
                lambda: self._outbox.put(text(lost)),
            )
        self._outbox.put(
            text(
                CancelOnDisconnectMessage(
                    request.enabled is not False,
                    [market.symbol for market in markets],
                    request.id,
                )
            )
        )

"""A stream served by uvicorn over a scripted market, without database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect

from gomatch.engine import Command
from gomatch.settings import Settings
from gomatch.store.records import DisconnectSession
from gomatch_api import codes
from gomatch_api.accept_plan import Accepted, Claim
from gomatch_api.auth import Principal
from gomatch_api.feeds import Feeds
from gomatch_api.feeds.input import FeedInput
from gomatch_api.markets import Market
from gomatch_api.problems import Problem
from gomatch_api.requests import AnyItem
from gomatch_api.responses import Acknowledgement, CancelAllAcknowledgement, ItemResult
from gomatch_api.stream import StreamHub, uvicorn_options
from gomatch_api.stream.disconnects import DisconnectGuard
from gomatch_api.stream.limits import StreamLimits
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_api.stream.orders import ReplayTools
from gomatch_api.stream.session import SessionTools
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, messages
from tests.unit.stream.doubles import NoOpenOrders, market


def principal(user: int, *scopes: str) -> Principal:
    return Principal(
        key_id=f"key{user}",
        user_id=user,
        user_name=f"user{user}",
        scopes=frozenset(scopes or ("read", "trade")),
        secret="",
        rate=0,
        burst_seconds=1,
    )


class ScriptedKeys:
    """``token<n>`` is the key of user n; ``reader`` may only read."""

    def __init__(self) -> None:
        self.known = {f"token{user}": principal(user) for user in range(1, 10)}
        self.known["reader"] = principal(20, "read")
        self._callbacks: list[Callable[[Principal], None]] = []

    async def identify(
        self, headers: Mapping[str, str], *, method: str = "", target: str = "", body: bytes = b""
    ) -> Principal:
        return await self.identify_token(headers["authorization"].removeprefix("Bearer "))

    async def identify_token(self, token: str) -> Principal:
        found = self.known.get(token)
        if found is None:
            raise Problem(codes.UNAUTHENTICATED, "There is no such API key.")
        return found

    def on_revoke(self, callback: Callable[[Principal], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def revoke(self, token: str) -> None:
        revoked = self.known.pop(token)
        revoked.revoked = True
        for callback in list(self._callbacks):
            callback(revoked)


class ScriptedEntry:
    """The order of each item has its user's number; ``gate`` holds answers back."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: list[Any] = []

    async def submit(
        self, caller: Principal, items: Sequence[AnyItem | Problem], *, wait: bool
    ) -> list[ItemResult]:
        self.begun += items
        await self.gate.wait()
        user = caller.user_id
        order = Acknowledgement(f"{SYMBOL}-{user}", None, SYMBOL, "accepted", "", user)
        return [
            ItemResult(item.status, problem=item.body())
            if isinstance(item, Problem)
            else ItemResult(200 if wait else 202, order)
            for item in items
        ]

    async def cancel_all(
        self, caller: Principal, market: str, *, request_id: str | None, wait: bool
    ) -> CancelAllAcknowledgement:
        if market != SYMBOL:
            raise Problem(codes.UNKNOWN_MARKET)
        return CancelAllAcknowledgement(
            market=market,
            status="applied" if wait else "accepted",
            command=1,
            accepted_at="",
            request_id=request_id,
        )


class ScriptedMarkets:
    def __init__(self) -> None:
        self._market = market()

    def get(self, symbol: str) -> Market | None:
        return self._market if symbol == SYMBOL else None

    def by_id(self, market_id: int) -> Market | None:
        return self._market if market_id == 1 else None

    def all(self) -> list[Market]:
        return [self._market]


class DisconnectTable:
    """The table of sessions, and an intake that notes who was cancelled."""

    def __init__(self) -> None:
        self.rows: dict[str, DisconnectSession] = {}
        self.cancelled: list[tuple[int, Command]] = []
        self.refuse = False
        self._now = 0

    async def arm(
        self, session_id: str, user: int, market_ids: Collection[int], lifetime: float
    ) -> None:
        assert session_id not in self.rows
        self._put(session_id, user, market_ids, self._time(lifetime))

    async def renew(self, session_ids: Collection[str], lifetime: float) -> set[str]:
        alive = {name for name in session_ids if name in self.rows and self.rows[name].expires_at}
        for name in alive:
            self._move(name, self._time(lifetime))
        return alive

    async def expire(self, session_id: str) -> None:
        self._move(session_id, 0)

    async def disarm(self, session_id: str) -> None:
        self.rows.pop(session_id, None)

    async def claim_expired(
        self, limit: int, *, own: Collection[str] = ()
    ) -> list[DisconnectSession]:
        return [row for name, row in self.rows.items() if row.expires_at == 0 and name not in own][
            :limit
        ]

    async def give_back(self, session_ids: Collection[str], lifetime: float) -> None:
        for name in session_ids:
            self._move(name, self._time(lifetime))

    def _put(self, name: str, user: int, market_ids: Collection[int], expires_at: int) -> None:
        self.rows[name] = DisconnectSession(
            session_id=name, user=user, market_ids=tuple(market_ids), expires_at=expires_at
        )

    def _move(self, name: str, expires_at: int) -> None:
        row = self.rows[name]
        self._put(name, row.user, row.market_ids, expires_at)

    def _time(self, lifetime: float) -> int:
        self._now += 1
        return self._now + int(lifetime * 1_000_000)

    async def submit(
        self,
        market: Market,
        user: int,
        commands: Sequence[Command],
        claims: Sequence[Claim] = (),
        *,
        trace: str = "",
    ) -> Accepted:
        if self.refuse:
            raise Problem(codes.OVERLOADED)
        self.cancelled += [(user, command) for command in commands]
        return Accepted([1], 0, {})


class Site:
    def __init__(self, limits: StreamLimits) -> None:
        self.market = ScriptedMarket()
        self.markets = ScriptedMarkets()
        self.keys = ScriptedKeys()
        self.entry = ScriptedEntry()
        self.table = DisconnectTable()
        self.registry = CollectorRegistry()
        self.feeds = Feeds(self.markets.get, journal=self.market)
        self.feed: FeedInput = self.feeds.open(SYMBOL, 1)
        metrics = StreamMetrics(self.registry)
        self.guard = DisconnectGuard(
            self.table,
            self.table,
            self.markets,
            # Also how long nothing is swept after this process stood still for a moment.
            lifetime=1.0,
            renew_every=0.05,
            sweep_every=0.05,
        )
        self.hub = StreamHub(
            SessionTools(
                feeds=self.feeds,
                markets=self.markets,
                keys=self.keys,
                entry=self.entry,
                replay=ReplayTools(
                    journal=self.market,
                    open_orders=NoOpenOrders(self.market),
                    order_view=lambda order, _: order.number,
                    slots=asyncio.Semaphore(4),
                    horizon=100_000,
                    replayed=metrics.replayed.inc,
                    resynced=metrics.resyncs.inc,
                ),
                guard=self.guard,
                limits=limits,
                metrics=metrics,
            )
        )
        self.port = 0
        self.server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=[WebSocketRoute("/v1/stream", self.hub.endpoint)]),
                lifespan="off",
                log_config=None,
                timeout_graceful_shutdown=10,
                **uvicorn_options(Settings(stream_message_bytes=65_536)),
            )
        )

    async def begin(self) -> None:
        """The matcher calls for the first time."""
        for image in self.market.image():
            await self.feed.receive(image)

    async def step(self, *commands: Command) -> None:
        """One batch, delivered."""
        for part in messages(self.market.step(commands)):
            await self.feed.receive(part)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def connect(self, token: str = "", **options: Any) -> connect:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return connect(
            f"ws://127.0.0.1:{self.port}/v1/stream",
            additional_headers=headers,
            compression=None,
            **options,
        )


@asynccontextmanager
async def open_site(limits: StreamLimits | None = None) -> AsyncIterator[Site]:
    site = Site(limits or StreamLimits())
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    site.port = listening.getsockname()[1]
    serving = asyncio.create_task(site.server.serve(sockets=[listening]))
    running = asyncio.create_task(site.hub.run())
    try:
        async with asyncio.timeout(30):
            while not site.server.started:
                await asyncio.sleep(0.005)
        yield site
    finally:
        site.server.should_exit = True
        await serving
        await site.hub.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        listening.close()


class Client:
    """A client that sends and waits for the message that it wants; others are kept for later."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._kept: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        await self.connection.send(msgspec.json.encode(message).decode())

    async def hear(self, kind: str = "", *, timeout: float = 30) -> dict[str, Any]:
        """The next message, or the next of a type."""
        for index, message in enumerate(self._kept):
            if kind in ("", message["type"]):
                return self._kept.pop(index)
        async with asyncio.timeout(timeout):
            while True:
                message = self._read(await self.connection.recv())
                if kind in ("", message["type"]):
                    return message
                self._kept.append(message)

    @staticmethod
    def _read(data: str | bytes) -> dict[str, Any]:
        message: dict[str, Any] = msgspec.json.decode(data)
        return message

    async def subscribe(self, channel: str, **more: Any) -> dict[str, Any]:
        await self.say(op="subscribe", channel=channel, market=SYMBOL, **more)
        return await self.hear("subscribed")

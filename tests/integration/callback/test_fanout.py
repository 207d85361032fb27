"""The matcher's side and the API's side of the callback over real gRPC on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import aio

from gomatch.credentials import Tokens
from gomatch.engine import CancelAll, NewOrder, OrderType, Side
from gomatch.errors import CredentialsMissing
from gomatch.messages.callback import announce_message
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch_api.callback_server import CallbackServer, CallbackServerHooks
from gomatch_api.feeds import Feeds, MarketView
from gomatch_api.feeds.private import PrivateEvent
from gomatch_matcher.callback import CallbackFanout, FanoutHooks, StreamLimits
from gomatch_matcher.callback_stream import METHOD
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, lookup


class Follower:
    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.restarts = 0

    def on_events(self, events: list[PrivateEvent], *, through: int) -> None:
        self.sequences += [event.sequence for event in events]

    def on_restart(self, *, through: int) -> None:
        self.restarts += 1


class Replica:
    """An API replica as far as the callback goes; may be stopped and started on its port."""

    def __init__(
        self, *, host: str = "127.0.0.1", secret: str = "", announce_timeout: float = 30.0
    ) -> None:
        self.announce_timeout = announce_timeout
        self.feeds = Feeds(lookup)
        self.host = host
        self.tokens = [secret] if secret else []
        self.read_tokens: Tokens = lambda: self.tokens
        self.received = 0
        self.follower = Follower()
        self.view.add_orders(1, self.follower)
        self.ended: list[str] = []
        self.port = 0
        self._server: CallbackServer | None = None

    @property
    def view(self) -> MarketView:
        return self.feeds.view(SYMBOL)

    async def start(self) -> None:
        hooks = CallbackServerHooks(
            ended=lambda _, reason: self.ended.append(reason), received=self._count
        )
        self._server = CallbackServer(
            self.feeds,
            host=self.host,
            port=self.port,
            tokens=self._tokens,
            hooks=hooks,
            announce_timeout=self.announce_timeout,
        )
        await self._server.start()
        self.port = self._server.port

    def _tokens(self) -> Sequence[str]:
        return self.read_tokens()

    def _count(self, _market: str, _size: int) -> None:
        self.received += 1

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


@asynccontextmanager
async def replicas(
    count: int, *, host: str = "127.0.0.1", secret: str = "", announce_timeout: float = 30.0
) -> AsyncIterator[list[Replica]]:
    started = [
        Replica(host=host, secret=secret, announce_timeout=announce_timeout) for _ in range(count)
    ]
    try:
        for replica in started:
            await replica.start()
        yield started
    finally:
        for replica in started:
            await replica.stop()


@asynccontextmanager
async def fanout(
    market: ScriptedMarket,
    ports: list[int],
    *,
    limits: StreamLimits | None = None,
    hooks: FanoutHooks | None = None,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    secret: str = "",
) -> AsyncIterator[CallbackFanout]:
    running = CallbackFanout(
        market=SYMBOL,
        targets=",".join(f"{host}:{port}" for port in ports for host in hosts),
        buffer=64,
        source=market,
        tokens=lambda: [secret] if secret else [],
        limits=limits or StreamLimits(backoff_limit=0.1, heartbeat=0.1),
        hooks=hooks,
        resolve_every=0.05,
    )
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def buy(market: ScriptedMarket, running: CallbackFanout, count: int = 1) -> None:
    orders = [NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100 + n) for n in range(count)]
    running.publish(market.step(orders))


def is_whole(replica: Replica, market: ScriptedMarket) -> bool:
    depth = replica.view.depth()
    return (
        depth is not None
        and replica.view.sequence == market.engine.sequence
        and depth.bids == market.engine.depth(Side.BUY)
    )


async def until_kept(replica: Replica) -> None:
    """Until 50 messages came without a stream's end among them: the last of two that end each
    other may still have been on its way."""
    ended, heard = len(replica.ended), replica.received

    def kept() -> bool:
        nonlocal ended, heard
        if len(replica.ended) != ended:
            ended, heard = len(replica.ended), replica.received
        return replica.received > heard + 50

    await until(kept)


async def test_a_replica_with_two_addresses_has_one_stream_and_moves_to_the_other() -> None:
    market = ScriptedMarket()
    hosts = ("127.0.0.1", "127.0.0.2")
    limits = StreamLimits(
        backoff_first=0.01, backoff_limit=0.02, heartbeat=0.02, duplicate_pause=0.02
    )
    async with (
        replicas(1, host="0.0.0.0") as (replica,),
        fanout(market, [replica.port], hosts=hosts, limits=limits) as running,
    ):
        await until(lambda: "superseded" in replica.ended and running.connected == 1)
        await until_kept(replica)
        buy(market, running)
        await until(lambda: is_whole(replica, market))
        await replica.stop()
        await until(lambda: running.connected == 0)
        await replica.start()
        buy(market, running)
        await until(lambda: is_whole(replica, market))


async def test_only_who_knows_the_token_is_taken_for_a_matcher() -> None:
    market = ScriptedMarket()
    async with replicas(1, secret="known") as (replica,):
        stranger = announce_message(market=SYMBOL, epoch=1 << 60, sequence=0, applied=0)
        async with aio.insecure_channel(f"127.0.0.1:{replica.port}") as channel:
            method: aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
            for metadata in ((), (("authorization", "Bearer known"),)):
                for message in (stranger, b"\xff\xff garbage"):
                    call = method(metadata=metadata)
                    with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
                        await call.write(message)
                    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        async with fanout(market, [replica.port], secret="other") as running:
            ended = len(replica.ended)
            await until(lambda: len(replica.ended) > ended + 2)
            assert running.connected == 0
        assert not replica.view.ready
        assert replica.view.epoch == 0
        async with fanout(market, [replica.port], secret="known") as running:
            buy(market, running)
            await until(lambda: is_whole(replica, market))


async def test_a_token_is_changed_without_a_stream_being_refused() -> None:
    market = ScriptedMarket()
    async with replicas(1) as (replica,):
        replica.tokens = ["old"]
        async with fanout(market, [replica.port], secret="old") as running:
            await until(lambda: running.connected == 1)
            replica.tokens = ["old", "new"]
            async with fanout(market, [replica.port], secret="new") as renewed:
                await until(lambda: renewed.connected == 1)
        replica.tokens = ["new"]
        async with fanout(market, [replica.port], secret="old") as running:
            await until(lambda: "unauthenticated" in replica.ended)
            assert running.connected == 0


async def test_nobody_is_taken_for_a_matcher_while_the_token_cannot_be_read() -> None:
    market = ScriptedMarket()

    def unreadable() -> list[str]:
        raise CredentialsMissing("the file is gone")

    async with replicas(1) as (replica,), fanout(market, [replica.port], secret="known") as running:
        await until(lambda: running.connected == 1)
        replica.read_tokens = unreadable
        async with fanout(market, [replica.port], secret="known") as another:
            await until(lambda: "unauthenticated" in replica.ended)
            assert another.connected == 0
        replica.read_tokens = lambda: ["known"]
        async with fanout(market, [replica.port], secret="known") as another:
            await until(lambda: another.connected == 1)


async def test_every_replica_gets_every_batch() -> None:
    market = ScriptedMarket()
    async with replicas(2) as (one, two), fanout(market, [one.port, two.port]) as running:
        await until(lambda: one.view.ready and two.view.ready)
        for _ in range(50):
            buy(market, running)
            await asyncio.sleep(0)
        await until(lambda: is_whole(one, market) and is_whole(two, market))
        assert one.follower.sequences == two.follower.sequences == list(range(1, 101))


async def test_a_replica_that_was_away_gets_what_it_missed_once() -> None:
    market = ScriptedMarket()
    resumed: list[int] = []
    hooks = FanoutHooks(resumed=resumed.append)
    async with replicas(2) as (one, two), fanout(market, [one.port, two.port], hooks=hooks) as out:
        await until(lambda: one.view.ready and two.view.ready)
        for _ in range(10):
            buy(market, out)
        await until(lambda: is_whole(one, market) and is_whole(two, market))
        await one.stop()
        for _ in range(10):
            buy(market, out)
        await until(lambda: is_whole(two, market))
        await one.start()
        for _ in range(10):
            buy(market, out)
            await asyncio.sleep(0.01)
        await until(lambda: is_whole(one, market))
        assert one.follower.sequences == list(range(1, 61))
        assert one.follower.restarts == two.follower.restarts == 1
        assert sum(resumed) >= 20


async def test_a_new_replica_begins_with_the_book_and_not_with_history() -> None:
    market = ScriptedMarket()
    resumed: list[int] = []
    async with replicas(1) as (one,):
        market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100 + n) for n in range(1_000)])
        async with fanout(market, [one.port], hooks=FanoutHooks(resumed=resumed.append)) as out:
            await until(lambda: is_whole(one, market))
            buy(market, out)
            await until(lambda: is_whole(one, market))
    assert one.follower.sequences == [2_001, 2_002]
    assert resumed == []


@pytest.mark.parametrize("reason", ["far_behind", "pruned", "ahead"])
async def test_a_replica_that_cannot_resume_restarts_from_an_image(reason: str) -> None:
    market = ScriptedMarket()
    limits = StreamLimits(resume_events=10 if reason == "far_behind" else 1_000, backoff_limit=0.1)
    async with replicas(1) as (one,):
        async with fanout(market, [one.port], limits=limits) as out:
            await until(lambda: one.view.ready)
            buy(market, out)
            await until(lambda: is_whole(one, market))
        for _ in range(20):
            market.step([NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100)])
        if reason == "pruned":
            market.forgotten = 5
        if reason == "ahead":
            market = ScriptedMarket()
        restarts = one.follower.restarts
        async with fanout(market, [one.port], limits=limits) as out:
            await until(lambda: one.follower.restarts > restarts)
            await until(lambda: is_whole(one, market))


async def test_a_cancel_all_of_many_orders_arrives_whole() -> None:
    market = ScriptedMarket()
    async with replicas(1) as (one,), fanout(market, [one.port]) as out:
        await until(lambda: one.view.ready)
        buy(market, out, 30_000)
        out.publish(market.step([CancelAll(1)]))
        await until(lambda: is_whole(one, market))
        assert one.follower.sequences == list(range(1, 90_002))


async def test_a_stream_that_ends_is_told_from_one_that_never_began() -> None:
    market = ScriptedMarket()
    dropped: list[str] = []
    refused: list[str] = []
    delivered: list[float] = []
    sent: list[int] = []
    hooks = FanoutHooks(
        dropped=dropped.append,
        refused=refused.append,
        delivered=delivered.append,
        sent=sent.append,
    )
    async with replicas(1) as (one,), fanout(market, [one.port], hooks=hooks) as running:
        await until(lambda: one.view.ready)
        buy(market, running)
        await until(lambda: is_whole(one, market) and bool(delivered))
        assert len(delivered) == 1
        assert sum(sent) > 0
        assert (dropped, refused) == ([], [])
        await one.stop()
        await until(lambda: len(refused) >= 3)
        assert len(dropped) == 1
        assert set(refused) == {"unavailable"}


async def test_an_old_leader_is_refused() -> None:
    market = ScriptedMarket()
    market.epoch = 3
    reasons: list[str] = []
    async with replicas(1) as (one,):
        async with fanout(market, [one.port]):
            await until(lambda: one.view.ready)
        market.epoch = 2
        async with fanout(market, [one.port], hooks=FanoutHooks(refused=reasons.append)):
            await until(lambda: "failed_precondition" in reasons)
        assert one.view.epoch == 3


async def test_a_frozen_replica_delays_nobody_and_catches_up_when_it_thaws() -> None:
    market = ScriptedMarket()
    reasons: list[str] = []
    limits = StreamLimits(
        buffer=8, write_timeout=0.5, answer_timeout=1.0, heartbeat=0.1, backoff_limit=0.1
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.callback.replica_child",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    try:
        port = int(await child.stdout.readline())
        async with (
            replicas(1) as (healthy,),
            fanout(
                market,
                [port, healthy.port],
                limits=limits,
                hooks=FanoutHooks(dropped=reasons.append),
            ) as out,
        ):
            await until(lambda: out.connected == 2 and healthy.view.ready)
            child.send_signal(signal.SIGSTOP)
            for _ in range(40):
                buy(market, out, 500)
                await until(lambda: is_whole(healthy, market))
            await until(lambda: bool(reasons))
            child.send_signal(signal.SIGCONT)
            reached = 0
            async with asyncio.timeout(60):
                while reached < market.engine.sequence:
                    reached = int(await child.stdout.readline())
        assert healthy.follower.sequences == list(range(1, 40_001))
    finally:
        child.kill()
        await child.wait()


async def test_garbage_on_the_port_hurts_nobody() -> None:
    market = ScriptedMarket()
    async with replicas(1) as (one,), fanout(market, [one.port]) as out:
        await until(lambda: one.view.ready)
        for data in (
            b"\x00\xff" * 5_000,
            b"GET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writer.write(data)
            with contextlib.suppress(OSError):  # it may have hung up on us already
                writer.write_eof()
            async with asyncio.timeout(60):
                await asyncio.gather(reader.read(), return_exceptions=True)
            writer.close()
        async with aio.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            unannounced = pb.PublishRequest(batch=pb.Batch()).SerializeToString()
            for messages, code in (
                ([b"\xff\xff garbage"], grpc.StatusCode.INVALID_ARGUMENT),
                ([b""], grpc.StatusCode.INVALID_ARGUMENT),
                ([unannounced], grpc.StatusCode.INVALID_ARGUMENT),
                ([announce(market="NO-SUCH")], grpc.StatusCode.NOT_FOUND),
                ([b"x" * 2_000_000], grpc.StatusCode.RESOURCE_EXHAUSTED),
            ):
                assert await status(channel, messages) == code
        buy(market, out)
        await until(lambda: is_whole(one, market))
        assert one.follower.sequences == [1, 2]


async def test_who_connects_and_says_nothing_is_let_go() -> None:
    async with (
        replicas(1, announce_timeout=0.5) as (one,),
        aio.insecure_channel(f"127.0.0.1:{one.port}") as channel,
    ):
        assert await status(channel, []) == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_gap_ends_the_stream_with_a_status() -> None:
    market = ScriptedMarket()
    async with replicas(1) as (one,):
        ahead = pb.Batch(first_sequence=5, last_sequence=5, events=b"\x01\x90")
        async with aio.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            messages = [announce(), pb.PublishRequest(batch=ahead).SerializeToString()]
            assert await status(channel, messages) == grpc.StatusCode.OUT_OF_RANGE
        assert one.ended == ["sequence_gap"]
        assert not one.view.connected
        async with fanout(market, [one.port]) as out:
            await until(lambda: one.view.ready)
            buy(market, out)
            await until(lambda: is_whole(one, market))


def announce(market: str = SYMBOL) -> bytes:
    return announce_message(market=market, epoch=1, sequence=0, applied=0)


async def status(channel: aio.Channel, messages: list[bytes]) -> grpc.StatusCode:
    """How the replica ends a stream of these messages."""
    method: aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
    call = method()
    async with asyncio.timeout(60):
        for message in messages:
            try:
                await call.write(message)
            except (aio.AioRpcError, asyncio.InvalidStateError):
                break
        try:
            while isinstance(await call.read(), bytes):
                pass
        except aio.AioRpcError as error:
            return error.code()
        return await call.code()

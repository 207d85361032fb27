"""One API replica's stream of results: connect, resume, then live; dropped when it lags."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from grpc import aio

from gomatch.concurrency import Backoff, run_together
from gomatch.credentials import Tokens, no_tokens
from gomatch.errors import GomatchError
from gomatch.messages.applied import AppliedBatch, Summary
from gomatch.messages.callback import (
    MESSAGE_LIMIT,
    announce_message,
    batch_messages,
    depth_image_messages,
    heartbeat_message,
    journal_messages,
)
from gomatch.messages.credentials import callback_proof
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch.observability import logs

_log = logs.get(__name__)

METHOD = "/gomatch.v1.CallbackService/Publish"

Call = aio.StreamStreamCall[bytes, pb.PublishResponse]
Levels = Sequence[tuple[int, int]]


class JournalEntry(Protocol):
    """What a resume needs of a journal row."""

    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def last_number(self) -> int: ...
    @property
    def time(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def events(self) -> bytes: ...


class BacklogSource(Protocol):
    """Where the market stands and what a replica has missed."""

    def position(self) -> tuple[int, int, int]:
        """(epoch, sequence, applied) of the last commit."""
        ...

    def depth_image(self) -> tuple[int, int, Levels, Levels, Summary]:
        """(sequence, applied, bids, asks, summary) of the last commit."""
        ...

    async def journal(self, after_sequence: int, limit_rows: int) -> Sequence[JournalEntry]:
        """Journal rows with events after ``after_sequence``, in order. Raises GomatchError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Times are seconds; ``resume_events`` is how far behind a replica may be to get the events
    that it missed rather than an image alone."""

    buffer: int = 512
    connect_timeout: float = 5.0
    write_timeout: float = 5.0
    answer_timeout: float = 10.0
    heartbeat: float = 1.0
    resume_events: int = 1_000_000
    page_rows: int = 50
    backoff_first: float = 0.05
    backoff_limit: float = 2.0
    steady: float = 5.0
    """A stream that lived this long begins its backoff anew."""
    duplicate_pause: float = 0.5
    """How often an address looks whether the replica behind it is still served by another one."""


def _nothing(_: object) -> None:
    """The hook of someone who does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutHooks:
    """Called as things happen, from the event loop: live streams after each change, the reason
    of each live stream's end and of each attempt that never became one, events that were read
    from the journal, bytes sent, seconds from the commit of each batch until it was handed over."""

    connected: Callable[[int], None] = _nothing
    dropped: Callable[[str], None] = _nothing
    refused: Callable[[str], None] = _nothing
    resumed: Callable[[int], None] = _nothing
    sent: Callable[[int], None] = _nothing
    delivered: Callable[[float], None] = _nothing


class StreamEnded(GomatchError):
    """This replica's stream cannot go on; it reconnects and resumes."""

    code = "callback_stream_ended"

    def __init__(self, reason: str) -> None:
        super().__init__(f"callback stream ended: {reason}")
        self.reason = reason


class PreparedBatch:
    """A batch whose protobuf is made once, when the first replica wants it."""

    __slots__ = ("_messages", "batch", "since")

    def __init__(self, batch: AppliedBatch) -> None:
        self.batch = batch
        self.since = time.monotonic()
        self._messages: list[bytes] | None = None

    def messages(self) -> list[bytes]:
        if self._messages is None:
            self._messages = batch_messages(self.batch)
        return self._messages


class ReplicaStream:
    """``listed`` says that the resolver still knows the address: one that it no longer knows is
    served while the stream lives and not called again. An address is not called while
    ``served(replica, address)`` says that the replica which it led to last has a stream by another
    address: the newer stream would end the older one, for ever."""

    def __init__(
        self,
        *,
        market: str,
        address: str,
        source: BacklogSource,
        limits: StreamLimits,
        hooks: FanoutHooks,
        on_change: Callable[[], None],
        tokens: Tokens = no_tokens,
        served: Callable[[str, str], bool] = lambda _replica, _address: False,
    ) -> None:
        self.address = address
        self.replica = ""
        self.listed = True
        self.live = False
        self._market = market
        self._source = source
        self._limits = limits
        self._hooks = hooks
        self._on_change = on_change
        self._tokens = tokens
        self._served = served
        self._buffer: deque[PreparedBatch] = deque()
        self._attached = False
        self._greeted = False
        self._wake = asyncio.Event()
        self._overflow = asyncio.Event()
        self._sequence = 0
        self._applied = 0
        self._unanswered_since: float | None = None

    def offer(self, prepared: PreparedBatch) -> None:
        """Take a batch for sending; never blocks. A full buffer ends the stream."""
        if not self._attached:
            return
        if len(self._buffer) >= self._limits.buffer:
            self._detach()
            self._overflow.set()
            return
        self._buffer.append(prepared)
        self._wake.set()

    async def run(self) -> None:
        """Serve the replica until the resolver has forgotten it and its stream has ended."""
        backoff = Backoff(first=self._limits.backoff_first, limit=self._limits.backoff_limit)
        while self.listed:
            if self._served(self.replica, self.address):
                await asyncio.sleep(self._limits.duplicate_pause)
                continue
            started = time.monotonic()
            self._greeted = False
            reason = await self._session()
            (self._hooks.dropped if self._greeted else self._hooks.refused)(reason)
            if time.monotonic() - started > self._limits.steady:
                backoff.reset()
            if backoff.attempts < 3 or backoff.attempts % 30 == 0:
                _log.info(
                    "callback_stream_ended",
                    market=self._market,
                    replica=self.address,
                    reason=reason,
                    attempt=backoff.attempts,
                )
            if self.listed:
                await asyncio.sleep(backoff.next_delay())

    async def _session(self) -> str:
        """One connection from announce to its end; returns the reason of the end."""
        channel = aio.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
        call: Call | None = None
        try:
            method: aio.StreamStreamMultiCallable[bytes, pb.PublishResponse] = (
                channel.stream_stream(METHOD, response_deserializer=pb.PublishResponse.FromString)
            )
            call = method(metadata=self._proof(), wait_for_ready=False)
            async with asyncio.timeout(self._limits.connect_timeout):
                hello = await self._greet(call)
            self._attach()
            await run_together(self._send(call, hello), self._receive(call), self._watch())
        except StreamEnded as error:
            return error.reason
        except asyncio.CancelledError:
            # gRPC raises this too, for a call that it has cancelled by itself.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "cancelled"
        except TimeoutError:
            return "timeout"
        except aio.AioRpcError as error:
            return error.code().name.lower()
        except (aio.UsageError, aio.InternalError, asyncio.InvalidStateError):
            return "closed"
        except GomatchError as error:
            return error.code
        finally:
            self._detach()
            if call is not None:
                call.cancel()
            await channel.close(grace=None)
        return "ended"

    def _proof(self) -> tuple[tuple[str, str], ...]:
        tokens = self._tokens()
        return (("authorization", callback_proof(tokens[0])),) if tokens else ()

    def _attach(self) -> None:
        self._overflow.clear()
        self._attached = self._greeted = True
        self.live = True
        self._on_change()

    def _detach(self) -> None:
        self._attached = False
        self._buffer.clear()
        self._unanswered_since = None
        if self.live:
            self.live = False
            self._on_change()

    async def _greet(self, call: Call) -> pb.Hello:
        epoch, sequence, applied = self._source.position()
        await call.write(
            announce_message(market=self._market, epoch=epoch, sequence=sequence, applied=applied)
        )
        answer = await call.read()
        if not isinstance(answer, pb.PublishResponse):
            # The end of the stream: its status says why.
            raise StreamEnded((await call.code()).name.lower())
        if answer.WhichOneof("message") != "hello":
            raise StreamEnded("no_hello")
        self.replica = answer.hello.replica
        return answer.hello

    async def _receive(self, call: Call) -> None:
        while isinstance(await call.read(), pb.PublishResponse):
            self._unanswered_since = None
        raise StreamEnded((await call.code()).name.lower())

    async def _watch(self) -> None:
        await self._overflow.wait()
        raise StreamEnded("overflow")

    async def _send(self, call: Call, hello: pb.Hello) -> None:
        await self._catch_up(call, hello)
        epoch = self._source.position()[0]
        while True:
            while self._buffer:
                prepared = self._buffer.popleft()
                batch = prepared.batch
                if batch.last_sequence <= self._sequence and batch.applied <= self._applied:
                    continue
                if batch.first_sequence > self._sequence + 1:
                    raise StreamEnded("gap")
                await self._write(call, prepared.messages())
                self._hooks.delivered(time.monotonic() - prepared.since)
                self._sequence = batch.last_sequence
                self._applied = batch.applied
            self._wake.clear()
            try:
                async with asyncio.timeout(self._limits.heartbeat):
                    await self._wake.wait()
            except TimeoutError:
                beat = heartbeat_message(
                    epoch=epoch, sequence=self._sequence, applied=self._applied
                )
                await self._write(call, [beat])

    async def _catch_up(self, call: Call, hello: pb.Hello) -> None:
        """Bring the replica to where the buffer begins, or further."""
        _, target, self._applied = self._source.position()
        self._sequence = hello.last_sequence
        behind = target - self._sequence
        restart = (
            self._sequence == 0
            or not 0 <= behind <= self._limits.resume_events
            or not await self._send_journal(call, target)
        )
        if not restart and behind == 0 and hello.has_depth:
            return
        sequence, applied, bids, asks, summary = self._source.depth_image()
        image = depth_image_messages(
            epoch=self._source.position()[0],
            sequence=sequence,
            applied=applied,
            bids=bids,
            asks=asks,
            summary=summary,
            restart=restart,
        )
        await self._write(call, image)
        if restart:
            self._sequence, self._applied = sequence, applied

    async def _send_journal(self, call: Call, target: int) -> bool:
        """Send rows until ``target``; False when the journal no longer has what is missing."""
        while self._sequence < target:
            async with asyncio.timeout(self._limits.write_timeout):
                rows = await self._source.journal(self._sequence, self._limits.page_rows)
            if not rows or rows[0].first_sequence > self._sequence + 1:
                return False
            for row in rows:
                messages = journal_messages(
                    epoch=row.epoch,
                    first_sequence=row.first_sequence,
                    last_sequence=row.last_sequence,
                    applied=row.last_number,
                    time=row.time,
                    packed=row.events,
                )
                await self._write(call, messages)
                self._hooks.resumed(row.last_sequence - self._sequence)
                self._sequence = row.last_sequence
                self._applied = row.last_number
        return True

    async def _write(self, call: Call, messages: Sequence[bytes]) -> None:
        now = time.monotonic()
        if self._unanswered_since is None:
            self._unanswered_since = now
        elif now - self._unanswered_since > self._limits.answer_timeout:
            raise StreamEnded("unanswered")
        for message in messages:
            async with asyncio.timeout(self._limits.write_timeout):
                await call.write(message)
            self._hooks.sent(len(message))


_CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", 65_536),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Reconnecting is done here, with our own backoff on a channel of its own.
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

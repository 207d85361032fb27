"""The gRPC server on which matchers deliver results."""

from __future__ import annotations

import asyncio
import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from grpc import aio

from gomatch.credentials import Tokens, no_tokens
from gomatch.errors import CodecError, CredentialsMissing, UnknownMarket
from gomatch.messages.callback import MESSAGE_LIMIT, parse_request
from gomatch.messages.credentials import callback_proof
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing
from gomatch_api.feeds.feeds import Feeds
from gomatch_api.feeds.input import FeedError, FeedInput, SequenceGap, StaleEpoch, Superseded

_log = logs.get(__name__)

SERVICE = "gomatch.v1.CallbackService"


class Unauthenticated(FeedError):
    """The caller does not prove the callback token."""

    code = "unauthenticated"


_STATUS: dict[type[Exception], grpc.StatusCode] = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    StaleEpoch: grpc.StatusCode.FAILED_PRECONDITION,
    SequenceGap: grpc.StatusCode.OUT_OF_RANGE,
    Superseded: grpc.StatusCode.ABORTED,
    FeedError: grpc.StatusCode.INVALID_ARGUMENT,
    CodecError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownMarket: grpc.StatusCode.NOT_FOUND,
    TimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def _nothing(*_: object) -> None:
    """The hook of someone who does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackServerHooks:
    """``received(market, bytes)`` for each message; ``notified(seconds)`` once a part of a batch
    is with its listeners; ``ended(market, reason)`` for each stream, the market empty when the
    stream never said one."""

    received: Callable[[str, int], None] = _nothing
    notified: Callable[[float], None] = _nothing
    ended: Callable[[str, str], None] = _nothing


class CallbackServer:
    """Port 0 takes a free one; ``port`` tells which after ``start``. Times are seconds: a matcher
    has ``announce_timeout`` to introduce itself, as long again to take the greeting, and is dropped
    after ``idle_timeout`` of silence (it sends a heartbeat each second). A matcher
    must prove one of ``tokens``, as they are at that moment; while there is none, everybody is
    taken for a matcher."""

    def __init__(
        self,
        feeds: Feeds,
        *,
        host: str,
        port: int,
        tokens: Tokens = no_tokens,
        hooks: CallbackServerHooks | None = None,
        tracing: Tracing | None = None,
        announce_timeout: float = 5.0,
        idle_timeout: float = 10.0,
        answer_every: float = 1.0,
    ) -> None:
        self._feeds = feeds
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._tokens = tokens
        self._replica = uuid.uuid4().hex
        self._hooks = hooks or CallbackServerHooks()
        self._tracing = tracing or Tracing.off()
        self._announce_timeout = announce_timeout
        self._idle_timeout = idle_timeout
        self._answer_every = answer_every
        self._server: aio.Server | None = None
        self.port = port

    async def start(self) -> None:
        """Raises OSError when the address cannot be bound."""
        server = aio.server(options=_SERVER_OPTIONS, maximum_concurrent_rpcs=4_096)
        handler: grpc.RpcMethodHandler[bytes, pb.PublishResponse]
        handler = grpc.stream_stream_rpc_method_handler(
            self._publish, response_serializer=pb.PublishResponse.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Publish": handler}),)
        )
        try:
            self.port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"the callback address {self._address} cannot be bound") from error
        await server.start()
        self._server = server

    async def stop(self, grace: float = 0.5) -> None:
        """End all streams; the matchers come back to another replica or a later one."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    async def _publish(
        self, _: object, context: aio.ServicerContext[bytes, pb.PublishResponse]
    ) -> None:
        market = ""
        reason = "ended"
        try:
            self._authenticate(context)
            async with asyncio.timeout(self._announce_timeout):
                first = await self._read(context, market)
            if first is None:
                return
            if first.WhichOneof("message") != "announce":
                raise FeedError("a stream begins with announce")
            market = first.announce.market
            feed = self._feeds.open(market, first.announce.epoch)
            try:
                hello = feed.hello()
                hello.replica = self._replica
                async with asyncio.timeout(self._announce_timeout):
                    await context.write(pb.PublishResponse(hello=hello))
                await self._follow(context, market, feed)
            finally:
                self._feeds.close(market, feed)
        except tuple(_STATUS) as error:
            reason = getattr(error, "code", "timeout")
            status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
            _log.info("callback_stream_refused", market=market, reason=reason, why=str(error))
            context.set_code(status)
            context.set_details(str(error) or reason)
        finally:
            self._hooks.ended(market, reason)

    def _authenticate(self, context: aio.ServicerContext[bytes, pb.PublishResponse]) -> None:
        try:
            tokens = self._tokens()
        except CredentialsMissing as error:
            raise Unauthenticated(f"the callback token cannot be read here: {error}") from error
        if not tokens:
            return
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        given = sent.encode() if isinstance(sent, str) else sent
        if not any(hmac.compare_digest(given, callback_proof(each).encode()) for each in tokens):
            raise Unauthenticated("the callback token is another one here")

    async def _follow(
        self,
        context: aio.ServicerContext[bytes, pb.PublishResponse],
        market: str,
        feed: FeedInput,
    ) -> None:
        view = self._feeds.view(market)
        answered = time.monotonic()
        while True:
            async with asyncio.timeout(self._idle_timeout):
                request = await self._read(context, market)
            if request is None:
                return
            began = time.monotonic()
            with self._tracing.batch("notify", request.batch.trace, market=market):
                await feed.receive(request)
            now = time.monotonic()
            if request.HasField("batch"):
                self._hooks.notified(now - began)
            if now - answered >= self._answer_every or request.HasField("heartbeat"):
                answered = now
                received = pb.Received(last_sequence=view.sequence)
                async with asyncio.timeout(self._idle_timeout):
                    await context.write(pb.PublishResponse(received=received))

    async def _read(
        self, context: aio.ServicerContext[bytes, pb.PublishResponse], market: str
    ) -> pb.PublishRequest | None:
        """The next message, None at the stream's end. Raises CodecError."""
        data: object = await context.read()
        if not isinstance(data, bytes):  # aio.EOF
            return None
        self._hooks.received(market, len(data))
        return parse_request(data)


_SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", 65_536),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.max_concurrent_streams", 1_024),
    ("grpc.max_metadata_size", 16_384),
]

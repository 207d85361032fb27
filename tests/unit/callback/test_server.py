"""The server's side of a stream against a matcher that does not do its part."""

from __future__ import annotations

import asyncio

import grpc

from gomatch.messages.v1 import callback_pb2 as pb
from gomatch_api.callback_server import CallbackServer, CallbackServerHooks
from gomatch_api.feeds.feeds import Feeds
from tests.unit.feeds.scripted import SYMBOL, lookup


class SilentMatcher:
    """Introduces itself and never takes an answer."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None

    async def read(self) -> bytes:
        announce = pb.Announce(market=SYMBOL, epoch=1)
        return pb.PublishRequest(announce=announce).SerializeToString()

    async def write(self, _: pb.PublishResponse) -> None:
        await asyncio.Event().wait()

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, _: str) -> None:
        return None


async def test_a_matcher_that_takes_no_greeting_is_dropped() -> None:
    ended: list[tuple[str, str]] = []
    server = CallbackServer(
        Feeds(lookup),
        host="127.0.0.1",
        port=0,
        hooks=CallbackServerHooks(ended=lambda *end: ended.append(end)),
        announce_timeout=0.05,
    )
    matcher = SilentMatcher()
    async with asyncio.timeout(10):
        await server._publish(None, matcher)  # type: ignore[arg-type]  # what it uses of a context
    assert matcher.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended == [(SYMBOL, "timeout")]

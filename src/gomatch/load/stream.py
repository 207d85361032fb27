"""One WebSocket connection to ``/v1/stream``: subscriptions, their messages, order entry."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from gomatch.errors import ConnectionFailed, LoadError
from gomatch.load.statistics import Statistics
from gomatch.load.wire import StreamMessage, stream_decoder

_LARGEST_BACKOFF = 2.0


class Subscription(NamedTuple):
    """``channel`` is orders, trades, depth or ticker."""

    channel: str
    market: str


class _Position(NamedTuple):
    sequence: int
    through: int


_DATA = {
    "orders": "orders",
    "trades": "trades",
    "depth": "depth",
    "depth_snapshot": "depth",
    "ticker": "ticker",
}
"""Types of messages that carry a channel's data, and the channel."""


class StreamClient:
    """Keeps its connection while ``run`` runs: reconnects with back-off, subscribes again from
    the last sequence it saw and counts every break of continuity.

    ``on_message`` is called with each message of a subscription and its time of arrival on the
    clock of time.perf_counter.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        subscriptions: Sequence[Subscription] = (),
        statistics: Statistics,
        on_message: Callable[[StreamMessage, float], None],
        timeout: float = 10.0,
    ) -> None:
        self._url = stream_url(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._subscriptions = subscriptions
        self._statistics = statistics
        self._on_message = on_message
        self._timeout = timeout
        self._connection: ClientConnection | None = None
        self._waiting: dict[int, asyncio.Future[StreamMessage]] = {}
        self._tag = 0
        self._seen: dict[tuple[str, str], _Position] = {}
        self._begun = False
        self.ready = asyncio.Event()
        """Set while connected with every subscription confirmed."""

    async def run(self) -> None:
        """Ends by cancellation; raises LoadError when it is refused before it was ever ready."""
        delay = 0.0
        while True:
            await asyncio.sleep(delay)
            try:
                await self._connected()
                delay = 0.0
            except InvalidStatus as error:
                self._refused(f"HTTP {error.response.status_code}")
            except (OSError, TimeoutError, WebSocketException) as error:
                self._statistics.failed[f"stream: {type(error).__name__}"] += 1
            self._statistics.reconnects += 1
            delay = min(max(delay * 2, 0.05), _LARGEST_BACKOFF) * random.uniform(0.5, 1.5)

    def _refused(self, why: str) -> None:
        if not self._begun:
            raise LoadError(f"{self._url} refused the stream ({why}): is the token right?")
        self._statistics.failed[f"stream: {why}"] += 1

    async def request(self, op: bytes, members: bytes) -> StreamMessage:
        """Send one message of order entry and wait for its answer. Raises ConnectionFailed."""
        connection = self._connection
        if connection is None:
            raise ConnectionFailed("the stream is not connected")
        self._tag += 1
        tag = self._tag
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[StreamMessage] = loop.create_future()
        self._waiting[tag] = answer
        late = ConnectionFailed(f"no answer on the stream within {self._timeout:g} s")
        timer = loop.call_later(self._timeout, _fail, answer, late)
        text = b'{"op":"%b","id":%d,%b}' % (op, tag, members)
        try:
            await connection.send(text, text=True)
            return await answer
        except WebSocketException as error:
            raise ConnectionFailed("the stream was lost") from error
        finally:
            timer.cancel()
            self._waiting.pop(tag, None)

    async def _connected(self) -> None:
        async with connect(
            self._url,
            additional_headers=self._headers,
            compression=None,
            max_size=None,
            max_queue=1024,
            open_timeout=self._timeout,
            close_timeout=min(self._timeout, 2.0),
            # A server that is gone without a word is noticed by the pong that does not come.
            ping_interval=self._timeout,
            ping_timeout=self._timeout,
        ) as connection:
            try:
                for tag, wanted in enumerate(self._subscriptions):
                    await connection.send(self._subscribe(tag, wanted))
                self._connection = connection
                await self._read(connection)
            finally:
                self._connection = None
                self.ready.clear()
                lost = ConnectionFailed("the stream was lost")
                for answer in self._waiting.values():
                    _fail(answer, lost)

    def _subscribe(self, tag: int, wanted: Subscription) -> str:
        message: dict[str, object] = {
            "op": "subscribe",
            "channel": wanted.channel,
            "market": wanted.market,
            "id": f"s{tag}",
        }
        seen = self._seen.get((wanted.channel, wanted.market))
        if wanted.channel == "orders" and seen is not None:
            message["from"] = seen.through
        return msgspec.json.encode(message).decode()

    async def _read(self, connection: ClientConnection) -> None:
        missing = len(self._subscriptions)
        if not missing:
            self._is_ready()
        while True:
            data = await connection.recv(decode=False)
            now = time.perf_counter()
            message = stream_decoder.decode(data)
            kind = message.type
            if type(message.id) is int:
                answer = self._waiting.get(message.id)
                if answer is not None and not answer.done():
                    answer.set_result(message)
            elif kind in _DATA:
                self._follow(message, new=kind == "depth_snapshot")
                self._on_message(message, now)
            elif kind == "heartbeat":
                self._follow(message, new=False)
            elif kind == "subscribed":
                self._follow(message, new=True)
                missing -= 1
                if missing == 0:
                    self._is_ready()
            else:
                self._refused(message.code or kind)
                if kind == "resync_required":
                    self._follow(message, new=True)

    def _is_ready(self) -> None:
        self._begun = True
        self.ready.set()

    def _follow(self, message: StreamMessage, *, new: bool) -> None:
        """Check that the message continues its subscription; ``new`` ones begin it."""
        key = (message.channel or _DATA[message.type], message.market)
        seen = self._seen.get(key)
        if not new and seen is not None and message.prev != seen.sequence:
            self._statistics.stream_gaps += 1
        self._seen[key] = _Position(message.sequence, message.through)


def stream_url(url: str) -> str:
    """The stream's address beside the API's."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "/v1/stream", "", ""))


def _fail(answer: asyncio.Future[StreamMessage], error: Exception) -> None:
    if not answer.done():
        with contextlib.suppress(asyncio.InvalidStateError):
            answer.set_exception(error)

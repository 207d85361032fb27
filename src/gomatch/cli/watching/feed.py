"""One market over the WebSocket, through as many connections as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from gomatch.cli.http import ApiClient
from gomatch.cli.output import CommandFailed, ExitCode
from gomatch.cli.watching.state import CHANNELS, TRADES_KEPT, Gap, MarketState

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 20.0
"""The stream has a heartbeat every few seconds; after this long the connection is given up."""
_BACKOFF_FIRST = 0.25
_BACKOFF_LIMIT = 8.0
_MESSAGE_BYTES = 16 * 1024 * 1024


class Broken(Exception):
    """The connection cannot go on; another one may."""


class MarketFeed:
    """Keeps ``state`` current. ``status`` says for people how the connection does."""

    def __init__(self, url: str, market: str) -> None:
        """``url`` is the API's. Raises ConfigurationError when it cannot be one."""
        self.state = MarketState(market)
        self.status = "connecting"
        self._url = url
        self._api = ApiClient(url, "")
        self._stream_url = "ws" + url.removeprefix("http").rstrip("/") + "/v1/stream"

    async def close(self) -> None:
        await self._api.close()

    async def until_complete(self) -> None:
        """Return once every channel has told where it stands. Raises CommandFailed when the
        API refuses, or cannot be reached."""
        try:
            async with aclosing(self._messages()) as messages:
                async for _ in messages:
                    if self.state.complete:
                        return
        except Broken as error:
            raise CommandFailed(
                f"{self._url}: {error}", ExitCode.UNAVAILABLE, reason="unreachable"
            ) from error

    async def follow(self, changed: Callable[[bytes], None]) -> None:
        """Go on for ever; ``changed`` is called with each message once ``state`` holds it, and
        with nothing when ``status`` changes. Raises CommandFailed when the API refuses."""
        attempts = 0
        while True:
            try:
                async with aclosing(self._messages()) as messages:
                    async for message in messages:
                        attempts = 0
                        changed(message)
            except Gap as gap:
                # A new connection begins with a snapshot of everything.
                self.status = f"missed something on {gap.channel}, starting over"
                changed(b"")
            except Broken as error:
                delay = min(_BACKOFF_LIMIT, _BACKOFF_FIRST * 2**attempts) * random.uniform(0.5, 1)
                attempts += 1
                self.status = f"{error}; again in {delay:.1f} s"
                changed(b"")
                await asyncio.sleep(delay)

    async def _messages(self) -> AsyncGenerator[bytes, None]:
        """The messages of one connection. Raises Broken, Gap, CommandFailed."""
        try:
            async with connect(
                self._stream_url,
                open_timeout=_CONNECT_SECONDS,
                close_timeout=1,
                max_size=_MESSAGE_BYTES,
            ) as stream:
                await self._begin(stream)
                while True:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        message = await stream.recv(decode=False)
                    self._take(msgspec.json.decode(message))
                    yield message
        except TimeoutError as error:
            raise Broken("no answer") from error
        except (OSError, WebSocketException, msgspec.DecodeError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    async def _begin(self, stream: ClientConnection) -> None:
        self.state.forget()
        self.status = "live"
        for channel in CHANNELS:
            request = {"op": "subscribe", "channel": channel, "market": self.state.market}
            await stream.send(msgspec.json.encode(request).decode())
        # After subscribing, so that no trade falls between.
        try:
            recent = await self._api.call(
                "GET", f"/v1/markets/{self.state.market}/trades", query={"limit": TRADES_KEPT}
            )
        except CommandFailed as failure:
            if failure.code is not ExitCode.UNAVAILABLE:
                raise
            self.status = f"live, without earlier trades: {failure}"
        else:
            self.state.add_trades(reversed(recent["trades"]))

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "error" if message.get("status", 0) in (429, 503):
                raise Broken(f"{message['title']} ({message['code']})")
            case "error":
                raise CommandFailed(
                    f"{message.get('detail') or message['title']} ({message['code']})",
                    ExitCode.REFUSED,
                    reason=message["code"],
                )
            case "closing":
                raise Broken(f"closed by the API: {message['code']}")
            case _:
                self.state.apply(message)

"""A lean HTTP/1.1 client for one keep-alive connection, one request at a time.

The generator shares its machine with the servers that it measures, so it must cost little: a
request is one write, an answer one scan for its length. It reads only what gomatch's API sends
(answers with a Content-Length); anything else is an error, never a hang.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from gomatch.errors import ConfigurationError, ConnectionFailed

_LARGEST_HEAD = 65_536


class HttpAnswer(NamedTuple):
    """``retry_after`` is in seconds, 0 when the server named none."""

    status: int
    body: bytes
    retry_after: float = 0.0


class AnswerParser:
    """Puts one answer at a time together from what arrives. Pure: bytes in, answers out."""

    def __init__(self) -> None:
        self._data = b""
        self._body_at = 0
        self._length = 0
        self._status = 0
        self._retry_after = 0.0

    def feed(self, data: bytes) -> HttpAnswer | None:
        """Raises ConnectionFailed when this is no answer that gomatch sends."""
        self._data = self._data + data if self._data else data
        if not self._body_at and not self._read_head():
            return None
        end = self._body_at + self._length
        if len(self._data) < end:
            return None
        if len(self._data) > end:
            raise ConnectionFailed("the server sent more than it announced")
        answer = HttpAnswer(self._status, self._data[self._body_at : end], self._retry_after)
        self._data = b""
        self._body_at = 0
        return answer

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _LARGEST_HEAD:
                raise ConnectionFailed("the answer's head does not end")
            return False
        head = self._data[:end].lower()
        try:
            self._status = int(head[9:12])
            self._length = int(_header(head, b"content-length") or 0)
            self._retry_after = float(_header(head, b"retry-after") or 0)
        except ValueError as error:
            raise ConnectionFailed("the answer is not HTTP/1.1") from error
        if b"\r\ntransfer-encoding:" in head:
            raise ConnectionFailed("the answer has no Content-Length")
        self._body_at = end + 4
        return True


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


class _Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[HttpAnswer] | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = AnswerParser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A transport of uvloop is no instance of asyncio's class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._parser.feed(data)
        except ConnectionFailed as error:
            self.fail(error)
            return
        if answer is not None and self.answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(ConnectionFailed("the connection was lost"))
        if not self.closed.done():
            self.closed.set_result(None)

    def fail(self, error: Exception) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)
        if self.transport is not None:
            self.transport.close()


class HttpConnection:
    """Connects when first used and again after a failure. Not for concurrent requests."""

    def __init__(self, url: str, *, token: str = "", timeout: float = 10.0) -> None:
        """Raises ConfigurationError on an address that it cannot use."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigurationError(f"{url}: load is sent to http:// addresses only")
        self._host = parts.hostname
        self._port = parts.port or 80
        self._timeout = timeout
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._headers = f" HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n{authorization}".encode()
        self._protocol: _Protocol | None = None

    async def request(self, method: bytes, target: bytes, body: bytes = b"") -> HttpAnswer:
        """Raises ConnectionFailed, after which the connection is new."""
        head = (
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            if body
            else b"\r\n"
        )
        return await self._exchange(b"".join((method, b" ", target, self._headers, head, body)))

    async def close(self) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None and protocol.transport is not None:
            protocol.transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(protocol.closed, self._timeout)

    async def _exchange(self, data: bytes) -> HttpAnswer:
        loop = asyncio.get_running_loop()
        protocol = await self._connected()
        assert protocol.transport is not None
        answer: asyncio.Future[HttpAnswer] = loop.create_future()
        protocol.answer = answer
        late = ConnectionFailed(f"no answer within {self._timeout:g} s")
        # A timer per request is far cheaper than asyncio.timeout, which cancels tasks.
        timer = loop.call_later(self._timeout, protocol.fail, late)
        protocol.transport.write(data)
        try:
            return await answer
        except ConnectionFailed:
            await self.close()
            raise
        finally:
            timer.cancel()
            protocol.answer = None

    async def _connected(self) -> _Protocol:
        protocol = self._protocol
        if protocol is not None and not protocol.closed.done():
            return protocol
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                _, protocol = await loop.create_connection(_Protocol, self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise ConnectionFailed(f"cannot connect to {self._host}:{self._port}") from error
        self._protocol = protocol
        return protocol

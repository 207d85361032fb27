"""RabbitMQ's management HTTP API: the few calls that keep queues, and nothing that purges one."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from gomatch.credentials import Credentials, Endpoint
from gomatch.errors import CredentialsMissing
from gomatch_operator.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ManagementMissing,
    VirtualHostMissing,
)
from gomatch_operator.queue.rows import (
    BindingRow,
    ExchangeRow,
    PolicyRow,
    QueueRow,
)

_CONNECTIONS = 8
_ANSWER_LIMIT = 64 << 20
"""Bytes; a thousand queues are about 250 kB."""
_SAID_LIMIT = 300

_RowT = TypeVar("_RowT")
Called = Callable[[str, int], None]
"""Told the method and the HTTP status of each call, 0 when there was no answer."""


class _Answer(NamedTuple):
    status: int
    body: bytes


class _Overview(msgspec.Struct):
    management_version: str


class ManagementApi:
    """One virtual host. Every call raises BrokerError: BrokerUnavailable without an answer,
    BrokerRefused when user or rights do not suffice, VirtualHostMissing, ManagementMissing when
    something else answers.

    ``credentials`` is a folder with `username` and `password`, read at the first call and again
    when the broker refuses them. ``timeout`` is seconds for each call.
    """

    def __init__(
        self,
        url: str,
        *,
        vhost: str,
        credentials: Path,
        timeout: float,
        ca: Path | None = None,
        called: Called = lambda _method, _status: None,
    ) -> None:
        self._url = url.rstrip("/")
        self._vhost = vhost
        self._endpoint = Endpoint(self._url, credentials)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._ca = ca
        self._called = called
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None

    async def queues(self) -> list[QueueRow]:
        return await self._rows(f"queues/{self._at}", list[QueueRow], QueueRow)

    async def queue(self, name: str) -> QueueRow | None:
        """None when there is none of this name."""
        return await self._row(f"queues/{self._at}/{_part(name)}", QueueRow)

    async def bindings(self, exchange: str) -> list[BindingRow]:
        """Of which the exchange is the source; none when it does not exist."""
        path = f"exchanges/{self._at}/{_part(exchange)}/bindings/source"
        answer = await self._get(path, BindingRow)
        return [] if answer is None else self._decode(answer, list[BindingRow])

    async def queue_bindings(self, queue: str) -> list[BindingRow]:
        """All that lead to the queue; none when it does not exist."""
        path = f"queues/{self._at}/{_part(queue)}/bindings"
        answer = await self._get(path, BindingRow)
        return [] if answer is None else self._decode(answer, list[BindingRow])

    async def exchanges(self) -> list[ExchangeRow]:
        return await self._rows(f"exchanges/{self._at}", list[ExchangeRow], ExchangeRow)

    async def policies(self) -> list[PolicyRow]:
        return await self._rows(f"policies/{self._at}", list[PolicyRow], PolicyRow)

    async def put_exchange(self, name: str, *, kind: str) -> None:
        """Durable. ``kind`` is direct or fanout."""
        await self._write(
            "PUT", f"exchanges/{self._at}/{_part(name)}", {"type": kind, "durable": True}
        )

    async def put_queue(self, name: str, *, arguments: Mapping[str, Any]) -> None:
        """Durable. Does nothing when it exists so, and is refused when with other properties."""
        await self._write(
            "PUT",
            f"queues/{self._at}/{_part(name)}",
            {"durable": True, "auto_delete": False, "arguments": dict(arguments)},
        )

    async def delete_queue(self, name: str) -> None:
        """With all that is in it. Nothing happens when there is none."""
        await self._write("DELETE", f"queues/{self._at}/{_part(name)}", missing_ok=True)

    async def put_binding(self, *, exchange: str, queue: str, routing_key: str) -> None:
        path = f"bindings/{self._at}/e/{_part(exchange)}/q/{_part(queue)}"
        await self._write("POST", path, {"routing_key": routing_key})

    async def put_policy(
        self, name: str, *, pattern: str, priority: int, definition: Mapping[str, Any]
    ) -> None:
        """For queues. Replaces that of the same name."""
        await self._write(
            "PUT",
            f"policies/{self._at}/{_part(name)}",
            {
                "pattern": pattern,
                "apply-to": "queues",
                "priority": priority,
                "definition": dict(definition),
            },
        )

    async def delete_policy(self, name: str) -> None:
        """Nothing happens when there is none."""
        await self._write("DELETE", f"policies/{self._at}/{_part(name)}", missing_ok=True)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def _at(self) -> str:
        return _part(self._vhost)

    async def _rows(self, path: str, into: type[list[_RowT]], row: type[Any]) -> list[_RowT]:
        answer = await self._get(path, row)
        if answer is None:
            raise await self._explain_missing()
        return self._decode(answer, into)

    async def _row(self, path: str, row: type[_RowT]) -> _RowT | None:
        answer = await self._get(path, row)
        return None if answer is None else self._decode(answer, row)

    async def _get(self, path: str, row: type[Any]) -> bytes | None:
        """None for 404. Only the columns of ``row`` are asked for: the broker knows a hundred."""
        columns = ",".join(field.encode_name for field in msgspec.structs.fields(row))
        answer = await self._call("GET", f"{path}?columns={columns}")
        if answer.status == 404:
            return None
        self._check(answer)
        return answer.body

    async def _write(
        self, method: str, path: str, body: object = None, *, missing_ok: bool = False
    ) -> None:
        answer = await self._call(method, path, body)
        if answer.status == 404:
            if missing_ok:
                return
            raise await self._explain_missing()
        self._check(answer)

    async def _explain_missing(self) -> BrokerError:
        """Why something that must exist was answered with 404."""
        answer = await self._call("GET", "overview")
        if answer.status != 404:
            self._check(answer)
            self._decode(answer.body, _Overview)
            return VirtualHostMissing(
                f"RabbitMQ at {self._url} has no virtual host {self._vhost!r}, or it lost "
                "something this moment"
            )
        return self._no_management("it answers 404")

    async def _call(self, method: str, path: str, body: object = None) -> _Answer:
        if self._credentials is None:
            self._credentials = self._read_credentials()
        answer = await self._send(method, path, body, self._credentials)
        if answer.status == 401:
            renewed = self._read_credentials()
            if renewed != self._credentials:
                self._credentials = renewed
                answer = await self._send(method, path, body, renewed)
        return answer

    async def _send(
        self, method: str, path: str, body: object, credentials: Credentials
    ) -> _Answer:
        status = 0
        try:
            async with self._opened().request(
                method,
                URL(f"{self._url}/api/{path}", encoded=True),
                headers={"Authorization": _authorization(credentials)},
                json=body,
                allow_redirects=False,
            ) as response:
                status = response.status
                return _Answer(status, await self._read(response))
        except aiohttp.ClientResponseError as error:  # what answers speaks no HTTP
            raise self._no_management(error.message or "it speaks no HTTP") from error
        except aiohttp.ClientConnectorCertificateError as error:
            await self.close()  # so that the next call reads the CA again
            raise BrokerUnavailable(f"the certificate of {self._url} is not trusted") from error
        except TimeoutError as error:
            raise BrokerUnavailable(f"RabbitMQ at {self._url} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokerUnavailable(
                f"RabbitMQ at {self._url} gives no answer: {error or type(error).__name__}"
            ) from error
        finally:
            self._called(method, status)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts = bytearray()
        async for part in response.content.iter_any():
            parts += part
            if len(parts) > _ANSWER_LIMIT:
                response.close()
                raise self._no_management(f"it answers more than {_ANSWER_LIMIT} bytes")
        return bytes(parts)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._trust()),
                timeout=self._timeout,
            )
        return self._session

    def _trust(self) -> ssl.SSLContext | bool:
        if not self._url.startswith("https:"):
            return True
        try:
            return ssl.create_default_context(cafile=self._ca)
        except OSError as error:
            raise BrokerUnavailable(
                f"the CA bundle {self._ca} cannot be read: {error.strerror}"
            ) from error

    def _read_credentials(self) -> Credentials:
        try:
            credentials = self._endpoint.credentials()
        except CredentialsMissing as error:
            raise BrokerRefused(str(error)) from error
        assert credentials is not None
        return credentials

    def _check(self, answer: _Answer) -> None:
        if answer.status in {200, 201, 204}:
            return
        said = _said(answer.body)
        if answer.status in {401, 403}:
            raise BrokerRefused(f"RabbitMQ at {self._url} refuses the operator's user: {said}")
        if answer.status >= 500 or answer.status == 429:
            raise BrokerUnavailable(f"RabbitMQ at {self._url} fails ({answer.status}): {said}")
        if 300 <= answer.status < 400:
            raise self._no_management("it answers with a redirection")
        raise BrokerError(f"RabbitMQ refuses ({answer.status}): {said}")

    def _decode(self, body: bytes, into: type[_RowT]) -> _RowT:
        try:
            return msgspec.json.decode(body, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._no_management("its answer is none of RabbitMQ's") from error

    def _no_management(self, why: str) -> ManagementMissing:
        return ManagementMissing(
            f"what answers at {self._url} is not RabbitMQ's management API: {why}"
        )


def _part(name: str) -> str:
    """A name as one part of a path: the virtual host / is %2F."""
    return quote(name, safe="")


def _authorization(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _said(body: bytes) -> str:
    """The broker's reason, as text of bounded length."""
    try:
        answer = json.loads(body)
        text = str(answer.get("reason") or answer.get("error") or "no reason given")
    except (ValueError, AttributeError):
        text = body.decode("utf-8", "replace") or "no reason given"
    return " ".join(text.split())[:_SAID_LIMIT]

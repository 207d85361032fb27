"""A broker that refuses, is away, or is something else: each has an error of its own, and all is
well once the cause is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gomatch.cli.servers import RabbitServer
from gomatch_operator.actions import Action
from gomatch_operator.errors import (
    BrokerRefused,
    BrokerUnavailable,
    ManagementMissing,
    VirtualHostMissing,
)
from gomatch_operator.queue.desired_queue import DesiredQueue
from gomatch_operator.queue.inventory import QueueInventory
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.reconciler import QueueReconciler
from tests.fixtures.management import BrokerAdmin, CredentialFiles

SHORT = DesiredQueue(symbol="BTC-USDT", max_length=3)


@asynccontextmanager
async def looking(
    url: str, folder: Path, *, vhost: str = "/", timeout: float = 20, ca: Path | None = None
) -> AsyncIterator[QueueReconciler]:
    api = ManagementApi(url, vhost=vhost, credentials=folder, timeout=timeout, ca=ca)
    try:
        yield QueueReconciler(api)
    finally:
        await api.close()


def everything(reconciler: QueueReconciler) -> list[Action]:
    """All that an empty broker needs."""
    empty = QueueInventory.of()
    return [*reconciler.plan_shared(empty).actions, *reconciler.plan(SHORT, empty).actions]


async def until_observed(reconciler: QueueReconciler) -> None:
    """A busy broker may not answer in time."""
    async with asyncio.timeout(60):
        while True:
            try:
                await reconciler.observe()
            except BrokerUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


@pytest.fixture
def username(broker_admin: BrokerAdmin, numbers: Iterator[int]) -> Iterator[str]:
    name = f"user{next(numbers)}"
    broker_admin.make_user(name, "secret")
    yield name
    broker_admin.delete(f"users/{name}")


@pytest.fixture
def files(username: str, tmp_path: Path) -> CredentialFiles:
    files = CredentialFiles(tmp_path / "credentials")
    files.write(username, "secret")
    return files


@pytest.mark.parametrize(
    ("lacking", "refused"),
    [
        ({"tags": ""}, {"exchange", "queue", "binding", "policy"}),
        ({"tags": "management"}, {"policy"}),
        ({"configure": "^$"}, {"exchange", "queue"}),
        ({"configure": r"^gomatch\.orders(\..*)?$"}, {"exchange", "queue"}),
        ({"write": "^$"}, {"queue", "binding"}),
        ({"read": "^$"}, {"queue", "binding"}),
    ],
    ids=["no tag", "no policymaker", "no configure", "no dead letters", "no write", "no read"],
)
async def test_no_right_of_the_operators_user_is_too_many(
    broker_admin: BrokerAdmin,
    username: str,
    files: CredentialFiles,
    lacking: dict[str, str],
    refused: set[str],
) -> None:
    seen = set()
    async with looking(broker_admin.url, files.folder, vhost=broker_admin.vhost) as reconciler:
        for action in everything(reconciler):
            broker_admin.make_user(username, "secret", **lacking)
            try:
                await reconciler.apply(action)
            except BrokerRefused:
                seen.add(action.kind)
            broker_admin.make_user(username, "secret")
            await reconciler.apply(action)

    assert seen == refused


async def test_a_rotated_password_is_read_when_the_old_one_is_refused(
    broker_admin: BrokerAdmin, username: str, files: CredentialFiles
) -> None:
    async with looking(broker_admin.url, files.folder, vhost=broker_admin.vhost) as reconciler:
        await reconciler.observe()
        broker_admin.make_user(username, "another")
        with pytest.raises(BrokerRefused, match="refuses the operator's user"):
            await reconciler.observe()
        files.write(username, "another")

        assert (await reconciler.observe()).exchanges


async def test_credentials_that_are_not_there_are_named_and_read_once_they_are(
    broker_admin: BrokerAdmin, username: str, tmp_path: Path
) -> None:
    folder = tmp_path / "late"
    async with looking(broker_admin.url, folder, vhost=broker_admin.vhost) as reconciler:
        with pytest.raises(BrokerRefused, match="late/username"):
            await reconciler.observe()
        CredentialFiles(folder).write(username, "secret")

        assert (await reconciler.observe()).exchanges


async def test_a_virtual_host_that_is_not_there_is_named(
    broker_admin: BrokerAdmin, tmp_path: Path
) -> None:
    files = CredentialFiles(tmp_path / "administrator")
    files.write("guest", "guest")
    async with looking(broker_admin.url, files.folder, vhost="a/b c") as reconciler:
        with pytest.raises(VirtualHostMissing, match="'a/b c'"):
            await reconciler.observe()
        with pytest.raises(VirtualHostMissing):
            await reconciler.apply(everything(reconciler)[0])

        broker_admin.put("vhosts/a%2Fb%20c", {})
        assert (await reconciler.observe()).exchanges
        broker_admin.delete("vhosts/a%2Fb%20c")


async def test_a_virtual_host_of_others_is_refused(
    broker_admin: BrokerAdmin, files: CredentialFiles
) -> None:
    async with looking(broker_admin.url, files.folder, vhost="/") as reconciler:
        with pytest.raises(BrokerRefused):
            await reconciler.observe()


async def test_a_broker_that_is_away_is_unavailable_until_it_is_back(
    rabbitmq_server: RabbitServer, broker_admin: BrokerAdmin, files: CredentialFiles
) -> None:
    url, vhost = broker_admin.url, broker_admin.vhost
    async with looking(url, files.folder, vhost=vhost, timeout=1) as reconciler:
        await until_observed(reconciler)
        await rabbitmq_server.pause()
        try:
            with pytest.raises(BrokerUnavailable, match="in time"):
                await reconciler.observe()
        finally:
            await rabbitmq_server.resume()

        await until_observed(reconciler)


async def test_where_nothing_listens_it_is_unavailable(files: CredentialFiles) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with looking(url, files.folder) as reconciler:
            with pytest.raises(BrokerUnavailable, match="gives no answer"):
                await reconciler.observe()


PAGE = b"<html>hello</html>"


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\nConnection: close\r\n\r\n" + body


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", PAGE, "Content-Type: text/html"),
        http("404 Not Found", PAGE, "Content-Type: text/html"),
        http("404 Not Found", b'{"detail":"Not Found"}', "Content-Type: application/json"),
        http("200 OK", b'{"status":"ok"}', "Content-Type: application/json"),
        http("302 Found", b"", "Location: https://127.0.0.1/"),
        b"AMQP\x00\x00\x09\x01",
    ],
    ids=["page", "404 page", "404 of another API", "another API", "redirection", "AMQP"],
)
async def test_something_else_that_answers_is_no_management_api(
    files: CredentialFiles, answer: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, looking(url, files.folder) as reconciler:
        with pytest.raises(ManagementMissing, match=url):
            await reconciler.observe()


async def test_a_server_that_fails_is_unavailable(files: CredentialFiles) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(http("503 Service Unavailable", b"booting"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, looking(url, files.folder) as reconciler:
        with pytest.raises(BrokerUnavailable, match=r"503.*booting"):
            await reconciler.observe()


async def test_a_ca_bundle_that_cannot_be_read_is_named(
    files: CredentialFiles, tmp_path: Path
) -> None:
    missing = tmp_path / "ca.crt"
    async with looking("https://127.0.0.1:1", files.folder, ca=missing) as reconciler:
        with pytest.raises(BrokerUnavailable, match=r"ca\.crt"):
            await reconciler.observe()

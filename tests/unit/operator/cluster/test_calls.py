"""What is asked before a write is sent, and what an answer that is none means."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterUnavailable, LeadershipLost


class Answer:
    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self._body = body

    async def read(self) -> bytes:
        return self._body


class Server:
    def __init__(self) -> None:
        self.body = b'{"metadata":{"uid":"u1"},"items":[]}'
        self.asked: list[str] = []

    async def request(self, method: str, *_: Any, **__: Any) -> Answer:
        self.asked.append(method)
        return Answer(self.body)


class Lost:
    def __init__(self) -> None:
        self.lost = False

    def __call__(self) -> None:
        if self.lost:
            raise LeadershipLost("another leads")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def permit() -> Lost:
    return Lost()


@pytest.fixture
async def api(server: Server, permit: Lost) -> ClusterApi:
    client: Any = ApiClient(Configuration(host="http://api"))
    await client.close()
    client.rest_client = server
    return ClusterApi(client, timeout=1, permit=permit)


async def test_who_leads_no_more_sends_no_write_and_still_may_read(
    api: ClusterApi, server: Server, permit: Lost
) -> None:
    permit.lost = True
    writes = [
        api.create("Service", "a", {}),
        api.apply("Service", "a", "b", {}),
        api.replace("Service", "a", "b", {}),
        api.merge_patch("Service", "a", "b", {}),
        api.json_patch("Service", "a", "b", []),
        api.patch_status("Market", "a", "b", {}, uid="u1"),
        api.delete("Service", "a", "b", uid="u1"),
        api.create_event("a", {}),
    ]
    for write in writes:
        with pytest.raises(LeadershipLost):
            await write
    assert server.asked == []
    await api.get("Service", "a", "b")
    assert [each async for each in api.list("Service", "a")] == []

    permit.lost = False
    await api.create("Service", "a", {})
    assert server.asked == ["GET", "GET", "POST"]


async def test_an_answer_that_is_no_json_is_an_api_server_that_is_away(
    api: ClusterApi, server: Server
) -> None:
    server.body = b"<html>welcome"
    with pytest.raises(ClusterUnavailable, match="get Service a/b"):
        await api.get("Service", "a", "b")

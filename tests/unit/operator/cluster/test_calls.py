"""What is asked before a write is sent, and what an answer that is none means."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterUnavailable, LeadershipLost, ObjectChanged


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
        self.sent: list[tuple[str, Any]] = []
        """URL and body."""

    async def request(self, method: str, url: str, *, body: Any = None, **_: Any) -> Answer:
        self.asked.append(method)
        self.sent.append((url, body))
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


async def test_only_the_very_object_that_is_meant_is_deleted(
    api: ClusterApi, server: Server
) -> None:
    await api.delete("Service", "a", "b", uid="u1")

    [(url, body)] = server.sent
    assert url == "http://api/api/v1/namespaces/a/services/b"
    assert body["preconditions"] == {"uid": "u1"}


async def test_what_is_applied_wins_and_is_signed_and_what_is_unknown_is_refused(
    api: ClusterApi, server: Server
) -> None:
    await api.apply("Service", "a", "b", {})

    [(url, _)] = server.sent
    assert set(url.partition("?")[2].split("&")) == {
        "fieldManager=gomatch-operator",
        "fieldValidation=Strict",
        "force=true",
    }


async def test_a_status_that_met_another_market_is_told(api: ClusterApi, server: Server) -> None:
    await api.patch_status("Market", "a", "b", {}, uid="u1")
    with pytest.raises(ObjectChanged):
        await api.patch_status("Market", "a", "b", {}, uid="of the one before")

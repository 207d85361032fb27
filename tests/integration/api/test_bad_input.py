"""Every way of sending something wrong gets a problem document and changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from gomatch_api import codes
from tests.integration.api.conftest import Replica, Starter, order

JSON = {"content-type": "application/json"}


@pytest.fixture
async def alice(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    async with await replica.user("alice") as client:
        yield client


def assert_problem(
    answer: httpx.Response, status: int, code: str, field: str | None = None
) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:gomatch:problem:{code}"
    assert body.get("field") == field
    assert "Traceback" not in answer.text


async def accepted(replica: Replica) -> int:
    await replica.services.markets.refresh()
    return sum(market.head.accepted for market in replica.services.markets.all())


FIELDS: list[tuple[dict[str, Any], str, str]] = [
    *(({name: None}, "missing_field", name) for name in ("market", "side", "type", "quantity")),
    *(
        ({name: 7}, "wrong_type", name)
        for name in ("market", "side", "type", "client_order_id", "expires_at", "post_only")
    ),
    *(
        ({name: value}, "decimal_not_string", name)
        for name in ("price", "quantity", "stop_price", "display_quantity")
        for value in (1, 1.5, -0.0, 10**30)
    ),
    *(({name: [["x"]]}, "wrong_type", name) for name in ("market", "price", "post_only")),
    *(({name: ""}, "invalid_value", name) for name in ("side", "type", "time_in_force")),
    *(
        ({name: text}, "invalid_decimal", name)
        for name in ("price", "quantity")
        for text in (
            "",
            "NaN",
            "Infinity",
            "1e400",
            "-0",
            "-1",
            "0x10",
            "\uff11",
            "1.00000000000000001",
            "1" * 40,
        )
    ),
    ({"price": "100.001"}, "off_tick", "price"),
    ({"quantity": "1.0001"}, "off_lot", "quantity"),
    ({"quantity": "0"}, "invalid_quantity", "quantity"),
    ({"price": "0"}, "invalid_price", "price"),
    ({"quantity": "0.001"}, "quantity_too_small", "quantity"),
    ({"quantity": "1000.001"}, "quantity_too_large", "quantity"),
    ({"price": "999999999999999"}, "price_too_high", "price"),
    ({"price": "0.01"}, "notional_too_small", "quantity"),
    ({"type": "market"}, "field_not_allowed", "price"),
    ({"post_only": True, "time_in_force": "ioc"}, "field_not_allowed", "post_only"),
    (
        {"time_in_force": "gtd", "expires_at": "2020-01-01T00:00:00Z"},
        "expiry_in_past",
        "expires_at",
    ),
    ({"time_in_force": "gtd", "expires_at": "soon"}, "invalid_time", "expires_at"),
    ({"client_order_id": "x" * 65}, "invalid_client_id", "client_order_id"),
    ({"self_trade_prevention": "maybe"}, "invalid_value", "self_trade_prevention"),
    ({"leverage": "100"}, "unknown_field", "leverage"),
    ({"user": 1}, "unknown_field", "user"),
]


async def test_every_field_of_an_order(replica: Replica, alice: httpx.AsyncClient) -> None:
    before = await accepted(replica)
    for change, code, field in FIELDS:
        answer = await alice.post("/v1/orders", json=order(**change))
        assert_problem(answer, 422, code, field)
    batch = {"items": [{"action": "new", **order(**change)} for change, _, _ in FIELDS]}
    results = (await alice.post("/v1/orders/batch", json=batch)).json()["results"]
    assert [(r["status"], r["problem"]["code"], r["problem"]["field"]) for r in results] == [
        (422, code, field) for _, code, field in FIELDS
    ]
    assert await accepted(replica) == before


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (json.dumps(order()).encode()[:-9], 400, "malformed_json"),
    (b'{"market":NaN}', 400, "malformed_json"),
    (b'{"price":0x10}', 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b"\x00", 400, "malformed_json"),
    (b"[]", 422, "wrong_type"),
    (b"null", 422, "wrong_type"),
    (b'"x"', 422, "wrong_type"),
    (b"[" * 500_000, 400, "malformed_json"),
    (b'{"market":' * 50_000, 400, "malformed_json"),
    (
        b'{"price":"1","price":"2",' + json.dumps(order(price=None)).encode()[1:],
        400,
        "duplicate_key",
    ),
    (b" " * 2_000_000, 413, "body_too_large"),
    (json.dumps(order(market="x" * 10_000_000)).encode(), 413, "body_too_large"),
]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders/batch", "/v1/orders/BTC-USDT-1"])
async def test_bodies_that_are_no_requests(alice: httpx.AsyncClient, path: str) -> None:
    method = "PATCH" if path.endswith("-1") else "POST"
    for body, status, code in BODIES:
        answer = await alice.request(method, path, content=body, headers=JSON)
        assert answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        if path == "/v1/orders" or status != 400 or code == "malformed_json":
            assert (answer.status_code, answer.json()["code"]) == (status, code), body[:50]
    # The connection, and the replica, go on as if nothing had been.
    assert (await alice.post("/v1/orders", json=order())).status_code == 202


async def test_a_body_without_end_is_cut_off(replica: Replica, alice: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"[" * 65_536

    for headers in (JSON, {"content-type": "text/plain"}):
        try:
            answer = await alice.post("/v1/orders", content=endless(), headers=headers)
        except httpx.TransportError:
            continue  # A client that never looks up from sending may miss the answer.
        assert answer.json()["code"] in ("body_too_large", "unsupported_media_type")
    async with replica.client() as other:
        assert (await other.get("/healthz")).status_code == 200


MEDIA_TYPES = [
    {"content-type": "text/plain"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": ""},
    {"content-type": "application/json; charset=latin-1"},
    {"content-type": "application/jsonx"},
    {"content-type": "application/json", "content-encoding": "gzip"},
]


async def test_only_plain_json_is_read(alice: httpx.AsyncClient) -> None:
    for path in ("/v1/orders", "/v1/orders/batch"):
        for headers in MEDIA_TYPES:
            answer = await alice.post(path, content=b"{}", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type")


async def test_charset_utf8_is_json(alice: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=UTF-8"}
    body = json.dumps(order()).encode()
    assert (await alice.post("/v1/orders", content=body, headers=headers)).status_code == 202


async def test_batches_of_the_wrong_size(alice: httpx.AsyncClient) -> None:
    for count in (0, 501):
        items = [{"action": "new", **order()}] * count
        answer = await alice.post("/v1/orders/batch", json={"items": items})
        assert_problem(answer, 422, "batch_size", "items")


async def test_a_full_batch_keeps_its_order(alice: httpx.AsyncClient) -> None:
    items = [{"action": "new", **order(client_order_id=f"c{index}")} for index in range(500)]
    results = (await alice.post("/v1/orders/batch", json={"items": items})).json()["results"]
    assert [r["order"]["client_order_id"] for r in results] == [f"c{i}" for i in range(500)]
    assert [r["order"]["command"] for r in results] == list(range(2, 502))


ADDRESSES: list[tuple[str, str, int, str, str | None]] = [
    ("GET", "/v1/orders/BTC-USDT-99", 404, "unknown_order", None),
    ("GET", "/v1/orders/nonsense", 404, "unknown_order", None),
    ("GET", "/v1/orders/BTC-USDT-999999999999999999", 404, "unknown_order", None),
    ("GET", "/v1/orders/BTC-USDT-9999999999999999999999", 404, "unknown_order", None),
    ("GET", "/v1/orders/BTC-USDT-1", 404, "unknown_order", None),
    ("GET", "/v1/orders/DOGE-USDT-1", 404, "unknown_order", None),
    ("GET", "/v1/orders/%00", 404, "unknown_order", None),
    ("GET", "/v1/orders/%FF-1", 404, "unknown_order", None),
    ("GET", "/v1/orders/client:nobody", 404, "unknown_order", None),
    ("GET", "/v1/orders/client:", 422, "invalid_client_id", "client_order_id"),
    ("GET", "/v1/orders/client:%00", 422, "invalid_client_id", "client_order_id"),
    ("DELETE", "/v1/orders/nonsense", 404, "unknown_order", None),
    ("DELETE", "/v1/orders/DOGE-USDT-1", 404, "unknown_order", None),
    ("DELETE", "/v1/orders/client:nobody", 404, "unknown_order", "client_order_id"),
    ("DELETE", "/v1/orders/client:%20", 422, "invalid_client_id", "client_order_id"),
    ("DELETE", "/v1/orders/BTC-USDT-1?wait=forever", 422, "invalid_value", "wait"),
    ("DELETE", "/v1/orders/BTC-USDT-1?request_id=%00", 422, "invalid_client_id", "request_id"),
    ("DELETE", "/v1/orders/BTC-USDT-1?request_id=", 422, "invalid_client_id", "request_id"),
    ("DELETE", "/v1/orders", 422, "missing_field", "market"),
    ("DELETE", "/v1/orders?market=DOGE-USDT", 404, "unknown_market", None),
    ("DELETE", "/v1/orders?market=BTC-USDT&wait=1", 422, "invalid_value", "wait"),
    ("GET", "/v1/orders?market=DOGE-USDT", 404, "unknown_market", None),
    ("GET", "/v1/orders?market=%00", 404, "unknown_market", None),
    ("GET", "/v1/orders?limit=0", 422, "invalid_value", "limit"),
    ("GET", "/v1/orders?limit=501", 422, "invalid_value", "limit"),
    ("GET", "/v1/orders?limit=1e400", 422, "invalid_value", "limit"),
    ("GET", "/v1/orders?limit=%EF%BC%91x", 422, "invalid_value", "limit"),
    ("GET", "/v1/orders?status=lost", 422, "invalid_value", "status"),
    ("GET", "/v1/orders?cursor=x", 422, "invalid_cursor", "cursor"),
    ("GET", "/v1/orders?cursor=%C3%A4", 422, "invalid_cursor", "cursor"),
    ("GET", "/v1/orders?client_order_id=%00", 422, "invalid_client_id", "client_order_id"),
    ("GET", "/v1/trades?cursor=kpI", 422, "invalid_cursor", "cursor"),
    ("GET", "/v1/trades?market=", 404, "unknown_market", None),
    ("GET", "/v1/markets/DOGE-USDT", 404, "unknown_market", None),
    ("GET", "/v1/markets/%00/depth", 404, "unknown_market", None),
    ("GET", "/v1/markets/BTC-USDT/depth?limit=0", 422, "invalid_value", "limit"),
    (
        "GET",
        "/v1/markets/BTC-USDT/depth?limit=99999999999999999999",
        422,
        "invalid_value",
        "limit",
    ),
    ("GET", "/v1/markets/BTC-USDT/trades?before=0", 422, "invalid_value", "before"),
    (
        "GET",
        "/v1/markets/BTC-USDT/trades?before=9223372036854775808",
        422,
        "invalid_value",
        "before",
    ),
    ("GET", "/nowhere", 404, "not_found", None),
    ("GET", "/v1/orders/", 404, "not_found", None),
    ("GET", "/v1/orders/a/b", 404, "not_found", None),
    ("GET", "/docs", 404, "not_found", None),
    ("PUT", "/v1/orders", 405, "method_not_allowed", None),
    ("POST", "/v1/orders/BTC-USDT-1", 405, "method_not_allowed", None),
    ("POST", "/v1/markets", 405, "method_not_allowed", None),
    ("TRACE", "/healthz", 405, "method_not_allowed", None),
    ("GET", "/v1/stream", 404, "not_found", None),
    ("BREW", "/v1/orders", 400, "malformed_request", None),
]


async def test_addresses_and_parameters(alice: httpx.AsyncClient) -> None:
    for method, path, status, code, field in ADDRESSES:
        assert_problem(await alice.request(method, path), status, code, field)


async def test_what_a_path_takes_is_said_when_a_method_is_refused(alice: httpx.AsyncClient) -> None:
    answer = await alice.put("/v1/orders")
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "POST"}
    answer = await alice.put("/v1/orders/BTC-USDT-1")
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "PATCH"}


async def test_bytes_that_are_not_http(replica: Replica) -> None:
    port = int(replica.url.rpartition(":")[2])
    large = b"GET / HTTP/1.1\r\n" + b"x-filler: " + b"x" * 100_000
    for garbage in (b"\x00" * 100, b"GET\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 400, large):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        answer = b""
        async with asyncio.timeout(30):
            with suppress(ConnectionError):  # it may have hung up on what it never read
                answer = await reader.read(4_096)
            assert answer.startswith(b"HTTP/1.1 400") or answer == b""
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    async with replica.client() as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_other_peoples_orders_are_as_unknown_as_those_that_never_were(
    replica: Replica, alice: httpx.AsyncClient
) -> None:
    placed = (await alice.post("/v1/orders", json=order(client_order_id="mine"))).json()
    async with await replica.user("bob") as bob:
        for name in (placed["id"], "client:mine"):
            assert_problem(await bob.get(f"/v1/orders/{name}"), 404, "unknown_order")
        assert (await bob.get("/v1/orders")).json()["orders"] == []
        listed = await bob.get("/v1/orders", params={"client_order_id": "mine"})
        assert listed.json()["orders"] == []
        assert_problem(
            await bob.delete("/v1/orders/client:mine"), 404, "unknown_order", "client_order_id"
        )
    assert (await alice.get(f"/v1/orders/{placed['id']}")).json()["status"] == "pending"


async def test_an_unexpected_error_is_a_problem_without_details(
    replica: Replica, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(replica.services.orders), "submit", broken)
    monkeypatch.setattr(type(replica.services.queries), "list", broken)
    for answer in (await alice.post("/v1/orders", json=order()), await alice.get("/v1/orders")):
        assert_problem(answer, codes.INTERNAL_ERROR.status, "internal_error")
        assert "secret" not in answer.text
    metrics = (await alice.get("/metrics")).text
    assert "gomatch_api_unexpected_errors_total 2.0" in metrics


async def test_a_smaller_limit_can_be_set(start: Starter) -> None:
    replica = await start(request_limit_bytes=1_024)
    async with await replica.user("alice") as client:
        answer = await client.post("/v1/orders", json=order(market="x" * 1_024))
        assert_problem(answer, 413, "body_too_large")

"""Every field of every request, with every value that it cannot have: by REST and on the stream.

Each gets a problem with a stable code and the field's name, and nothing is accepted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.api.conftest import Replica, Starter


class Case(NamedTuple):
    """``body`` with ``value`` (JSON text) as ``field`` is answered with one of ``codes``."""

    body: dict[str, Any]
    field: str
    value: str
    codes: tuple[str, ...]

    @property
    def text(self) -> str:
        members = {name: json.dumps(value) for name, value in self.body.items()}
        members[self.field] = self.value
        return "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"


NOT_DECIMALS = (
    *("", " ", " 1", "1 ", "NaN", "Infinity", "-Infinity", "1e400", "1e2", "1E2", "-0", "-1", "+1"),
    *(
        "0x10",
        "0b1",
        "1_0",
        "1,5",
        "\uff11",
        "\u0661",
        "\u00bd",
        "1.00000000000000001",
        "..",
        "1.2.3",
    ),
    *("1" * 16, "1" * 400, "0." + "1" * 400, "1\u0000", "null"),
)
NOT_STRINGS = ("7", "1.5", "-0.0", "1e308", "true", "[]", '["x"]', "{}")
NO_JSON = ("NaN", "Infinity", "-Infinity", "0x10", "01", "+1", ".5", "1.", "'x'", "undefined", "")
LONG = "x" * 10_000
DECIMALS = {
    "price": ("invalid_price", "off_tick", "100.001", "price_too_high"),
    "stop_price": ("invalid_price", "off_tick", "100.001", "price_too_high"),
    "quantity": ("invalid_quantity", "off_lot", "1.0001", "quantity_too_large"),
    "display_quantity": ("invalid_display", "off_lot", "0.5001", "invalid_display"),
}
CHOICES = ("side", "type", "time_in_force", "self_trade_prevention", "state", "action", "op")
IDS = ("client_order_id", "request_id")

LIMIT = {
    "market": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "100.00",
    "quantity": "1.000",
    "display_quantity": "0.500",
    "self_trade_prevention": "none",
    "post_only": False,
    "client_order_id": "own",
}
GTD = {**LIMIT, "time_in_force": "gtd", "expires_at": "2100-01-01T00:00:00Z"}
STOP = {**LIMIT, "type": "stop_limit", "stop_price": "101.00"}
AMEND = {
    "price": "99.00",
    "quantity": "1.000",
    "display_quantity": "0.400",
    "stop_price": "98.00",
    "expires_at": "2100-01-01T00:00:00Z",
    "request_id": "own",
}
REQUIRED = ("market", "side", "type", "quantity", "state", "action")


def cases(body: dict[str, Any], *fields: str) -> Iterator[Case]:
    """All values that the fields (by default all of the body) cannot have."""
    for field in fields or body:
        yield from (Case(body, field, value, ("malformed_json",)) for value in NO_JSON)
        yield from _wrong_types(body, field)
        yield from _wrong_texts(body, field)


def _wrong_types(body: dict[str, Any], field: str) -> Iterator[Case]:
    for value in NOT_STRINGS:
        number = value[0] in "-.0123456789"
        if field == "post_only" and value == "true":
            continue
        if field in DECIMALS and number:
            yield Case(body, field, value, ("decimal_not_string",))
        else:
            # A name that chooses among structs is looked up before its type is judged.
            yield Case(body, field, value, ("wrong_type",))
    if field in REQUIRED and body is not AMEND:
        yield Case(body, field, "null", ("wrong_type", "missing_field"))


def _wrong_texts(body: dict[str, Any], field: str) -> Iterator[Case]:
    if field in DECIMALS:
        zero, off, off_value, too_large = DECIMALS[field]
        texts = {
            **dict.fromkeys(NOT_DECIMALS, "invalid_decimal"),
            "0": zero,
            "0.000": zero,
            off_value: off,
        }
        if field != "display_quantity" or body is not AMEND:  # there the engine judges it
            texts["999999999999999"] = too_large
    elif field in CHOICES:
        texts = dict.fromkeys(("", " ", "BUY", "none ", "limit\u0000", LONG), "invalid_value")
    elif field in IDS:
        bad = ("", " ", "a b", "x" * 65, "\u00e9", "a\u0000", "a/b", LONG)
        texts = dict.fromkeys(bad, "invalid_client_id")
    elif field == "expires_at":
        times = ("soon", "2100-01-01", "2100-13-01T00:00:00Z", "2100-01-01T00:00:00", "4102444800")
        texts = dict.fromkeys(("", *times, "2100-01-01T00:00:00.1234567Z", LONG), "invalid_time")
        texts["2020-01-01T00:00:00Z"] = "expiry_in_past"
    elif field == "market":
        texts = dict.fromkeys(("", "btc-usdt", "BTC", "BTC-USDT\u0000"), "unknown_market")
        yield Case(body, field, json.dumps(LONG), ("unknown_market", "wrong_type"))
    else:
        texts = dict.fromkeys(("", "true", LONG), "wrong_type")
    for text, code in texts.items():
        yield Case(body, field, json.dumps(text), (code,))


ORDERS = [*cases(LIMIT), *cases(STOP, "stop_price"), *cases(GTD, "expires_at", "time_in_force")]
AMENDS = [*cases(AMEND)]
STATES = [*cases({"state": "running", "request_id": "own"})]


@pytest.fixture
async def replica(start: Starter) -> Replica:
    return await start(stream_messages_per_second=1e6)


@pytest.fixture
async def demo(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    client = await replica.user("demo", scopes=("read", "trade", "admin"))
    client.headers["content-type"] = "application/json"
    async with client:
        yield client


async def accepted(replica: Replica) -> int:
    await replica.services.markets.refresh()
    return sum(market.head.accepted for market in replica.services.markets.all())


def difference(case: Case, status: int, problem: dict[str, Any]) -> str | None:
    """What is not as it should be."""
    code, field = problem.get("code"), problem.get("field")
    fields = (None,) if code == "malformed_json" else (case.field, None)
    if code in case.codes and 400 <= status < 500 and field in fields:
        return None
    return f"{case.field}={case.value[:60]}: {status} {code} at {field}, not {case.codes}"


def differences(found: list[str | None]) -> str:
    return "\n".join(one for one in found if one is not None)


async def test_bodies_by_rest(replica: Replica, demo: httpx.AsyncClient) -> None:
    before = await accepted(replica)
    found: list[str | None] = []
    for method, path, several in (
        ("POST", "/v1/orders", ORDERS),
        ("PATCH", "/v1/orders/BTC-USDT-1", AMENDS),
        ("POST", "/v1/markets/BTC-USDT/state", STATES),
    ):
        for case in several:
            answer = await demo.request(method, path, content=case.text.encode())
            assert answer.headers["content-type"] == "application/problem+json", case
            found.append(difference(case, answer.status_code, answer.json()))
    assert differences(found) == ""
    assert await accepted(replica) == before


async def test_items_of_batches(replica: Replica, demo: httpx.AsyncClient) -> None:
    before = await accepted(replica)
    cancel = {"action": "cancel", "id": "BTC-USDT-1", "request_id": "own"}
    several = [
        *(Case({"action": "new", **c.body}, *c[1:]) for c in ORDERS),
        *(Case({"action": "amend", "id": "BTC-USDT-1", **c.body}, *c[1:]) for c in AMENDS),
        *cases(cancel, "request_id"),
        *(Case(cancel, "id", value, ("wrong_type",)) for value in NOT_STRINGS),
        *(
            Case(cancel, "id", json.dumps(text), ("invalid_order_id",))
            for text in ("", "1", "BTC-USDT-", "BTC-USDT-0", "BTC-USDT-\uff11", "-1", LONG)
        ),
    ]
    readable = [case for case in several if "malformed_json" not in case.codes]
    found: list[str | None] = []
    # Parts of a size that may be sent: some values are long.
    for start in range(0, len(readable), 50):
        part = readable[start : start + 50]
        body = '{"items":[' + ",".join(case.text for case in part) + "]}"
        answer = await demo.post("/v1/orders/batch", content=body.encode())
        assert answer.status_code == 200, answer.text
        for case, result in zip(part, answer.json()["results"], strict=True):
            found.append(difference(case, result["status"], result.get("problem", {})))
    assert differences(found) == ""
    assert await accepted(replica) == before


class Stream:
    """A connection that is made anew before the replica loses its patience."""

    def __init__(self, replica: Replica, bearer: str) -> None:
        self._url = "ws" + replica.url.removeprefix("http") + "/v1/stream"
        self._headers = {"Authorization": f"Bearer {bearer}"}
        self._connection: ClientConnection | None = None
        self._asked = 0

    async def ask(self, text: str) -> tuple[int, dict[str, Any]]:
        """Status and problem of a message's answer."""
        if self._connection is None or self._asked == 9:
            await self.close()
            self._connection = await connect(self._url, additional_headers=self._headers)
            self._asked = 0
        self._asked += 1
        await self._connection.send(text)
        answer = json.loads(await self._connection.recv())
        if answer["type"] == "error":
            return answer["status"], answer
        (result,) = answer["results"]
        return result["status"], result.get("problem", {})

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


async def test_messages_on_the_stream(replica: Replica) -> None:
    before = await accepted(replica)
    amend = {"op": "amend", "order_id": "BTC-USDT-1"}
    cancel = {"op": "cancel", "order_id": "BTC-USDT-1", "request_id": "own"}
    cancel_all = {"op": "cancel_all", "market": "BTC-USDT", "request_id": "own"}
    short = [case for case in ORDERS + AMENDS if len(case.value) < 1_000]
    several = [
        *(
            Case(
                {
                    "op": "place" if "market" in c.body else "amend",
                    **(c.body if "market" in c.body else {**amend, **c.body}),
                },
                *c[1:],
            )
            for c in short
        ),
        *cases(cancel, "request_id"),
        *cases(cancel_all, "request_id", "market"),
        *(Case(cancel, "order_id", value, ("wrong_type",)) for value in NOT_STRINGS),
        *(
            Case(cancel, "order_id", json.dumps(text), ("invalid_order_id",))
            for text in ("", "1", "BTC-USDT-0", LONG)
        ),
        *(
            Case({**body, "wait": True}, "wait", value, ("wrong_type",))
            for body in (cancel, cancel_all, {**amend, **AMEND}, {"op": "place", **LIMIT})
            for value in ('"true"', "1", "[]")
        ),
    ]
    found: list[str | None] = []
    async with AsyncExitStack() as stack:
        stream = Stream(replica, await replica.key("demo"))
        stack.push_async_callback(stream.close)
        found += [difference(case, *await stream.ask(case.text)) for case in several]
    assert differences(found) == ""
    assert await accepted(replica) == before


async def test_batches_on_the_stream(replica: Replica) -> None:
    before = await accepted(replica)
    stream = Stream(replica, await replica.key("demo"))
    new = json.dumps({"action": "new", **LIMIT, "client_order_id": None})
    try:
        for items, code in (
            (",".join([new] * 501), "batch_size"),
            ("", "batch_size"),
            ("1", "wrong_type"),
            ("[]", "wrong_type"),
            ("null", "wrong_type"),
            ('{"action":"burn"}', "invalid_value"),
            ('{"action":null}', "wrong_type"),
            ("{}", "missing_field"),
        ):
            status, problem = await stream.ask('{"op":"batch","items":[' + items + "]}")
            assert (problem.get("code"), 400 <= status < 500) == (code, True), items[:99]
    finally:
        await stream.close()
    assert await accepted(replica) == before


async def test_null_is_the_same_as_left_out(replica: Replica, demo: httpx.AsyncClient) -> None:
    plain = {name: LIMIT[name] for name in ("market", "side", "type", "price", "quantity")}
    optional = (
        *("stop_price", "time_in_force", "display_quantity", "post_only"),
        *("self_trade_prevention", "expires_at", "client_order_id"),
    )
    for field in optional:
        answer = await demo.post("/v1/orders", json={**plain, field: None})
        assert answer.status_code == 202, (field, answer.text)
    nulls = dict.fromkeys(AMEND)
    for field, value in AMEND.items():
        answer = await demo.patch("/v1/orders/BTC-USDT-2", json={**nulls, field: value})
        expected = "nothing_to_amend" if field == "request_id" else None
        assert answer.json().get("code") == expected, (field, answer.text)
    answer = await demo.post(
        "/v1/markets/BTC-USDT/state", json={"state": "running", "request_id": None}
    )
    assert answer.status_code == 202
    stream = Stream(replica, await replica.key("demo"))
    try:
        for message in (
            {"op": "place", **plain, **dict.fromkeys(optional), "wait": None, "id": None},
            {"op": "cancel", "order_id": "BTC-USDT-2", "client_order_id": None, "request_id": None},
            {"op": "amend", "order_id": "BTC-USDT-2", **nulls, "price": "99.00"},
        ):
            assert (await stream.ask(json.dumps(message)))[0] == 202, message
    finally:
        await stream.close()

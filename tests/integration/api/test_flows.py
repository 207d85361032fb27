"""Whole flows over REST: placed, matched, read, amended, cancelled, paged, on two replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from gomatch.audit import audit
from tests.integration.api.conftest import order
from tests.integration.api.test_orders import until
from tests.integration.stream.venue import Venue, open_venue


@pytest.fixture
async def venue(database_url: str, redis_url: str) -> AsyncIterator[Venue]:
    async with open_venue(database_url, redis_url) as opened, opened.matcher():
        yield opened


@pytest.fixture
async def clients(venue: Venue) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Alice talks to the first replica, Bob to the second."""
    async with AsyncExitStack() as stack:
        made = {}
        for name, replica in zip(("alice", "bob"), venue.replicas, strict=True):
            bearer = await venue.key(name)
            made[name] = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{replica.server.port}",
                    headers={"Authorization": f"Bearer {bearer}"},
                    params={},
                    timeout=30,
                )
            )
        yield made


async def place(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """An order and what became of it at once."""
    answer = await client.post("/v1/orders?wait=result", json=order(**fields))
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def test_two_orders_meet(clients: dict[str, httpx.AsyncClient]) -> None:
    alice, bob = clients["alice"], clients["bob"]
    rested = await place(alice, side="sell", price="101", quantity="2", client_order_id="s")
    assert (rested["outcome"], rested["order"]["status"]) == ("applied", "open")
    taken = await place(bob, side="buy", price="102", quantity="0.5")
    assert taken["order"]["status"] == "filled"
    assert taken["order"]["average_price"] == "101"

    maker = (await alice.get("/v1/orders/client:s")).json()
    assert (maker["status"], maker["filled"], maker["remaining"]) == (
        "partially_filled",
        "0.5",
        "1.5",
    )
    (fill,) = (await alice.get("/v1/trades")).json()["trades"]
    assert (fill["role"], fill["side"], fill["price"], fill["quantity"]) == (
        "maker",
        "sell",
        "101",
        "0.5",
    )
    assert fill["order_id"] == maker["id"]
    (fill,) = (await bob.get("/v1/trades?market=BTC-USDT")).json()["trades"]
    assert (fill["role"], fill["order_id"]) == ("taker", taken["order"]["id"])
    for client in (alice, bob):

        async def seen(client: httpx.AsyncClient = client) -> bool:
            ticker = (await client.get("/v1/markets/BTC-USDT/ticker")).json()
            return (ticker["last"], ticker["ask"], ticker["ask_quantity"]) == (
                "101",
                "101",
                "1.5",
            )

        await until(seen)
        depth = (await client.get("/v1/markets/BTC-USDT/depth")).json()
        assert (depth["bids"], depth["asks"]) == ([], [["101", "1.5"]])
        (trade,) = (await client.get("/v1/markets/BTC-USDT/trades")).json()["trades"]
        assert (trade["price"], trade["quantity"], trade["side"]) == ("101", "0.5", "buy")


async def test_amends_and_cancels_answer_with_the_order(
    clients: dict[str, httpx.AsyncClient],
) -> None:
    alice, bob = clients["alice"], clients["bob"]
    placed = (await place(alice, client_order_id="a"))["order"]
    changed = await alice.patch("/v1/orders/client:a?wait=result", json={"quantity": "0.4"})
    assert changed.status_code == 200
    assert (changed.json()["outcome"], changed.json()["order"]["quantity"]) == ("applied", "0.4")
    foreign = await bob.delete(f"/v1/orders/{placed['id']}?wait=result")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_order")
    cancelled = await alice.delete(f"/v1/orders/{placed['id']}?wait=result&request_id=r1")
    body = cancelled.json()
    assert (body["outcome"], body["request_id"], body["order"]["status"]) == (
        "applied",
        "r1",
        "cancelled",
    )
    assert (body["order"]["cancelled"], body["order"]["reason"]) == ("0.4", "user")
    repeated = await alice.delete(f"/v1/orders/{placed['id']}?wait=result&request_id=r1")
    assert repeated.json() == body
    too_late = await alice.delete(f"/v1/orders/{placed['id']}?wait=result")
    assert too_late.status_code == 200
    assert (too_late.json()["outcome"], too_late.json()["reason"]) == ("rejected", "unknown_order")
    never = await alice.delete("/v1/orders/BTC-USDT-999999?wait=result")
    assert (never.status_code, never.json()["code"]) == (404, "unknown_order")


async def test_refusals_of_the_engine_carry_their_reason(
    clients: dict[str, httpx.AsyncClient],
) -> None:
    alice, bob = clients["alice"], clients["bob"]
    empty = await place(alice, type="market", price=None)
    assert (empty["outcome"], empty["reason"]) == ("rejected", "no_liquidity")
    assert (empty["order"]["status"], empty["order"]["reason"]) == ("rejected", "no_liquidity")
    await place(alice, side="sell", price="101")
    crossing = await place(bob, price="101", post_only=True)
    assert crossing["reason"] == "would_cross"
    unfillable = await place(bob, price="101", quantity="5", time_in_force="fok")
    assert unfillable["reason"] == "unfillable"


async def test_a_batch_that_waits(clients: dict[str, httpx.AsyncClient]) -> None:
    alice = clients["alice"]
    items = [
        {"action": "new", **order(client_order_id="a", price="90")},
        {"action": "new", **order(client_order_id="b", price="91")},
        {"action": "cancel", "client_order_id": "a"},
        {"action": "amend", "client_order_id": "b", "price": "92"},
        {"action": "new", **order(price="nonsense")},
    ]
    answer = await alice.post("/v1/orders/batch?wait=result", json={"items": items})
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [200, 200, 200, 200, 422]
    assert results[2]["result"]["order"]["status"] == "cancelled"
    assert results[3]["result"]["order"]["price"] == "92"


async def test_pages_hold_every_order_once(clients: dict[str, httpx.AsyncClient]) -> None:
    alice = clients["alice"]
    items = [
        {"action": "new", **order(price=f"{10 + index}", client_order_id=f"c{index}")}
        for index in range(25)
    ]
    await alice.post("/v1/orders/batch?wait=result", json={"items": items})
    await alice.delete("/v1/orders/client:c7?wait=result")
    for query, expected in (
        ({}, [f"c{index}" for index in reversed(range(25))]),
        ({"market": "BTC-USDT"}, [f"c{index}" for index in reversed(range(25))]),
        ({"status": "open"}, [f"c{index}" for index in reversed(range(25)) if index != 7]),
        ({"status": ["cancelled", "filled"]}, ["c7"]),
    ):
        names: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await alice.get("/v1/orders", params={"limit": 10, **query, **cursor})
            body = page.json()
            assert len(body["orders"]) <= 10
            names += [entry["client_order_id"] for entry in body["orders"]]
            if body["next_cursor"] is None:
                break
            cursor = {"cursor": body["next_cursor"]}
        assert names == expected, query


async def test_pages_hold_every_trade_once(clients: dict[str, httpx.AsyncClient]) -> None:
    alice, bob = clients["alice"], clients["bob"]
    await place(alice, side="sell", price="50", quantity="10")
    for _ in range(7):
        await place(bob, side="buy", price="50", quantity="0.1")
    for client in (alice, bob):
        ids: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get("/v1/trades", params={"limit": 3, **cursor})).json()
            ids += [fill["id"] for fill in page["trades"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert len(ids) == len(set(ids)) == 7
    numbers: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = (
            await alice.get("/v1/markets/BTC-USDT/trades", params={"limit": 3, **before})
        ).json()
        numbers += [trade["id"] for trade in page["trades"]]
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 7


async def test_cancelling_all_leaves_nobody_elses(clients: dict[str, httpx.AsyncClient]) -> None:
    alice, bob = clients["alice"], clients["bob"]
    for price in ("90", "91", "92"):
        await place(alice, price=price)
    await place(alice, type="stop", price=None, stop_price="200")
    theirs = (await place(bob, price="93"))["order"]
    done = (await alice.delete("/v1/orders?market=BTC-USDT&wait=result")).json()
    assert (done["status"], done["cancelled"]) == ("applied", 4)
    assert (await alice.get("/v1/orders?status=open&status=waiting")).json()["orders"] == []
    assert (await bob.get(f"/v1/orders/{theirs['id']}")).json()["status"] == "open"


async def test_a_cancel_all_sent_again_elsewhere_cancels_nothing_more(
    venue: Venue, clients: dict[str, httpx.AsyncClient]
) -> None:
    alice = clients["alice"]
    elsewhere = f"http://127.0.0.1:{venue.replicas[1].server.port}"
    path = "/v1/orders?market=BTC-USDT&request_id=all-1"
    await place(alice, price="90")
    first = (await alice.delete(path)).json()
    assert (first["status"], first["request_id"]) == ("accepted", "all-1")
    kept = (await place(alice, price="91"))["order"]
    again = (await alice.delete(f"{elsewhere}{path}&wait=result")).json()
    assert (again["status"], again["cancelled"]) == ("applied", 1)
    assert (again["command"], again["accepted_at"]) == (first["command"], first["accepted_at"])
    assert (await alice.get(f"/v1/orders/{kept['id']}")).json()["status"] == "open"
    reused = await alice.delete(f"/v1/orders/{kept['id']}?request_id=all-1")
    assert (reused.status_code, reused.json()["code"]) == (409, "request_id_reused")


async def test_a_state_change_sent_again_is_the_first_one(
    venue: Venue, clients: dict[str, httpx.AsyncClient]
) -> None:
    alice = clients["alice"]
    admin = {"Authorization": f"Bearer {await venue.key('root', 'admin')}"}
    path = "/v1/markets/BTC-USDT/state"
    halt = {"state": "halted", "request_id": "s-1"}
    first = (await alice.post(path, json=halt, headers=admin)).json()
    await alice.post(path, json={"state": "running"}, headers=admin)
    assert (await alice.post(path, json=halt, headers=admin)).json() == first
    assert (await place(alice))["outcome"] == "applied"
    settings = venue.settings
    report = await audit(
        settings.postgres_url.get_secret_value(), settings.redis_url.get_secret_value()
    )
    assert report.clean, report.findings


async def test_a_halted_market_rejects_and_resumes(
    venue: Venue, clients: dict[str, httpx.AsyncClient]
) -> None:
    alice = clients["alice"]
    resting = (await place(alice))["order"]
    admin = {"Authorization": f"Bearer {await venue.key('root', 'admin')}"}
    path = "/v1/markets/BTC-USDT/state"
    assert (await alice.post(path, json={"state": "halted"}, headers=admin)).status_code == 202
    refused = await place(alice)
    assert (refused["outcome"], refused["reason"]) == ("rejected", "market_halted")
    cancelled = await alice.delete(f"/v1/orders/{resting['id']}?wait=result")
    assert cancelled.json()["order"]["status"] == "cancelled"
    assert (await alice.get("/v1/markets/BTC-USDT")).json()["state"] == "halted"
    assert (await alice.post(path, json={"state": "running"}, headers=admin)).status_code == 202
    assert (await place(alice))["outcome"] == "applied"


async def test_closing_a_market_cancels_everybodys_orders_and_only_once(
    venue: Venue, clients: dict[str, httpx.AsyncClient]
) -> None:
    alice = clients["alice"]
    resting = (await place(alice))["order"]
    admin = {"Authorization": f"Bearer {await venue.key('root', 'admin')}"}
    path = "/v1/markets/BTC-USDT/state"
    close = {"state": "closed", "request_id": "close-1"}
    first = (await alice.post(path, json=close, headers=admin)).json()
    await alice.post(path, json={"state": "running"}, headers=admin)
    later = await place(alice)
    assert later["outcome"] == "applied"
    again = (await alice.post(path, json=close, headers=admin)).json()
    assert again["command"] == first["command"]
    ended = (await alice.get(f"/v1/orders/{resting['id']}")).json()
    assert (ended["status"], ended["reason"]) == ("cancelled", "admin")
    assert (await alice.get(f"/v1/orders/{later['order']['id']}")).json()["status"] == "open"
    await alice.post(path, json={"state": "closed"}, headers=admin)
    assert (await place(alice))["reason"] == "market_closed"
    ended = (await alice.get(f"/v1/orders/{later['order']['id']}")).json()
    assert (ended["status"], ended["reason"]) == ("cancelled", "admin")

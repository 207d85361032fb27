"""Acceptance, idempotency, reading and keys, on a real PostgreSQL and up to two replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from gomatch.cli.servers import PostgresServer
from gomatch.messages.credentials import sign, split_token
from gomatch.settings import Settings
from gomatch.store import ApiKeys, Journal
from tests.integration.api.conftest import Replica, Starter, order


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def accepted(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    """The answer to this order once it is accepted: a statement that began while the database was
    away may fail later than the first one that succeeds."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.post("/v1/orders", json=order(**fields))
            if answer.status_code == 202:
                return answer
            await asyncio.sleep(0.02)


async def test_an_acknowledged_order_is_in_the_database(replica: Replica) -> None:
    async with await replica.user("alice") as alice:
        answer = (await alice.post("/v1/orders", json=order())).json()
    rows = await Journal(replica.services.pool).commands(1, 2, 2)
    assert (rows[0].first, rows[0].last) == (2, 2)
    assert answer["id"] == "BTC-USDT-2"
    assert answer["status"] == "accepted"


@pytest.mark.usefixtures("patient_intake")
async def test_requests_that_come_together_share_accepts(replica: Replica) -> None:
    async with await replica.user("alice") as alice:
        answers = await asyncio.gather(
            *(alice.post("/v1/orders", json=order()) for _ in range(100))
        )
        assert sorted(answer.json()["command"] for answer in answers) == list(range(2, 102))
        metrics = (await alice.get("/metrics")).text
    batches = float(
        next(line for line in metrics.splitlines() if "accept_commands_count" in line).split()[1]
    )
    assert batches < 100


@pytest.mark.usefixtures("patient_intake")
async def test_the_same_order_on_two_replicas_at_once_is_one_order(start: Starter) -> None:
    one, two = await start(), await start()
    key = await one.key("alice")
    async with one.client(key) as left, two.client(key) as right:
        bodies = [order(client_order_id=f"c{index % 10}") for index in range(60)]
        answers = await asyncio.gather(
            *(
                (left if index % 2 else right).post("/v1/orders", json=body)
                for index, body in enumerate(bodies)
            )
        )
        assert {answer.status_code for answer in answers} == {202}
        by_name: dict[str, set[tuple[str, str]]] = {}
        for answer in answers:
            body = answer.json()
            seen = by_name.setdefault(body["client_order_id"], set())
            seen.add((body["id"], body["accepted_at"]))
        assert len(by_name) == 10
        assert all(len(seen) == 1 for seen in by_name.values())
        assert len({next(iter(seen)) for seen in by_name.values()}) == 10
        head = await Journal(one.services.pool).head(1)
        assert head.accepted == 11


@pytest.mark.usefixtures("patient_intake")
async def test_different_orders_under_one_id_on_two_replicas(start: Starter) -> None:
    one, two = await start(), await start()
    key = await one.key("alice")
    async with one.client(key) as left, two.client(key) as right:
        answers = await asyncio.gather(
            *(
                (left if index % 2 else right).post(
                    "/v1/orders", json=order(client_order_id="a", price=f"{100 + index}")
                )
                for index in range(10)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"client_order_id_reused"}


@pytest.mark.usefixtures("patient_intake")
async def test_batches_with_shared_ids_on_two_replicas(start: Starter) -> None:
    one, two = await start(), await start()
    key = await one.key("alice")
    items = [{"action": "new", **order(client_order_id=f"c{index}")} for index in range(50)]
    async with one.client(key) as left, two.client(key) as right:
        answers = await asyncio.gather(
            *(
                client.post("/v1/orders/batch", json={"items": part})
                for client in (left, right)
                for part in (items[:30], items[20:], items)
            )
        )
    numbers: dict[str, set[int]] = {}
    for answer in answers:
        for result in answer.json()["results"]:
            assert result["status"] == 202
            placed = result["order"]
            numbers.setdefault(placed["client_order_id"], set()).add(placed["command"])
    assert all(len(seen) == 1 for seen in numbers.values())
    assert sorted(number for (number,) in numbers.values()) == list(range(2, 52))


async def test_an_order_is_known_on_every_replica(start: Starter) -> None:
    one, two = await start(), await start()
    key = await one.key("alice")
    async with one.client(key) as left, two.client(key) as right:
        placed = (await left.post("/v1/orders", json=order(client_order_id="a"))).json()
        found = (await right.get("/v1/orders/client:a")).json()
        assert (found["id"], found["status"]) == (placed["id"], "pending")
        cancelled = (await right.delete("/v1/orders/client:a")).json()
        assert cancelled["id"] == placed["id"]
        amended = await right.patch("/v1/orders/client:a", json={"price": "99.00"})
        assert amended.json()["id"] == placed["id"]


async def test_waiting_ends_as_pending_when_nobody_matches(replica: Replica) -> None:
    async with await replica.user("alice") as alice:
        answer = await alice.post("/v1/orders?wait=result", json=order())
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        batch = await alice.post(
            "/v1/orders/batch?wait=result", json={"items": [{"action": "new", **order()}]}
        )
        assert batch.json()["results"][0]["order"]["status"] == "pending"
        cancelled = await alice.delete("/v1/orders?market=BTC-USDT&wait=result")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "pending")


async def test_pending_orders_are_listed_newest_first(replica: Replica) -> None:
    async with await replica.user("alice") as alice, await replica.user("bob") as bob:
        for market in ("BTC-USDT", "ETH-USDT"):
            for index in range(3):
                await alice.post(
                    "/v1/orders", json=order(market=market, client_order_id=f"{market}{index}")
                )
                await bob.post("/v1/orders", json=order(market=market))
        await alice.delete("/v1/orders/client:BTC-USDT1")
        in_one = (await alice.get("/v1/orders?market=BTC-USDT")).json()
        assert [o["client_order_id"] for o in in_one["orders"]] == [
            "BTC-USDT2",
            "BTC-USDT1",
            "BTC-USDT0",
        ]
        await replica.services.markets.refresh()
        everywhere = (await alice.get("/v1/orders?status=pending")).json()["orders"]
        assert [o["market"] for o in everywhere] == ["ETH-USDT"] * 3 + ["BTC-USDT"] * 3
        assert (await alice.get("/v1/orders?status=filled")).json()["orders"] == []
        one = (await alice.get("/v1/orders?client_order_id=ETH-USDT0")).json()["orders"]
        assert [o["client_order_id"] for o in one] == ["ETH-USDT0"]
        for other in ("status=open", "market=BTC-USDT"):
            answer = await alice.get(f"/v1/orders?client_order_id=ETH-USDT0&{other}")
            assert answer.json()["orders"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_signed_requests(replica: Replica, method: str) -> None:
    parts = split_token(await replica.key("alice"))
    assert parts is not None
    key_id, secret = parts
    target = "/v1/orders?market=BTC-USDT" if method == "GET" else "/v1/orders"
    body = b"" if method == "GET" else httpx.Request("POST", "http://x", json=order()).content

    def headers(**changes: Any) -> dict[str, str]:
        stamp = time.time_ns() // 1_000_000 + changes.pop("late", 0)
        fields = {"method": method, "target": target, "body": body, **changes}
        return {
            "Content-Type": "application/json",
            "X-Gomatch-Key": key_id,
            "X-Gomatch-Timestamp": str(stamp),
            "X-Gomatch-Signature": sign(secret, timestamp_ms=stamp, **fields),
        }

    async with replica.client() as client:
        for changes, status in (
            ({}, 200 if method == "GET" else 202),
            ({"body": b"other"}, 401),
            ({"target": "/v1/orders?market=ETH-USDT"}, 401),
            ({"late": -10_000}, 401),
        ):
            answer = await client.request(method, target, content=body, headers=headers(**changes))
            assert answer.status_code == status, answer.text


async def test_without_a_key_only_public_data(replica: Replica) -> None:
    async with replica.client() as client:
        for method, path in (
            ("POST", "/v1/orders"),
            ("POST", "/v1/orders/batch"),
            ("GET", "/v1/orders"),
            ("GET", "/v1/orders/BTC-USDT-1"),
            ("DELETE", "/v1/orders/BTC-USDT-1"),
            ("PATCH", "/v1/orders/BTC-USDT-1"),
            ("DELETE", "/v1/orders?market=BTC-USDT"),
            ("GET", "/v1/trades"),
            ("POST", "/v1/markets/BTC-USDT/state"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/v1/markets", "/v1/markets/BTC-USDT", "/v1/markets/BTC-USDT/trades"):
            assert (await client.get(path)).status_code == 200


async def test_each_scope_opens_its_own_routes(replica: Replica) -> None:
    async with await replica.user("alice", scopes=["read"]) as reader:
        assert (await reader.get("/v1/orders")).status_code == 200
        refused = await reader.post("/v1/orders", json=order())
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert (await reader.delete("/v1/orders/BTC-USDT-1")).status_code == 403
    async with await replica.user("alice", scopes=["trade"]) as trader:
        assert (await trader.post("/v1/orders", json=order())).status_code == 202
        assert (await trader.get("/v1/orders")).status_code == 403
        state = await trader.post("/v1/markets/BTC-USDT/state", json={"state": "halted"})
        assert state.status_code == 403
    async with await replica.user("root", scopes=["admin"]) as admin:
        state = await admin.post("/v1/markets/BTC-USDT/state", json={"state": "halted"})
        assert (state.status_code, state.json()["state"]) == (202, "halted")
        unknown = await admin.post("/v1/markets/BTC-USDT/state", json={"state": "on fire"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_value")


async def test_a_revoked_key_stops_on_every_replica_without_waiting_for_all_keys_to_be_read(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomatch_api.auth.keyring.FULL_REFRESH_SECONDS", 1_000)
    assert Settings().key_refresh < 2
    one, two = await start(), await start()
    key = await one.key("alice")
    async with one.client(key) as left, two.client(key) as right:
        for client in (left, right):
            assert (await client.get("/v1/orders")).status_code == 200
        await ApiKeys(one.services.pool).revoke(key.partition(".")[0])

        async def refused() -> bool:
            answers = [await client.post("/v1/orders", json=order()) for client in (left, right)]
            return {answer.status_code for answer in answers} == {401}

        await until(refused)
        answer = await left.get("/v1/orders")
        assert answer.json()["code"] == "key_revoked"


async def test_slow_reads_hold_up_neither_orders_nor_revocations(start: Starter) -> None:
    # Reading takes longer than anybody waits here.
    replica = await start(database_pool=2, database_timeout=120)
    pool = replica.services.pool
    key = await replica.key("alice")
    reads = [asyncio.create_task(pool.execute("SELECT pg_sleep(60)")) for _ in range(2)]
    async with asyncio.timeout(30):
        while pool.get_idle_size() or pool.get_size() < 2:
            await asyncio.sleep(0.01)
    other = await asyncpg.connect(start.database_url)
    async with replica.client(key) as alice:
        assert (await alice.post("/v1/orders", json=order())).status_code == 202
        await other.execute("UPDATE api_keys SET revoked_at = gomatch_now()")

        async def refused() -> bool:
            return (await alice.post("/v1/orders", json=order())).status_code == 401

        await until(refused)
    await other.close()
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)


async def test_a_demoted_primary_is_noticed_before_anything_is_written(
    start: Starter,
) -> None:
    replica = await start()
    key = await replica.key("alice")
    database = await replica.services.pool.fetchval("SELECT current_database()")
    other = await asyncpg.connect(start.database_url)
    async with replica.client(key) as alice:
        await other.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        async def known() -> bool:
            return (await alice.get("/readyz")).status_code == 503

        await until(known)
        for _ in range(5):
            answer = await alice.post("/v1/orders", json=order())
            assert (answer.status_code, answer.json()["code"]) == (503, "not_accepted")
        await other.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        await accepted(alice)
    await other.close()


async def test_a_key_has_its_rate(replica: Replica) -> None:
    async with await replica.user("alice", rate=0.01) as alice:
        assert (await alice.post("/v1/orders", json=order())).status_code == 202
        refused = await alice.post("/v1/orders", json=order())
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 100
    async with await replica.user("bob") as bob:
        assert (await bob.post("/v1/orders", json=order())).status_code == 202


async def test_a_market_is_known_soon_after_it_was_made(replica: Replica) -> None:
    from gomatch.messages.market import MarketDefinition
    from gomatch.store import Markets

    made = MarketDefinition(base="SOL", quote="USDT", tick_size="0.01", lot_size="1")
    await Markets(replica.services.pool).create(made)
    async with replica.client() as client:

        async def known() -> bool:
            return (await client.get("/v1/markets/SOL-USDT")).status_code == 200

        await until(known)


async def test_a_full_backlog_refuses_and_accepts_nothing(start: Starter) -> None:
    replica = await start(backlog_limit=3)
    async with await replica.user("alice") as alice:
        assert (await alice.post("/v1/orders", json=order())).status_code == 202
        items = [{"action": "new", **order()}] * 2
        full = await alice.post("/v1/orders/batch", json={"items": items})
        assert (full.status_code, full.json()["code"]) == (503, "backlog_full")
        assert full.headers["retry-after"] == "1"
        assert (await alice.post("/v1/orders", json=order())).status_code == 202


async def test_while_the_database_is_away_orders_are_refused_at_once_and_then_it_heals(
    postgres_server: PostgresServer, replica: Replica
) -> None:
    async with await replica.user("alice") as alice:
        assert (await alice.post("/v1/orders", json=order())).status_code == 202
        await postgres_server.stop()
        try:
            answer = await alice.post("/v1/orders", json=order(client_order_id="late"))
            assert answer.status_code == 503
            assert answer.json()["code"] in ("not_accepted", "outcome_unknown")
            # None of them waits for anything: together they take no longer than that.
            async with asyncio.timeout(20):
                for _ in range(20):
                    answer = await alice.post("/v1/orders", json=order())
                    assert (answer.status_code, answer.json()["code"]) == (503, "not_accepted")
                    assert answer.headers["retry-after"] == "1"
                for path in ("/v1/orders", "/v1/orders/BTC-USDT-2", "/v1/trades"):
                    answer = await alice.get(path)
                    assert (answer.status_code, answer.json()["code"]) == (
                        503,
                        "database_unavailable",
                    )
                ready = await alice.get("/readyz")
                assert (ready.status_code, ready.json()["missing"]) == (503, ["database"])
                assert (await alice.get("/healthz")).status_code == 200
                assert (await alice.get("/v1/markets")).status_code == 200
        finally:
            await postgres_server.start()

        async def heals() -> bool:
            return (await alice.get("/readyz")).status_code == 200

        await until(heals)
        await accepted(alice, client_order_id="late")


async def test_while_the_database_is_frozen_orders_are_refused_and_then_it_heals(
    postgres_server: PostgresServer, start: Starter
) -> None:
    replica = await start(database_timeout=3)
    async with await replica.user("alice") as alice:
        await accepted(alice)
        await postgres_server.pause()
        try:
            sent = asyncio.create_task(alice.post("/v1/orders", json=order(client_order_id="sent")))

            async def refused_at_once() -> bool:
                answer = await alice.post("/v1/orders", json=order())
                return answer.status_code == 503 and answer.json()["code"] == "not_accepted"

            await until(refused_at_once)
            answer = await sent
            assert answer.status_code == 503
            assert answer.json()["code"] in ("not_accepted", "outcome_unknown")
        finally:
            await postgres_server.resume()

        async def heals() -> bool:
            return (await alice.get("/readyz")).status_code == 200

        await until(heals)
        again = await accepted(alice, client_order_id="sent")
        repeated = await accepted(alice, client_order_id="sent")
        assert repeated.json() == again.json()

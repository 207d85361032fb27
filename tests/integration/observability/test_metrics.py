"""What operators see of a real venue: /metrics, /healthz and /readyz of its processes."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from websockets.asyncio.client import connect

from gomatch.cli.servers.ports import free_port
from tests.fixtures.scraping import Scrape, scrape, scrape_until
from tests.fixtures.venue import PATIENT_RESULTS, Part, Venue
from tests.unit.observability.test_metrics_page import described

MARKET = "BTC-USDT"


def limit(side: str, price: str, quantity: str = "1", **more: Any) -> dict[str, Any]:
    fields = {"market": MARKET, "type": "limit", "side": side, "price": price}
    return {**fields, "quantity": quantity, **more}


async def client_of(venue: Venue, user: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=venue.apis[0].url,
        headers={"Authorization": f"Bearer {await venue.user(user)}"},
        timeout=60,
    )


def drained(seen: Scrape) -> bool:
    """All that was accepted is applied, and the queue was seen empty after it."""
    applied = seen("gomatch_matcher_applied", market=MARKET)
    return (
        applied > 1
        and seen("gomatch_matcher_accepted", market=MARKET) == applied
        and seen("gomatch_matcher_queue_batches", market=MARKET) == 0
    )


def confirmed(seen: Scrape) -> bool:
    """The broker has confirmed every batch, which may be after the matcher has applied it."""
    accepts = seen.count("gomatch_api_accept_commands")
    return seen.count("gomatch_transport_publish_seconds", market=MARKET) >= accepts


async def test_the_numbers_are_those_of_what_was_sent(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        settings=PATIENT_RESULTS,
        # A broker that is slow for a moment is waited for.
        matcher_settings={"GOMATCH_GAP_TIMEOUT": "30"},
    ) as venue:
        api, matcher = venue.apis[0].url, venue.matchers[0].url
        await scrape_until(
            matcher, lambda seen: seen("gomatch_matcher_applied", market=MARKET) == 1
        )
        alice, bob = await client_of(venue, "alice"), await client_of(venue, "bob")
        async with alice, bob, connect(api.replace("http", "ws") + "/v1/stream"):
            for price in range(101, 106):
                order = limit("sell", str(price), client_order_id=f"ask-{price}")
                assert (await alice.post("/v1/orders", json=order)).status_code == 202
            assert (await alice.post("/v1/orders", json=order)).status_code == 202
            items = [{"action": "new", **limit("buy", str(price))} for price in range(50, 68)]
            items += [{"action": "new", **limit("buy", "50.001")}] * 2
            batch = await bob.post("/v1/orders/batch", json={"items": items})
            assert [each["status"] for each in batch.json()["results"]].count(422) == 2
            unknown = limit("buy", "1") | {"market": "XX-YY"}
            assert (await bob.post("/v1/orders", json=unknown)).status_code == 404
            headers = {"Content-Type": "application/json"}
            await bob.post("/v1/orders", content=b"{", headers=headers)
            filled = await bob.post("/v1/orders?wait=result", json=limit("buy", "102", "2"))
            assert filled.json()["order"]["status"] == "filled", filled.text

            commands = 5 + 18 + 1
            m = await scrape_until(matcher, drained)
            a = await scrape_until(api, confirmed)
        # The first command of a market is its configuration, made with it.
        assert m("gomatch_matcher_applied", market=MARKET) == commands + 1
        assert m("gomatch_matcher_oldest_command_age_seconds", market=MARKET) == 0
        assert m("gomatch_matcher_leader", market=MARKET) == 1
        assert m("gomatch_matcher_epoch", market=MARKET) == 1
        assert m("gomatch_matcher_trading_state", market=MARKET) == 1
        assert m("gomatch_matcher_trades_total", market=MARKET) == 2
        assert m("gomatch_matcher_open_orders", market=MARKET) == 3 + 18
        assert m("gomatch_matcher_callback_replicas", market=MARKET) == 1
        applied = m("gomatch_matcher_commands_total", market=MARKET)
        assert applied == commands + 1
        assert m("gomatch_matcher_batch_commands_sum", market=MARKET) == applied
        # Only the configuration was there before anybody could publish.
        assert m("gomatch_matcher_commands_read_from_store_total", market=MARKET) == 1
        connection = await asyncpg.connect(database_url)
        assert m("gomatch_matcher_sequence", market=MARKET) == await connection.fetchval(
            "SELECT sequence FROM heads"
        )
        await connection.close()
        batches = m.count("gomatch_matcher_batch_commands", market=MARKET)
        for step in ("take", "match", "commit"):
            assert m.count("gomatch_matcher_step_seconds", market=MARKET, step=step) >= batches
        for step in ("cache", "callback", "ack"):
            assert m.count("gomatch_matcher_step_seconds", market=MARKET, step=step) > 0
        assert m.count("gomatch_matcher_command_age_seconds", market=MARKET) == batches

        for result, count in {
            "accepted": commands,
            "duplicate": 1,
            "off_tick": 2,
            "unknown_market": 1,
            "malformed_json": 1,
        }.items():
            assert a("gomatch_api_commands_total", result=result) == count, result
        accepts = a.count("gomatch_api_accept_commands")
        assert a("gomatch_api_accept_commands_sum") == commands
        assert a.count("gomatch_api_step_seconds", step="accept") >= accepts
        assert a.count("gomatch_api_step_seconds", step="publish") == accepts
        assert a.count("gomatch_api_step_seconds", step="validate") == 5 + 1 + 1 + 1 + 1
        assert a.count("gomatch_api_step_seconds", step="notify") > 0
        assert a.count("gomatch_transport_publish_seconds", market=MARKET) == accepts
        assert a("gomatch_api_stream_connections") == 1
        assert a("gomatch_api_callback_received_bytes_total", market=MARKET) > 0
        assert m("gomatch_matcher_callback_sent_bytes_total", market=MARKET) > 0
        assert a("gomatch_api_waiting_commands") == 0
        assert a("gomatch_api_database_available") == 1

        known = set(described())
        assert {n for n in known if n.startswith(("gomatch_api", "gomatch_tr"))} == a.families
        assert {n for n in known if n.startswith(("gomatch_matcher", "gomatch_tr"))} == m.families


async def test_a_stuck_commit_shows_while_it_lasts(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    settings = {"GOMATCH_DATABASE_TIMEOUT": "60", "GOMATCH_PREFETCH": "1"}
    async with Venue(
        database_url, redis_url, rabbitmq_url, tmp_path, matcher_settings=settings
    ) as venue:
        matcher = venue.matchers[0].url
        before = await scrape_until(
            matcher, lambda seen: seen("gomatch_matcher_applied", market=MARKET) == 1
        )
        assert before("gomatch_matcher_oldest_command_age_seconds", market=MARKET) == 0
        connection = await asyncpg.connect(database_url)
        async with await client_of(venue, "alice") as alice:
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM heads FOR UPDATE")
                for price in range(100, 106):
                    answer = await alice.post("/v1/orders", json=limit("sell", str(price)))
                    assert answer.status_code == 202
                stuck = await scrape_until(
                    matcher,
                    lambda seen: (
                        seen("gomatch_matcher_oldest_command_age_seconds", market=MARKET) > 0
                        and seen("gomatch_matcher_accepted", market=MARKET) == 7
                        and seen("gomatch_matcher_queue_batches", market=MARKET) >= 4
                    ),
                )
                age = stuck("gomatch_matcher_oldest_command_age_seconds", market=MARKET)
                assert stuck("gomatch_matcher_applied", market=MARKET) == 1
                await scrape_until(
                    matcher,
                    lambda seen: (
                        seen("gomatch_matcher_oldest_command_age_seconds", market=MARKET) > age
                    ),
                )
            done = await scrape_until(matcher, drained)
            assert done("gomatch_matcher_applied", market=MARKET) == 7
            assert done("gomatch_matcher_oldest_command_age_seconds", market=MARKET) == 0
        await connection.close()


async def test_readiness_says_who_leads_who_waits_and_who_cannot(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    # Long enough that a busy machine does not take the leader's lease away.
    settings = {"GOMATCH_LEASE_SECONDS": "15"}
    async with Venue(database_url, redis_url, rabbitmq_url, tmp_path, settings=settings) as venue:
        leader = venue.matchers[0]
        assert (await ready(leader)) == (200, "leader", 1)
        standby = venue.add_matcher(MARKET)
        standby.start()
        await standby.ready()
        assert (await ready(standby)) == (200, "standby", 0)
        quiet = await scrape(standby.url)
        for gauge in ("leader", "epoch", "accepted", "applied", "sequence", "trading_state"):
            assert quiet(f"gomatch_matcher_{gauge}", market=MARKET) == 0

        lost = venue.add_matcher(MARKET)
        closed = f"postgresql://gomatch@127.0.0.1:{free_port()}/gomatch"
        lost.start(GOMATCH_POSTGRES_URL=closed)
        await answers(lost)
        assert (await ready(lost)) == (503, "starting", 0)
        assert await status(lost, "/healthz") == 200

        await leader.kill()
        await scrape_until(
            standby.url, lambda seen: seen("gomatch_matcher_leader", market=MARKET) == 1
        )
        assert (await ready(standby)) == (200, "leader", 2)
        assert await status(standby, "/healthz") == 200


async def test_a_broker_that_is_away_leaves_the_depth_unknown(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    closed = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with (
        Venue(database_url, redis_url, closed, tmp_path, settings=PATIENT_RESULTS) as venue,
        await client_of(venue, "alice") as alice,
    ):
        answer = await alice.post("/v1/orders?wait=result", json=limit("sell", "100"))
        assert answer.json()["order"]["status"] == "open"
        seen = await scrape_until(
            venue.matchers[0].url,
            lambda seen: math.isnan(seen("gomatch_matcher_queue_batches", market=MARKET)),
        )
        assert seen("gomatch_matcher_commands_read_from_store_total", market=MARKET) == 2
        api = await scrape_until(
            venue.apis[0].url,
            lambda seen: seen("gomatch_api_publish_failures_total", reason="broker") == 1,
        )
        assert (
            api("gomatch_transport_publish_failures_total", market=MARKET, reason="disconnected")
            == 1
        )
        assert api("gomatch_transport_connect_failures_total") > 0


async def answers(part: Part) -> None:
    """Wait until it takes requests."""
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=30) as client:
        while True:
            try:
                await client.get(f"{part.url}/healthz")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def status(part: Part, path: str) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(part.url + path)).status_code


async def ready(part: Part) -> tuple[int, str, int]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{part.url}/readyz")
    body = answer.json()
    assert body["market"] == MARKET
    return answer.status_code, body["role"], body["epoch"]

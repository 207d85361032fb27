"""Streams of a whole venue: two API replicas, a matcher, PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gomatch.store import ApiKeys
from tests.integration.stream.site import Client
from tests.integration.stream.venue import SYMBOL, Venue, open_venue
from tests.unit.stream.doubles import ChainChecker

pytestmark = pytest.mark.timeout(120)


def limit(side: str, price: str, quantity: str = "1", **more: Any) -> dict[str, Any]:
    fields = {"market": SYMBOL, "type": "limit", "side": side, "price": price}
    return {**fields, "quantity": quantity, **more}


async def place(client: Client, **order: Any) -> dict[str, Any]:
    """Place one order and return its result."""
    await client.say(op="place", id="place", **order)
    answer = await client.hear("ack")
    result: dict[str, Any] = answer["results"][0]
    return result


async def events_until(client: Client, kind: str) -> list[dict[str, Any]]:
    """Private events up to and with the first of that kind."""
    seen: list[dict[str, Any]] = []
    while True:
        seen += (await client.hear("orders"))["events"]
        if any(event["event"] == kind for event in seen):
            return seen


async def test_an_order_on_one_replica_fills_one_on_the_other(
    database_url: str, redis_url: str
) -> None:
    async with open_venue(database_url, redis_url) as venue, venue.matcher():
        one, two = venue.replicas
        async with (
            one.connect(await venue.key("alice")) as first,
            two.connect(await venue.key("bob")) as second,
            two.connect() as third,
        ):
            alice, bob, public = Client(first), Client(second), Client(third)
            await alice.subscribe("orders")
            await bob.subscribe("orders")
            await public.subscribe("depth")
            await public.hear("depth_snapshot")
            rested = await place(alice, **limit("sell", "100"), wait=True)
            assert (rested["status"], rested["result"]["order"]["status"]) == (200, "open")
            taken = await place(bob, **limit("buy", "101", "0.4"), wait=True)
            assert taken["result"]["order"]["status"] == "filled"
            fill = (await events_until(alice, "fill"))[-1]
            assert (fill["role"], fill["quantity"], fill["remaining"]) == ("maker", "0.4", "0.6")
            assert (await events_until(bob, "fill"))[-1]["id"] == fill["id"]
            depth: dict[str, Any] = {"asks": []}
            while depth["asks"] != [["100", "0.6"]]:
                depth = await public.hear("depth")


async def test_a_new_leader_goes_on_where_the_old_one_stopped(
    database_url: str, redis_url: str
) -> None:
    async with open_venue(database_url, redis_url) as venue:
        replica = venue.replicas[0]
        async with replica.connect(await venue.key("alice")) as connection:
            client, checker = Client(connection), ChainChecker(0)
            await client.subscribe("orders", **{"from": 0})
            numbers: list[str] = []
            for _ in range(3):
                async with venue.matcher():
                    for price in range(100, 110):
                        result = await place(client, **limit("buy", str(price)), wait=True)
                        numbers.append(result["result"]["order"]["id"])
        async with (
            venue.matcher(),
            venue.replicas[1].connect(await venue.key("alice")) as connection,
        ):
            client = Client(connection)
            await client.subscribe("orders", **{"from": 0})
            accepted: list[str] = []
            while len(accepted) < 30:
                message = await client.hear("orders")
                checker.read(message)
                accepted += [
                    event["order_id"] for event in message["events"] if event["event"] == "accepted"
                ]
            assert accepted == numbers
            assert replica.services.feeds.view(SYMBOL).epoch >= 4


async def test_past_the_horizon_come_the_open_orders_of_that_moment(
    database_url: str, redis_url: str
) -> None:
    async with (
        open_venue(database_url, redis_url, replicas=1, replay_events=10) as venue,
        venue.matcher(),
        venue.replicas[0].connect(await venue.key("alice")) as connection,
    ):
        client = Client(connection)
        for price in range(100, 120):
            last = await place(client, **limit("buy", str(price)), wait=True)
        await client.say(op="cancel", id=1, order_id=last["result"]["order"]["id"], wait=True)
        await client.hear("ack")
        await client.subscribe("orders", **{"from": 0})
        resync = await client.hear("resync_required")
        assert resync["reason"] == "past_horizon"
        assert [order["price"] for order in resync["orders"]] == [str(p) for p in range(100, 119)]
        assert {order["status"] for order in resync["orders"]} == {"open"}
        await place(client, **limit("buy", "90"))
        message = await client.hear("orders")
        assert message["prev"] == resync["sequence"]


async def test_when_an_armed_stream_ends_its_orders_are_cancelled(
    database_url: str, redis_url: str
) -> None:
    async with open_venue(database_url, redis_url) as venue, venue.matcher():
        key = await venue.key("alice")
        async with venue.replicas[1].connect(key) as watching:
            watcher = Client(watching)
            await watcher.subscribe("orders")
            async with venue.replicas[0].connect(key) as connection:
                client = Client(connection)
                await client.say(op="cancel_on_disconnect", markets=[SYMBOL])
                await client.hear("cancel_on_disconnect")
                for price in (100, 101):
                    await place(client, **limit("buy", str(price)))
            seen = await events_until(watcher, "all_cancelled")
            cancelled = [event for event in seen if event["event"] == "cancelled"]
            assert [event["reason"] for event in cancelled] == ["disconnect", "disconnect"]
            assert seen[-1]["count"] == 2


async def test_a_revoked_key_loses_its_streams_on_every_replica(
    database_url: str, redis_url: str
) -> None:
    async with open_venue(database_url, redis_url) as venue:
        key = await venue.key("alice")
        async with venue.replicas[0].connect(key) as one, venue.replicas[1].connect(key) as two:
            await ApiKeys(venue.replicas[0].services.pool).revoke(key.partition(".")[0])
            for connection in (one, two):
                closing = await Client(connection).hear("closing")
                assert closing["code"] == "key_revoked"


async def test_a_cancel_all_of_many_orders_comes_back_whole(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Many orders wait while some are accepted, as long as that takes a busy machine.
    monkeypatch.setattr("gomatch_api.intake.STALL_SECONDS", 60.0)
    async with (
        open_venue(
            database_url,
            redis_url,
            replicas=1,
            stream_messages_per_second=1_000,
            # One commit holds the end of all orders; the machine may be busy with other things.
            database_timeout=60,
        ) as venue,
        venue.matcher(),
        venue.replicas[0].connect(await venue.key("alice")) as connection,
    ):
        client = Client(connection)
        await client.subscribe("orders")
        items = [{"action": "new", **limit("buy", str(100 + n))} for n in range(500)]
        for _ in range(20):
            await client.say(op="batch", items=items)
        await settle(venue, 10_001)
        await client.say(op="cancel_all", market=SYMBOL)
        seen = await events_until(client, "all_cancelled")
        assert seen[-1]["count"] == 10_000
        assert len({event["sequence"] for event in seen}) == len(seen) == 30_001


async def settle(venue: Venue, applied: int) -> None:
    """Wait until a replica has the results of that many commands."""
    async with asyncio.timeout(60):
        while venue.replicas[0].services.feeds.view(SYMBOL).applied < applied:
            await asyncio.sleep(0.02)

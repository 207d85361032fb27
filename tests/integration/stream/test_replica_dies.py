"""Cancel-on-disconnect survives the replica that the client was connected to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.fixtures.stored import audited
from tests.fixtures.venue import Venue
from tests.integration.stream.connecting import stream
from tests.integration.stream.site import Client

SYMBOL = "BTC-USDT"


async def test_orders_are_cancelled_when_the_replica_of_an_armed_stream_is_killed(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    """kill -9, so that the replica can say nothing: the session runs out and the other one sweeps
    it, once, and leaves the orders of others alone."""
    async with Venue(database_url, redis_url, rabbitmq_url, tmp_path, replicas=2) as venue:
        dying, living = venue.apis
        alice, bob = await venue.user("alice"), await venue.user("bob")
        async with (
            stream(living, alice) as third,
            stream(living, bob) as fourth,
            stream(dying, alice) as first,
        ):
            armed, watching, other = Client(first), Client(third), Client(fourth)
            await watching.subscribe("orders", **{"from": 0})
            await other.subscribe("orders", **{"from": 0})
            await other.say(op="place", **order("99"))
            await other.hear("ack")
            await armed.say(op="cancel_on_disconnect", markets=[SYMBOL])
            await armed.hear("cancel_on_disconnect")
            for price in ("100", "101"):
                await armed.say(op="place", **order(price))
                await armed.hear("ack")
            await dying.kill()
            seen: list[dict[str, Any]] = []
            async with asyncio.timeout(100):
                while not any(event["event"] == "all_cancelled" for event in seen):
                    seen += (await watching.hear("orders", timeout=100))["events"]
            reasons = [event["reason"] for event in seen if event["event"] == "cancelled"]
            assert reasons == ["disconnect", "disconnect"]
            assert seen[-1]["count"] == 2
            told = [event["event"] for event in (await other.hear("orders"))["events"]]
            assert told == ["accepted", "rested"]
        figures = await audited(database_url, redis_url, SYMBOL)
        # The configuration, three orders, and one cancel-all.
        assert figures.commands == 5


def order(price: str) -> dict[str, str]:
    return {
        "market": SYMBOL,
        "type": "limit",
        "side": "buy",
        "price": price,
        "quantity": "0.001",
    }

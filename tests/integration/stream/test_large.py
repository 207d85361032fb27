"""Results of a hundred thousand orders at once, through every hop to their owner's stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.stream.site import Client
from tests.integration.stream.venue import SYMBOL, Venue, open_venue
from tests.unit.stream.doubles import Book, ChainChecker

pytestmark = pytest.mark.timeout(180)

COUNT = 100_000


def limit(side: str, price: int, quantity: str = "0.001") -> dict[str, Any]:
    fields = {"market": SYMBOL, "type": "limit", "side": side, "quantity": quantity}
    return {**fields, "price": str(price)}


class Owner:
    """Reads a private stream to its end and counts what came."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.chain = ChainChecker(0)
        self.kinds: dict[str, int] = {}

    async def read_until(self, kind: str, count: int) -> None:
        while self.kinds.get(kind, 0) < count:
            message = await self.client.hear("orders", timeout=60)
            self.chain.read(message)
            for event in message["events"]:
                self.kinds[event["event"]] = self.kinds.get(event["event"], 0) + 1


async def rest(client: Client, venue: Venue) -> None:
    """Rest COUNT sell orders on many prices."""
    before = venue.replicas[0].services.feeds.view(SYMBOL).applied
    for start in range(0, COUNT, 500):
        items = [
            {"action": "new", **limit("sell", 1_000 + number % 2_000)}
            for number in range(start, start + 500)
        ]
        await client.say(op="batch", id=start, items=items)
        answer = await client.hear("ack", timeout=60)
        assert {result["status"] for result in answer["results"]} == {202}
    async with asyncio.timeout(60):
        while venue.replicas[0].services.feeds.view(SYMBOL).applied < before + COUNT:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", ["cancel_all", "sweep"])
async def test_a_hundred_thousand_orders_end_at_once(
    database_url: str, redis_url: str, end: str
) -> None:
    async with (
        open_venue(
            database_url, redis_url, stream_messages_per_second=10_000, stream_heartbeat=0.5
        ) as venue,
        venue.matcher(),
    ):
        key = await venue.key("maker")
        one, two = venue.replicas
        async with (
            one.connect(key) as entering,
            two.connect(key) as watching,
            two.connect(await venue.key("taker")) as taking,
            two.connect() as public,
        ):
            client, owner, depth = Client(entering), Owner(Client(watching)), Client(public)
            await owner.client.subscribe("orders", **{"from": 0})
            await depth.subscribe("depth")
            reading = asyncio.create_task(owner.read_until("rested", COUNT))
            await rest(client, venue)
            await reading
            if end == "cancel_all":
                await client.say(op="cancel_all", market=SYMBOL)
                await owner.read_until("all_cancelled", 1)
                assert owner.kinds["cancelled"] == COUNT
            else:
                taker = Client(taking)
                await taker.say(op="place", **limit("buy", 3_000, "100"))
                await owner.read_until("fill", COUNT)
            assert owner.kinds["accepted"] == owner.kinds["rested"] == COUNT
            assert len(set(owner.chain.events)) == len(owner.chain.events)
            view, book = two.services.feeds.view(SYMBOL), Book()
            async with asyncio.timeout(60):
                while view.depth_book is None or view.depth_book.asks.levels:
                    await asyncio.sleep(0.01)
            while book.sequence < view.depth_book.changed:
                book.read(await depth.hear(timeout=60))
            assert book.asks == {}

"""Results of a hundred thousand orders at once, through every hop of a venue of real processes:
RabbitMQ, PostgreSQL, Redis and both API replicas, to their owner's stream and the public depth."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.stored import audited
from tests.fixtures.venue import Venue
from tests.integration.stream.connecting import stream
from tests.integration.stream.site import Client
from tests.unit.stream.doubles import Book, ChainChecker

pytestmark = pytest.mark.timeout(480)

SYMBOL = "BTC-USDT"
COUNT = 100_000
BATCH = 500
PRICES = 2_000


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


async def rest(client: Client) -> None:
    """Rest COUNT sell orders on many prices, some batches in flight at a time."""
    for start in range(0, COUNT, 10 * BATCH):
        for first in range(start, start + 10 * BATCH, BATCH):
            items = [
                {"action": "new", **limit("sell", 1_000 + number % PRICES)}
                for number in range(first, first + BATCH)
            ]
            await client.say(op="batch", id=first, items=items)
        for _ in range(10):
            answer = await client.hear("ack", timeout=60)
            assert {result["status"] for result in answer["results"]} == {202}


@pytest.mark.parametrize("end", ["cancel_all", "sweep"])
async def test_a_hundred_thousand_orders_end_at_once(
    database_url: str, redis_url: str, rabbitmq_url: str, end: str, tmp_path: Path
) -> None:
    venue = Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        replicas=2,
        settings={
            "GOMATCH_STREAM_MESSAGES_PER_SECOND": "10000",
            "GOMATCH_STREAM_HEARTBEAT": "0.5",
            # One commit holds the end of all orders; the machine may be busy with other things.
            "GOMATCH_DATABASE_TIMEOUT": "60",
        },
    )
    async with venue:
        one, two = venue.apis
        maker, taker = await venue.user("maker"), await venue.user("taker")
        async with (
            stream(one, maker) as entering,
            stream(two, maker) as watching,
            stream(two, taker) as taking,
            stream(two, taker) as public,
        ):
            client, owner, depth = Client(entering), Owner(Client(watching)), Client(public)
            await owner.client.subscribe("orders", **{"from": 0})
            await depth.subscribe("depth")
            reading = asyncio.create_task(owner.read_until("rested", COUNT))
            await rest(client)
            await reading
            book = Book()
            while len(book.asks) < PRICES:
                book.read(await depth.hear(timeout=60))
            if end == "cancel_all":
                await client.say(op="cancel_all", market=SYMBOL)
                await owner.read_until("all_cancelled", 1)
                assert owner.kinds["cancelled"] == COUNT
            else:
                await Client(taking).say(op="place", **limit("buy", 1_000 + PRICES, "100"))
                await owner.read_until("fill", COUNT)
            assert owner.kinds["accepted"] == owner.kinds["rested"] == COUNT
            assert len(set(owner.chain.events)) == len(owner.chain.events)
            while book.asks:
                book.read(await depth.hear(timeout=60))
        figures = await audited(database_url, redis_url, SYMBOL)
        assert figures.orders >= COUNT

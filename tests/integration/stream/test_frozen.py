"""Who stands still delays nobody: an API replica that is frozen, a WebSocket reader that does not
read. A venue of real processes on RabbitMQ, PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gomatch.transport import RabbitMQTransport
from tests.fixtures.venue import PATIENT_RESULTS, Part, Venue
from tests.integration.stream.connecting import stream
from tests.integration.stream.site import Client
from tests.unit.stream.doubles import ChainChecker

SYMBOL = "BTC-USDT"
BATCH = 100


class Entering:
    """Rests orders by REST on one replica, a batch at a time, each answered after matching."""

    def __init__(self, part: Part, token: str) -> None:
        self._url = f"{part.url}/v1/orders/batch?wait=result"
        self._headers = {"Authorization": f"Bearer {token}"}
        self.count = 0

    async def batches(self, count: int) -> None:
        order = {"market": SYMBOL, "type": "limit", "side": "buy", "quantity": "0.001"}
        async with httpx.AsyncClient(timeout=60, headers=self._headers) as http:
            for _ in range(count):
                items = [{"action": "new", **order, "price": str(1 + n)} for n in range(BATCH)]
                answer = await http.post(self._url, json={"items": items})
                answer.raise_for_status()
                statuses = {result["status"] for result in answer.json()["results"]}
                assert statuses == {200}, "an order was not answered with its result"
                self.count += BATCH


async def read_until_accepted(client: Client, chain: ChainChecker, count: int) -> None:
    """Read a private stream, gap-free, until it has told of ``count`` orders."""
    seen = 0
    while seen < count:
        message = await client.hear("orders", timeout=30)
        chain.read(message)
        seen += sum(event["event"] == "accepted" for event in message["events"])


async def read_to_the_end(connection: ClientConnection, chain: ChainChecker) -> None:
    """What was under way to a reader that the server has given up."""
    try:
        while True:
            chain.read(json.loads(await connection.recv()))
    except ConnectionClosed:
        return


async def figure(part: Part, name: str) -> float:
    """The sum of the part's samples of this name; some of the labels may stand in ``name``."""
    async with httpx.AsyncClient(timeout=30) as http:
        text = (await http.get(f"{part.url}/metrics")).text
    begin = (f"{name} ", f"{name}{{", f"{name},")
    samples = [line for line in text.splitlines() if line.startswith(begin)]
    return sum(float(line.rpartition(" ")[2]) for line in samples)


async def test_a_frozen_replica_delays_nobody_and_catches_up(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    venue = Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        replicas=2,
        settings=PATIENT_RESULTS,
        matcher_settings={"GOMATCH_CALLBACK_BUFFER": "8", "GOMATCH_PREFETCH": "2"},
    )
    dropped = "gomatch_matcher_callback_drops_total"
    async with venue:
        well, frozen = venue.apis
        token = await venue.user("maker")
        async with stream(well, token) as first, stream(frozen, token) as second:
            beside, behind = Client(first), Client(second)
            for client in (beside, behind):
                await client.subscribe("orders", **{"from": 0})
            entering = Entering(well, token)
            await entering.batches(2)
            before = await figure(venue.matchers[0], dropped)
            assert frozen.process is not None
            frozen.process.pause()

            chain = ChainChecker(0)
            reading = asyncio.create_task(read_until_accepted(beside, chain, 42 * BATCH))
            await entering.batches(40)
            await reading
            await acknowledged(rabbitmq_url)
            async with asyncio.timeout(60):
                while await figure(venue.matchers[0], dropped) == before:
                    await entering.batches(5)

            frozen.process.resume()
            await read_until_accepted(behind, ChainChecker(0), entering.count)


async def acknowledged(rabbitmq_url: str) -> None:
    """Wait until the queue is empty: the matcher may hold no more than two unacknowledged, so
    that it can only become so by acknowledging."""
    transport = RabbitMQTransport(rabbitmq_url)
    try:
        async with asyncio.timeout(30):
            while await transport.depth(SYMBOL) != 0:
                await asyncio.sleep(0.05)
    finally:
        await transport.close()


async def test_a_frozen_reader_delays_nobody_and_resumes(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    venue = Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        settings={"GOMATCH_STREAM_BUFFER": "20", **PATIENT_RESULTS},
    )
    slow = 'gomatch_api_stream_closed_total{code="slow_reader"}'
    async with venue:
        (api,) = venue.apis
        token = await venue.user("maker")
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(("127.0.0.1", api.port))
        small.setblocking(False)
        async with stream(api, token) as first, stream(api, token, sock=small) as second:
            beside, behind = Client(first), Client(second)
            for client in (beside, behind):
                await client.subscribe("orders", **{"from": 0})
            second.transport.pause_reading()

            entering, chain = Entering(api, token), ChainChecker(0)
            async with asyncio.timeout(120):
                while await figure(api, slow) == 0:
                    reading = asyncio.create_task(read_until_accepted(beside, chain, 5 * BATCH))
                    await entering.batches(5)
                    await reading

            second.transport.resume_reading()
            held = ChainChecker(0)
            await read_to_the_end(second, held)
        async with stream(api, token) as third:
            client = Client(third)
            await client.subscribe("orders", **{"from": held.through})
            resumed = ChainChecker(held.through)
            while resumed.through < chain.through:
                resumed.read(await client.hear("orders", timeout=30))
        assert held.events + resumed.events == chain.events

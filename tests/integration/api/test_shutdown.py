"""A replica that stops behind a balancer that looks at /readyz: nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.fixtures.stored import head_of
from tests.fixtures.venue import Part, Venue

CLIENTS = 4
ORDER = {
    "market": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "100.00",
    "quantity": "1.000",
}


DELAY = 20
"""Seconds in which the balancer has to notice that a replica stops, however busy the machine."""


class Balancer:
    """Knows which replicas are ready, as of its last look."""

    def __init__(self, replicas: list[Part]) -> None:
        self._replicas = replicas
        self.ready = list(replicas)

    async def look(self) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                for replica in self._replicas:
                    try:
                        ready = (await client.get(f"{replica.url}/readyz")).is_success
                    except httpx.TransportError:
                        ready = False
                    if not ready and replica in self.ready:
                        self.ready.remove(replica)
                await asyncio.sleep(0.02)


async def send(
    balancer: Balancer, token: str, answers: Counter[int], enough: asyncio.Event
) -> None:
    """Orders, one after the other on connections that are kept, until told; an error is raised."""
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=20
    ) as client:
        sent = 0
        while not enough.is_set():
            sent += 1
            replica = balancer.ready[sent % len(balancer.ready)]
            answer = await client.post(f"{replica.url}/v1/orders?wait=result", json=ORDER)
            answers[answer.status_code] += 1


async def closed_with(socket_url: str, token: str, opened: asyncio.Event) -> int | None:
    """The code that the server closes a stream with."""
    async with connect(
        socket_url, additional_headers={"Authorization": f"Bearer {token}"}
    ) as socket:
        await socket.send(
            json.dumps({"op": "subscribe", "channel": "orders", "market": "BTC-USDT"})
        )
        await socket.recv()
        opened.set()
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


async def test_no_request_is_lost_while_a_replica_stops(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        replicas=2,
        settings={"GOMATCH_SHUTDOWN_DELAY": str(DELAY)},
    ) as venue:
        stopping, staying = venue.apis
        token = await venue.user("alice")
        balancer = Balancer([stopping, staying])
        answers: Counter[int] = Counter()
        enough, opened = asyncio.Event(), asyncio.Event()
        looking = asyncio.create_task(balancer.look())
        stream = asyncio.create_task(
            closed_with(f"{stopping.url}/v1/stream".replace("http", "ws", 1), token, opened)
        )
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(send(balancer, token, answers, enough))
            await opened.wait()
            while answers.total() < 40:
                await asyncio.sleep(0.01)
            assert stopping.process is not None
            os.kill(stopping.process.pid, signal.SIGTERM)
            # Not ready, and it still serves whoever has not noticed yet.
            while stopping in balancer.ready:
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient(timeout=30) as late:
                answer = await late.get(f"{stopping.url}/readyz")
                assert (answer.status_code, answer.json()["missing"]) == (503, ["serving"])
                assert answer.headers["connection"] == "close"
                answer = await late.get(f"{stopping.url}/v1/markets")
                assert answer.status_code == 200
            await stopping.ended()
            served = answers.total()
            while answers.total() < served + 40:
                await asyncio.sleep(0.01)
            enough.set()
        looking.cancel()
        assert await stream == 1012
        # 202: the result took longer than a client waits for.
        assert set(answers) <= {200, 202}
        head = await head_of(database_url, "BTC-USDT")
        assert head.accepted == answers.total() + 1
        await staying.kill()  # or it would serve on for the delay, for nobody

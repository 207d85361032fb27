"""What a real venue writes to its logs: JSON lines that name market, order and trace."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import httpx
from websockets.asyncio.client import connect

from tests.fixtures.venue import PATIENT_RESULTS, Part, Venue

MARKET = "BTC-USDT"
BUG = 77


def limit(**changes: Any) -> dict[str, Any]:
    fields = {"market": MARKET, "side": "buy", "type": "limit", "price": "50", "quantity": "1"}
    return {**fields, **changes}


def traceparent(trace: int) -> dict[str, str]:
    return {"traceparent": f"00-{trace:032x}-{trace:016x}-01"}


class Log:
    """The lines of one process, each of which must be JSON."""

    def __init__(self, part: Part) -> None:
        self._path = part.log

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        found = []
        for text in self._path.read_text().split("\n")[:-1]:
            line = json.loads(text)
            assert {"event", "level", "logger", "timestamp"} <= set(line), text
            if line["logger"].startswith("gomatch"):
                assert re.fullmatch("[a-z]+(_[a-z]+)*", line["event"]), text
            found.append(line)
        return [line for line in found if event in ("", line["event"])]

    async def line(self, event: str) -> dict[str, Any]:
        """Wait for the first line with that event."""
        try:
            async with asyncio.timeout(60):
                while not self.lines(event):
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            error.add_note(self._path.read_text()[-3_000:])
            raise
        return self.lines(event)[0]


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[str]]]:
    """An OTLP endpoint, and the request lines that it was sent."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length")
        )
        await reader.readexactly(length)
        requests.append(head.split("\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def test_lines_name_the_order_and_its_trace(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with (
        collector() as (endpoint, exported),
        Venue(
            database_url,
            redis_url,
            rabbitmq_url,
            tmp_path,
            settings={
                "GOMATCH_LOG_LEVEL": "debug",
                "GOMATCH_OTLP_ENDPOINT": endpoint,
                **PATIENT_RESULTS,
            },
            matcher_settings={"GOMATCH_TEST_BUG_AT": str(BUG)},
        ) as venue,
    ):
        api, matcher = Log(venue.apis[0]), Log(venue.matchers[0])
        headers = {"Authorization": f"Bearer {await venue.user('alice')}"}
        async with httpx.AsyncClient(
            base_url=venue.apis[0].url, headers=headers, timeout=40
        ) as alice:
            bad = limit(price="50.001", client_order_id="mine-1")
            await alice.post("/v1/orders", json=bad, headers=traceparent(0xAB))
            refused = await api.line("order_refused")
            assert refused["level"] == "debug"
            assert (refused["code"], refused["market"]) == ("off_tick", MARKET)
            assert refused["client_order_id"] == "mine-1"
            assert refused["trace_id"] == f"{0xAB:032x}"

            bug = limit(quantity=f"0.{BUG:03d}")
            offender = await alice.post(
                "/v1/orders?wait=result", json=bug, headers=traceparent(0xCD)
            )
            assert offender.json()["reason"] == "internal_error"
        raised = await matcher.line("engine_raised")
        fault = await matcher.line("engine_fault")
        assert raised["trace_ids"] == [f"{0xCD:032x}"]
        assert (fault["level"], fault["market"]) == ("critical", MARKET)
        assert fault["order"] == offender.json()["order"]["id"]
        assert fault["command"] == offender.json()["command"]
        assert "ZeroDivisionError" in fault["exception"]

        async with connect(
            venue.apis[0].url.replace("http", "ws") + "/v1/stream", additional_headers=headers
        ) as stream:
            await stream.send('{"op": "cancel_on_disconnect"}')
            await stream.recv()
        swept = await api.line("orders_cancelled_on_disconnect")
        assert (swept["market"], swept["user"]) == (MARKET, fault["user"])
        assert swept["command"] == fault["command"] + 1

        connection = await aio_pika.connect(rabbitmq_url)
        async with connection:
            channel = await connection.channel()
            trace = traceparent(0xEF)["traceparent"]
            await channel.default_exchange.publish(
                aio_pika.Message(b"garbage", headers={"first": 9, "last": 9, "trace": trace}),
                routing_key=f"gomatch.orders.{MARKET}",
            )
        letter = await matcher.line("message_dead_lettered")
        assert (letter["level"], letter["market"]) == ("error", MARKET)
        assert (letter["first"], letter["last"]) == (9, 9)
        assert letter["trace_ids"] == [f"{0xEF:032x}"]
        await asyncio.gather(*(part.stop() for part in venue.parts))
        # To their last line, and the spans have left before.
        assert api.lines("stopping")
        assert matcher.lines("lease_released")
        assert set(exported) == {"POST /v1/traces HTTP/1.1"}

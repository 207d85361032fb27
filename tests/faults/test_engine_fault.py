"""A bug in the engine: the market survives it, the offender is refused, a second one halts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.faults.verification import verify
from tests.fixtures.following import followed
from tests.fixtures.stored import all_applied
from tests.fixtures.venue import PATIENT_RESULTS, Venue

BUG = 77


async def test_a_market_survives_an_engine_that_raises(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with (
        Venue(
            database_url,
            redis_url,
            rabbitmq_url,
            tmp_path,
            settings=PATIENT_RESULTS,
            matcher_settings={"GOMATCH_TEST_BUG_AT": str(BUG)},
        ) as venue,
        followed(venue, 1) as clients,
    ):
        client = clients[0]
        await client.send(20, batch=10)
        await all_applied(database_url, "BTC-USDT")
        offender = await _offend(venue, client.token)
        assert (offender["outcome"], offender["reason"]) == ("rejected", "internal_error")
        await client.send(20, batch=10)
        head = await all_applied(database_url, "BTC-USDT")
        assert head.state.name == "RUNNING"

        await _offend(venue, client.token)
        async with asyncio.timeout(60):
            while head.state.name != "HALTED":
                head = await all_applied(database_url, "BTC-USDT")
        venue.matchers[0].environment = {
            **venue.matchers[0].environment,
            "GOMATCH_TEST_BUG_AT": "",
        }
        await venue.matchers[0].stop()
        venue.matchers[0].start()
        await venue.matchers[0].ready()
        await verify(database_url, redis_url, "BTC-USDT", clients)


async def _offend(venue: Venue, token: str) -> dict[str, object]:
    async with httpx.AsyncClient(timeout=40) as http:
        answer = await http.post(
            f"{venue.apis[0].url}/v1/orders?wait=result",
            headers={"Authorization": f"Bearer {token}"},
            json={
                "market": "BTC-USDT",
                "side": "buy",
                "type": "limit",
                "price": "50.00",
                "quantity": f"0.{BUG:03d}",
            },
        )
    body: dict[str, object] = answer.json()
    return body

"""API and matcher need nothing of their images but reading: no file is written, no shell is run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fixtures.venue import Part, Venue

CHILD = Path(__file__).parents[2] / "fixtures" / "confined_child.py"


@dataclass
class ConfinedVenue(Venue):
    def add_api(self, index: int) -> Part:
        return confined(super().add_api(index), "gomatch_api")

    def add_matcher(self, symbol: str) -> Part:
        return confined(super().add_matcher(symbol), "gomatch_matcher")


def confined(part: Part, module: str) -> Part:
    part.argv = [sys.executable, "-B", str(CHILD), module]
    return part


async def test_an_order_is_matched_and_everything_ends_in_order(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with ConfinedVenue(database_url, redis_url, rabbitmq_url, tmp_path) as venue:
        headers = {"Authorization": f"Bearer {await venue.user('alice')}"}
        async with httpx.AsyncClient(timeout=20, headers=headers) as client:
            order = {
                "market": "BTC-USDT",
                "side": "buy",
                "type": "limit",
                "price": "100.00",
                "quantity": "1.000",
            }
            answer = await client.post(f"{venue.apis[0].url}/v1/orders?wait=result", json=order)
            assert answer.is_success, answer.text
            assert (await client.get(f"{venue.matchers[0].url}/metrics")).is_success
    for part in venue.parts:
        log = part.log.read_text()
        assert "Errno" not in log, log
        assert "Traceback" not in log, log

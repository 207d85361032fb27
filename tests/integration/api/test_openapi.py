"""The OpenAPI document tells the truth: schemathesis finds no undocumented answer and no 5xx."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from gomatch.engine import TradingState
from gomatch.messages.applied import Summary
from tests.integration.api.conftest import Replica, order

CONFIGURATION = """
# What a schema can say is not all that an order must fulfil: ticks, lots, fields that go together.
[checks]
positive_data_acceptance.enabled = false

# A batch with bad items is answered with 200 and a problem for each of them.
[[operations]]
include-path = "/v1/orders/batch"
checks.negative_data_rejection.enabled = false
"""


async def schemathesis(url: str, configuration: Path, bearer: str) -> tuple[int, str]:
    """Exit code and output of the command line program, which has its own event loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(configuration),
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {bearer}",
        "--phases=coverage,fuzzing",
        "--max-examples=5",
        "--generation-deterministic",
        "--no-color",
        "--request-timeout=20",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


def feed_market_data(replica: Replica) -> None:
    """What a matcher would have sent: without it, depth and ticker are documented 503s."""
    for market in replica.services.markets.all():
        view = replica.services.feeds.view(market.symbol)
        summary = Summary(state=TradingState.RUNNING, last_price=10_000)
        view.load_depth(0, {9_999: 5}, {10_001: 7}, summary)


@pytest.mark.timeout(300)
async def test_every_answer_is_documented(replica: Replica, tmp_path: Path) -> None:
    feed_market_data(replica)
    bearer = await replica.key("alice", scopes=("read", "trade", "admin"))
    async with replica.client(bearer) as client:
        for _ in range(3):
            await client.post("/v1/orders", json=order())
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    code, output = await schemathesis(replica.url, configuration, bearer)
    assert code == 0, output[-20_000:]


async def test_every_route_is_in_the_one_document(replica: Replica) -> None:
    async with replica.client() as client:
        document = (await client.get("/openapi.json")).json()
    listed = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert listed == {
        ("POST", "/v1/orders"),
        ("GET", "/v1/orders"),
        ("DELETE", "/v1/orders"),
        ("POST", "/v1/orders/batch"),
        ("GET", "/v1/orders/{order_id}"),
        ("DELETE", "/v1/orders/{order_id}"),
        ("PATCH", "/v1/orders/{order_id}"),
        ("GET", "/v1/trades"),
        ("GET", "/v1/markets"),
        ("GET", "/v1/markets/{market}"),
        ("GET", "/v1/markets/{market}/depth"),
        ("GET", "/v1/markets/{market}/trades"),
        ("GET", "/v1/markets/{market}/ticker"),
        ("POST", "/v1/markets/{market}/state"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            private = path.startswith(("/v1/orders", "/v1/trades")) or path.endswith("/state")
            assert ("security" in operation) == private
            assert ("401" in operation["responses"]) == private


async def test_the_examples_of_the_document_work(replica: Replica) -> None:
    """Pasted as they stand."""
    async with await replica.user("alice") as client:
        document = (await client.get("/openapi.json")).json()
        for path, status in (("/v1/orders", 202), ("/v1/orders/batch", 200)):
            body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            answer = await client.post(path, json=body["example"])
            assert answer.status_code == status, answer.text

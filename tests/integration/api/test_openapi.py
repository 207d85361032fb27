"""The OpenAPI document tells the truth: schemathesis finds no undocumented answer and no 5xx."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import pytest

from gomatch.engine import TradingState
from gomatch.messages.applied import Summary
from tests.integration.api.conftest import Replica, order

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


async def schemathesis(url: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the command line program, which has its own event loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{url}/openapi.json",
        *arguments,
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


def options(checks: Sequence[str], bearer: str) -> list[str]:
    return [
        "--checks",
        ",".join(checks),
        "--header",
        f"Authorization: Bearer {bearer}",
        "--max-examples",
        "10",
        "--seed",
        "3",
        "--generation-deterministic",
        "--phases",
        "examples,coverage,fuzzing",
        "--workers",
        "1",
        "--no-color",
        "--request-timeout",
        "10",
    ]


@pytest.mark.timeout(300)
async def test_every_answer_is_documented(replica: Replica) -> None:
    feed_market_data(replica)
    bearer = await replica.key("alice", scopes=("read", "trade", "admin"))
    async with replica.client(bearer) as client:
        for _ in range(3):
            await client.post("/v1/orders", json=order())
    batch = "/v1/orders/batch"
    # A batch with bad items is answered with 200 and a problem for each of them.
    lenient = [check for check in CHECKS if check != "negative_data_rejection"]
    for arguments in (
        [*options(CHECKS, bearer), "--exclude-path", batch],
        [*options(lenient, bearer), "--include-path", batch],
    ):
        code, output = await schemathesis(replica.url, *arguments)
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

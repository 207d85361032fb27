"""A request that is traced carries its trace into the queue's messages."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from gomatch.messages.credentials import derive_secret, token
from gomatch.observability.tracing import Tracing
from gomatch.settings import Settings
from gomatch.store import ApiKeys, Markets, connect_pool
from gomatch.transport import InProcessTransport
from gomatch_api.server import ApiServer
from gomatch_api.services import open_services
from tests.integration.api.conftest import BTC, SERVER_KEY, order

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_trace_of_a_request_goes_with_its_commands(database_url: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    settings = Settings(
        postgres_url=SecretStr(database_url), server_key=SecretStr(SERVER_KEY), callback_port=0
    )
    pool = await connect_pool(database_url, size=1, timeout=10, application="tests")
    await Markets(pool).create(BTC)
    record = await ApiKeys(pool).create("alice", ("trade",))
    await pool.close()
    bearer = token(record.key_id, derive_secret(bytes.fromhex(SERVER_KEY), record.key_id))
    transport = InProcessTransport()
    consumer = await transport.consumer("BTC-USDT", prefetch=10)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(
            open_services(settings, transport=transport, tracing=Tracing(provider))
        )
        server = ApiServer(services, host="127.0.0.1", port=0)
        await server.start()
        stack.push_async_callback(server.stop)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
            headers = {"Authorization": f"Bearer {bearer}", "traceparent": PARENT}
            answer = await client.post("/v1/orders", json=order(), headers=headers)
            assert answer.status_code == 202
        async with asyncio.timeout(30):
            while not (deliveries := await consumer.take(limit=1, timeout=1)):
                pass
    trace = deliveries[0].batch.trace
    assert trace.split("-")[1] == PARENT.split("-")[1]
    spans = [span.name for span in exporter.get_finished_spans()]
    assert "POST /v1/orders" in spans

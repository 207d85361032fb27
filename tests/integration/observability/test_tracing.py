"""One trace follows an order from its request to the replicas that notify its owner."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import httpx
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gomatch.observability.tracing import LIMIT, Tracing, join, log_fields
from tests.integration.stream.site import Client
from tests.integration.stream.venue import SYMBOL, Venue, open_venue

STEPS = ("accept", "publish", "commit", "notify")


class Traces:
    """Tracing into memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def of(self, trace: int) -> dict[str, list[ReadableSpan]]:
        """Spans of one trace by name."""
        found: dict[str, list[ReadableSpan]] = {}
        for span in self.spans:
            if trace_of(span) == trace:
                found.setdefault(span.name, []).append(span)
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(40):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            error.add_note(f"seen: {[(s.name, hex(trace_of(s))) for s in self.spans]}")
            raise


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def parent_id(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def order(price: str = "100") -> dict[str, Any]:
    return {"market": SYMBOL, "type": "limit", "side": "sell", "price": price, "quantity": "1"}


async def client_of(venue: Venue, user: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{venue.replicas[0].server.port}",
        headers={"Authorization": f"Bearer {await venue.key(user)}"},
        timeout=40,
    )


def traceparent(trace: int, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace:032x}-{trace:016x}-{'01' if sampled else '00'}"}


async def test_one_trace_from_the_post_to_both_replicas(database_url: str, redis_url: str) -> None:
    traces = Traces()
    async with (
        open_venue(database_url, redis_url, tracing=traces.tracing) as venue,
        venue.matcher(),
        await client_of(venue, "alice") as alice,
    ):
        answer = await alice.post("/v1/orders", json=order(), headers=traceparent(7))
        assert answer.status_code == 202
        await traces.until(lambda: len(traces.of(7).get("notify", ())) == 2)
        found = traces.of(7)
        (post,) = found["POST /v1/orders"]
        accept, publish, commit = (found[name][0] for name in STEPS[:3])
        assert parent_id(accept) == id_of(post)
        assert parent_id(publish) == id_of(accept)
        assert parent_id(commit) == id_of(publish)
        assert {parent_id(notify) for notify in found["notify"]} == {id_of(commit)}
        assert commit.attributes is not None
        assert (commit.attributes["market"], commit.attributes["last"]) == (SYMBOL, 2)

        before = len(traces.spans)
        unsampled = traceparent(8, sampled=False)
        answer = await alice.post("/v1/orders?wait=result", json=order(), headers=unsampled)
        assert answer.status_code == 200
        assert len(traces.spans) == before


async def test_orders_of_one_batch_keep_their_traces_and_link_to_each_other(
    database_url: str, redis_url: str
) -> None:
    traces = Traces()
    count = 8
    connection = await asyncpg.connect(database_url)
    async with (
        open_venue(database_url, redis_url, replicas=1, tracing=traces.tracing) as venue,
        venue.matcher(),
        await client_of(venue, "alice") as alice,
    ):
        # While the first one's commit cannot go on, the others gather.
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM heads FOR UPDATE")
            for trace in range(1, count + 1):
                answer = await alice.post("/v1/orders", json=order(), headers=traceparent(trace))
                assert answer.status_code == 202
        await traces.until(
            lambda: all("notify" in traces.of(trace) for trace in range(1, count + 1))
        )
    await connection.close()
    for trace in range(1, count + 1):
        assert [len(traces.of(trace)[name]) for name in STEPS] == [1, 1, 1, 1]
    last = traces.of(count)["commit"][0]
    linked = {link.context.trace_id for link in last.links}
    assert linked
    assert count not in linked
    for other in linked:
        (commit,) = traces.of(other)["commit"]
        assert count in {link.context.trace_id for link in commit.links}
        assert commit.attributes == last.attributes


async def test_an_order_by_websocket_is_a_trace_of_its_own(
    database_url: str, redis_url: str
) -> None:
    traces = Traces()
    async with (
        open_venue(database_url, redis_url, replicas=1, tracing=traces.tracing) as venue,
        venue.matcher(),
        venue.replicas[0].connect(await venue.key("alice")) as connection,
    ):
        client = Client(connection)
        for price in ("100", "101"):
            await client.say(op="place", id=price, **order(price))
            await client.hear("ack")
        await traces.until(lambda: [s.name for s in traces.spans].count("notify") == 2)
    roots = [span for span in traces.spans if span.name == "stream place"]
    assert len({trace_of(root) for root in roots}) == 2
    for root in roots:
        assert root.parent is None
        assert set(traces.of(trace_of(root))) == {"stream place", *STEPS}
    assert not [span for span in traces.spans if "/v1/stream" in span.name]


async def test_commands_read_from_the_database_lose_their_trace(
    database_url: str, redis_url: str
) -> None:
    traces = Traces()
    async with (
        open_venue(database_url, redis_url, replicas=1, tracing=traces.tracing) as venue,
        await client_of(venue, "alice") as alice,
    ):
        assert (
            await alice.post("/v1/orders", json=order(), headers=traceparent(9))
        ).status_code == 202
        await traces.until(lambda: "publish" in traces.of(9))
        async with venue.matcher():
            answer = await alice.post("/v1/orders?wait=result", json=order())
            assert answer.json()["order"]["status"] == "open"
    assert set(traces.of(9)) == {"POST /v1/orders", "accept", "publish"}


def test_without_an_endpoint_nothing_that_traces_is_loaded() -> None:
    code = (
        "import sys, gomatch_api.main, gomatch_matcher.main\n"
        "from gomatch.observability.tracing import Tracing\n"
        "from gomatch.settings import Settings\n"
        "tracing = Tracing.configure(Settings(), 'x')\n"
        "assert not tracing.enabled and tracing.current_traceparent() == ''\n"
        "with tracing.batch('commit', '') as trace, tracing.request('x'): assert trace == ''\n"
        "parts = ('sdk.trace', 'exporter', 'instrumentation')\n"
        "heavy = tuple('opentelemetry.' + part for part in parts)\n"
        "loaded = [name for name in sys.modules if name.startswith(heavy)]\n"
        "sys.exit(repr(loaded) if loaded else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_batch_carries_a_bounded_number_of_traces() -> None:
    each = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 40)]
    assert join(["", each[0], f"{each[0]},{each[1]}"]) == f"{each[0]},{each[1]}"
    assert log_fields(join(each)) == {"trace_ids": [f"{n:032x}" for n in range(1, LIMIT + 1)]}
    assert log_fields("garbage" * 1000) == {}


def test_garbage_for_a_trace_is_no_span() -> None:
    traces = Traces()
    with traces.tracing.batch("commit", "00-zz-01,\x00" * 100) as trace:
        assert trace.startswith("00-zz")
    assert not traces.spans

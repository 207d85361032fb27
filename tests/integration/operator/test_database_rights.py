"""API, matcher and operator with no more rights at PostgreSQL than docs/credentials.md grants."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from msgspec.structs import replace

from gomatch.audit import audit
from gomatch.engine import TradingState
from gomatch.errors import StoreError
from gomatch.store import ApiKeys, Claims, Disconnects, connect_pool
from tests.fixtures.following import followed
from tests.fixtures.stored import all_applied, mirrored
from tests.fixtures.venue import Venue
from tests.integration.store.owners import INSTALLATION, OWNER, TERM
from tests.integration.store.rows import DEFINITION

PAGE = Path(__file__).parents[3] / "docs" / "credentials.md"
ROLES = ("gomatch_api", "gomatch_matcher", "gomatch_operator")
UrlOf = Callable[[str], str]


@pytest.fixture
async def url_of(database_url: str) -> UrlOf:
    """The database's URL for one of ROLES, which have been granted what the page says."""
    [grants] = re.findall(r"<!-- grants -->\n```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    owner = await asyncpg.connect(database_url)
    for role in ROLES:
        if not await owner.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role):
            await owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await owner.execute(grants)
    await owner.close()
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    return lambda role: urlunsplit(parts._replace(netloc=f"{role}:secret@{host}"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(url, size=2, timeout=10, application="tests")
    try:
        yield pool
    finally:
        await pool.close()


async def test_orders_are_taken_matched_recovered_and_audited(
    database_url: str, redis_url: str, rabbitmq_url: str, url_of: UrlOf, tmp_path: Path
) -> None:
    venue = Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        settings={"GOMATCH_POSTGRES_URL": url_of("gomatch_api")},
        matcher_settings={
            "GOMATCH_POSTGRES_URL": url_of("gomatch_matcher"),
            "GOMATCH_SNAPSHOT_EVERY": "50",
        },
    )
    async with venue, followed(venue) as clients:
        for client in clients:
            await client.send(120, batch=40)
        await venue.matchers[0].kill()
        venue.matchers[0].start()
        for client in clients:
            await client.send(120, batch=40)
        head = await all_applied(database_url, "BTC-USDT")
        await mirrored(redis_url, "BTC-USDT", head.sequence, head.chain)
        token = await venue.user("reader")
        async with httpx.AsyncClient(
            base_url=venue.apis[0].url, headers={"Authorization": f"Bearer {token}"}
        ) as reader:
            for path in ("orders", "trades", "markets", "markets/BTC-USDT/depth"):
                assert (await reader.get(f"/v1/{path}")).status_code == 200
        report = await audit(url_of("gomatch_matcher"), redis_url)
    assert (report.findings, report.unchecked) == ([], [])


async def test_the_api_keeps_keys_and_watches_connections(url_of: UrlOf) -> None:
    async with connected(url_of("gomatch_api")) as pool:
        keys, disconnects = ApiKeys(pool), Disconnects(pool)
        record = await keys.create("alice", ("read",))
        again = await keys.create("alice", ("trade",))
        assert again.user_id == record.user_id
        assert await keys.revoke(record.key_id)

        await disconnects.arm("session", record.user_id, [1], 30)
        assert await disconnects.renew(["session"], 30) == {"session"}
        await disconnects.expire("session")
        await disconnects.disarm("session")


async def test_the_operator_claims_asks_and_removes(database_url: str, url_of: UrlOf) -> None:
    symbol = DEFINITION.symbol
    async with connected(url_of("gomatch_operator")) as pool:
        claims = Claims(pool)
        await claims.begin_term(INSTALLATION, TERM)
        claimed = await claims.claim(OWNER, DEFINITION, term=TERM, state=TradingState.HALTED)
        await claims.request_state(
            OWNER, symbol, TradingState.RUNNING, term=TERM, resume="1", backlog_limit=100
        )
        lower = replace(DEFINITION, max_open_orders=7)
        await claims.configure(OWNER, lower, current=DEFINITION, term=TERM, backlog_limit=100)
        assert await claims.request_cache_refresh(OWNER, symbol, term=TERM)
        assert [each.symbol for each in await claims.observe(INSTALLATION)] == [symbol]
        await claims.release(OWNER, symbol, term=TERM)
        await claims.claim(OWNER, lower, term=TERM)
        await claims.note_leftovers(INSTALLATION, symbol, term=TERM, queue=True, cache=True)
        assert await claims.leftovers(INSTALLATION)
        await claims.forget_leftovers(INSTALLATION, symbol, term=TERM, queue=True, cache=True)
        assert claimed.created

        await close_and_drain(database_url)
        await claims.drop(OWNER, symbol, term=TERM)
        assert await claims.observe(INSTALLATION) == []


async def close_and_drain(database_url: str) -> None:
    """As its matcher does."""
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "UPDATE heads AS h SET applied = i.accepted, state = $1 FROM intake AS i",
        int(TradingState.CLOSED),
    )
    await owner.close()


@pytest.mark.parametrize("role", ["gomatch_api", "gomatch_matcher"])
async def test_only_the_operator_may_claim(url_of: UrlOf, role: str) -> None:
    async with connected(url_of(role)) as pool:
        with pytest.raises(StoreError):
            await Claims(pool).claim(OWNER, DEFINITION, term=TERM)

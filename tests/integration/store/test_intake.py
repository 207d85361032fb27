"""Acceptance: numbers without gaps under contention, all or nothing, refusals that change
nothing."""

from __future__ import annotations

import asyncio
import itertools

import asyncpg
import pytest

from gomatch.errors import (
    BacklogFull,
    DuplicateClientIds,
    IdentityMismatch,
    ReservationRefused,
    StoreError,
    StoreUnavailable,
    UnknownMarket,
)
from gomatch.store import (
    ClaimKind,
    ClientClaim,
    Intake,
    Journal,
    MarketRecord,
    Markets,
    Orders,
    connect_pool,
)
from tests.integration.store.rows import DEFINITION, bodies

LIMIT = 10**6


def claim(client_id: str, offset: int = 0, *, user: int = 7) -> ClientClaim:
    return ClientClaim(user, ClaimKind.ORDER, client_id, offset, client_id.encode().ljust(16))


async def state_of(pool: asyncpg.Pool) -> list[tuple[object, ...]]:
    tables = ("intake", "commands", "client_ids")
    return [tuple(row) for table in tables for row in await pool.fetch(f"SELECT * FROM {table}")]


async def test_contending_connections_get_contiguous_numbers(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    intake = Intake(pool)

    async def accept_some(lane: int) -> list[tuple[int, int]]:
        got = []
        for step in range(15):
            count = 1 + (lane + step) % 4
            acceptance = await intake.accept(
                market.market_id, bodies=bodies(count), count=count, backlog_limit=LIMIT
            )
            assert acceptance.last - acceptance.first + 1 == count
            got.append((acceptance.first, acceptance.last))
        return got

    lanes = await asyncio.gather(*(accept_some(lane) for lane in range(4)))
    spans = sorted(span for lane in lanes for span in lane)
    assert spans[0][0] == 2  # the configuration is command 1
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(spans))
    rows = await Journal(pool).commands(market.market_id, 1, LIMIT, limit_rows=1000)
    assert [(row.first, row.last) for row in rows] == [(1, 1), *spans]
    assert [row.accepted_at for row in rows] == sorted(row.accepted_at for row in rows)
    head = await Markets(pool).head(market.symbol)
    assert head is not None
    assert head.accepted == spans[-1][1]


async def test_claims_are_given_to_the_commands_at_their_positions(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    intake = Intake(pool)
    got = await intake.accept(
        market.market_id,
        bodies=bodies(3),
        count=3,
        claims=[claim("b", 2), claim("a", 0)],
        backlog_limit=LIMIT,
    )
    keys = [(7, int(ClaimKind.ORDER), name) for name in ("a", "b", "none")]
    found = await intake.claims(keys)
    assert {key[2]: one.number for key, one in found.items()} == {"a": got.first, "b": got.last}
    assert found[keys[0]].symbol == market.symbol
    assert found[keys[0]].accepted_at == got.accepted_at
    assert found[keys[0]].digest == b"a".ljust(16)


async def test_kinds_and_users_are_namespaces_of_their_own(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    intake = Intake(pool)
    for key in (claim("a"), claim("a", user=8), claim("a")._replace(kind=ClaimKind.REQUEST)):
        await intake.accept(
            market.market_id, bodies=bodies(1), count=1, claims=[key], backlog_limit=LIMIT
        )
    assert len(await intake.claims([(7, 1, "a"), (8, 1, "a"), (7, 2, "a")])) == 3


@pytest.mark.parametrize(
    "claims",
    [[claim("new", 0), claim("taken", 1)], [claim("twice", 0), claim("twice", 1)]],
    ids=["taken before", "twice in the batch"],
)
async def test_a_duplicate_client_id_changes_nothing(
    pool: asyncpg.Pool, market: MarketRecord, claims: list[ClientClaim]
) -> None:
    intake = Intake(pool)
    await intake.accept(
        market.market_id, bodies=bodies(1), count=1, claims=[claim("taken")], backlog_limit=LIMIT
    )
    before = await state_of(pool)
    with pytest.raises(DuplicateClientIds):
        await intake.accept(
            market.market_id, bodies=bodies(2), count=2, claims=claims, backlog_limit=LIMIT
        )
    assert await state_of(pool) == before


async def test_one_client_id_sent_by_many_at_once_is_accepted_once(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    other = await Markets(pool).create(
        type(DEFINITION)(base="ETH", quote="USDT", tick_size="1", lot_size="1")
    )
    intake = Intake(pool)
    results = await asyncio.gather(
        *(
            intake.accept(
                (market, other)[lane % 2].market_id,
                bodies=bodies(2),
                count=2,
                # In both orders, as two replicas might meet them.
                claims=[claim("x"), claim("y", 1)][:: -1 if lane % 3 else 1],
                backlog_limit=LIMIT,
            )
            for lane in range(6)
        ),
        return_exceptions=True,
    )
    accepted = [one for one in results if not isinstance(one, BaseException)]
    assert len(accepted) == 1
    assert all(isinstance(one, DuplicateClientIds) for one in results if one is not accepted[0])


async def test_a_full_backlog_changes_nothing(pool: asyncpg.Pool, market: MarketRecord) -> None:
    before = await state_of(pool)
    with pytest.raises(BacklogFull):
        await Intake(pool).accept(market.market_id, bodies=bodies(5), count=5, backlog_limit=5)
    assert await state_of(pool) == before
    await Intake(pool).accept(market.market_id, bodies=bodies(4), count=4, backlog_limit=5)


async def test_an_unknown_market_is_refused(pool: asyncpg.Pool) -> None:
    with pytest.raises(UnknownMarket):
        await Intake(pool).accept(404, bodies=bodies(1), count=1, backlog_limit=LIMIT)


async def test_a_lost_session_leaves_the_outcome_unknown(
    pool: asyncpg.Pool, database_url: str, market: MarketRecord
) -> None:
    """The accept waits behind a lock when its session is ended from outside."""
    async with await connect_pool(database_url, size=1, timeout=10, application="victim") as other:
        async with pool.acquire() as holder, holder.transaction():
            await holder.execute("SELECT * FROM intake FOR UPDATE")
            waiting = asyncio.create_task(
                Intake(other).accept(
                    market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT
                )
            )
            ended = False
            while not ended:
                ended = await holder.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity"
                    " WHERE application_name = 'victim' AND wait_event_type = 'Lock'"
                )
            with pytest.raises(StoreUnavailable) as error:
                await waiting
        assert error.value.outcome_unknown
        # The next call gets a connection that works.
        again = await Intake(other).accept(
            market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT
        )
        assert again.first == 2


async def test_an_accept_that_waits_too_long_is_known_not_to_have_happened(
    pool: asyncpg.Pool, database_url: str, market: MarketRecord
) -> None:
    async with (
        await connect_pool(database_url, size=1, timeout=10, application="hasty") as other,
        pool.acquire() as holder,
        holder.transaction(),
    ):
        await holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await holder.execute("SELECT * FROM intake FOR UPDATE")
        with pytest.raises(StoreUnavailable) as error:
            await Intake(other).accept(
                market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT
            )
        assert not error.value.outcome_unknown


async def test_accept_commit_and_renew_do_not_wait_for_each_other(pool: asyncpg.Pool) -> None:
    """Their rows are in three tables, so holding one leaves the others free."""
    market = await Markets(pool).create(DEFINITION)
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT * FROM heads FOR UPDATE")
        await holder.execute("SELECT * FROM leases FOR UPDATE")
        await Intake(pool).accept(market.market_id, bodies=bodies(1), count=1, backlog_limit=LIMIT)


async def test_an_accepted_command_is_pending_and_readable(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    got = await Intake(pool).accept(
        market.market_id, bodies=bodies(3), count=3, backlog_limit=LIMIT
    )
    orders = Orders(pool)
    pending = await orders.pending(market.market_id, got.first + 1)
    assert pending is not None
    assert (getattr(pending[0], "order", None), pending[1]) == (2, got.accepted_at)
    assert await orders.pending(market.market_id, got.last + 1) is None


async def test_creating_a_market_again_keeps_it_and_another_identity_is_refused(
    pool: asyncpg.Pool, market: MarketRecord
) -> None:
    markets = Markets(pool)
    same = await asyncio.gather(*(markets.create(DEFINITION) for _ in range(3)))
    assert {one.market_id for one in same} == {market.market_id}
    assert [head.accepted for head in await markets.heads()] == [1]
    with pytest.raises(IdentityMismatch, match="tick_size"):
        await markets.create(
            type(DEFINITION)(base="BTC", quote="USDT", tick_size="0.1", lot_size="0.001")
        )
    assert [record.symbol for record in await markets.list()] == ["BTC-USDT"]
    assert await markets.get("NO-SUCH") is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("RAISE EXCEPTION 'too little of it'", ReservationRefused),
        ("PERFORM 1 / (p_first - p_first)", StoreError),
    ],
)
async def test_what_cannot_be_reserved_for_changes_nothing_and_says_why(
    pool: asyncpg.Pool, market: MarketRecord, body: str, error: type[StoreError]
) -> None:
    intake = Intake(pool)
    await pool.execute(
        "CREATE OR REPLACE FUNCTION gomatch_reserve(p_market_id integer, p_first bigint,"
        " p_last bigint, p_bodies bytea) RETURNS void LANGUAGE plpgsql AS"
        f" $$ BEGIN {body}; END $$"
    )
    before = await state_of(pool)
    with pytest.raises(error, match=r"too little of it|division by zero"):
        await intake.accept(
            market.market_id, bodies=bodies(1), count=1, claims=[claim("a")], backlog_limit=LIMIT
        )
    assert await state_of(pool) == before

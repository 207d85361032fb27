"""Sessions that must renew: by PostgreSQL's clock, claimed once, never alive after that."""

from __future__ import annotations

import asyncpg

from gomatch.store import Disconnects


async def claimed(table: Disconnects, *own: str, hold: float = 100) -> list[str]:
    return [session.session_id for session in await table.claim_expired(10, own=own, hold=hold)]


async def test_a_session_lives_while_it_renews(pool: asyncpg.Pool) -> None:
    table = Disconnects(pool)
    await table.arm("a", 7, [1], 0)
    assert await table.renew(["a", "never"], 100) == {"a"}
    assert await claimed(table) == []
    await table.renew(["a"], 0)
    assert await claimed(table, "a") == []
    assert await claimed(table) == ["a"]


async def test_a_claimed_session_is_dead_and_nobody_elses_until_the_hold_is_over(
    pool: asyncpg.Pool,
) -> None:
    table = Disconnects(pool)
    await table.arm("a", 7, [1, 2], 100)
    await table.expire("a")
    assert await table.renew(["a"], 100) == set()
    (session,) = await table.claim_expired(10, hold=0)
    assert (session.session_id, session.user, session.market_ids) == ("a", 7, (1, 2))
    assert await table.renew(["a"], 100) == set()
    await table.expire("a")
    assert await claimed(table) == ["a"]
    assert await claimed(table) == []
    await table.give_back(["a"], 100)
    assert await table.renew(["a"], 100) == {"a"}
    await table.disarm("a")
    assert await table.renew(["a"], 100) == set()

"""How much waits to be applied, and for how long."""

from __future__ import annotations

import asyncpg
import pytest

from gomatch.errors import UnknownMarket
from gomatch.store import Intake, Journal
from tests.integration.store.led import LedMarket
from tests.integration.store.rows import bodies


async def test_the_oldest_command_that_is_not_applied_and_its_age(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    journal, intake = Journal(pool), Intake(pool)
    await led.commit(led.next(commands=1))
    assert await journal.backlog(led.market_id) == (1, 1, 0, 0.0)
    for count in (3, 2):
        await intake.accept(led.market_id, bodies=bodies(count), count=count, backlog_limit=99)
    # Rows 2..4 and 5..6, made long ago.
    for first, seconds in ((2, 10_000), (5, 5_000)):
        await pool.execute(
            "UPDATE commands SET accepted_at = gomatch_now() - $2 WHERE first = $1",
            first,
            seconds * 1_000_000,
        )
    for applied, age in ((1, 10_000), (3, 10_000), (4, 5_000)):
        if applied > led.position[0]:
            await led.commit(led.next(commands=applied - led.position[0]))
        backlog = await journal.backlog(led.market_id)
        assert backlog[:3] == (6, applied, applied + 1)
        assert age <= backlog.oldest_seconds < age + 1_000
    await led.commit(led.next(commands=2))
    assert await journal.backlog(led.market_id) == (6, 6, 0, 0.0)


async def test_a_market_that_is_not_there(pool: asyncpg.Pool) -> None:
    with pytest.raises(UnknownMarket):
        await Journal(pool).backlog(999)

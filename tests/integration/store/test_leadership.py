"""One leader at a time: the lease, the epoch, and what happens to a leader that lost it."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from gomatch.errors import Fenced, StoreUnavailable, UnknownMarket
from gomatch.store import Journal, Leadership, MarketRecord, Markets
from tests.integration.store.led import LedMarket
from tests.integration.store.rows import order_row


async def run_out(pool: asyncpg.Pool) -> None:
    """As if the leader had not renewed in time."""
    await pool.execute("UPDATE leases SET expires_at = gomatch_now()")


async def test_a_held_lease_is_given_to_nobody_else(led: LedMarket, database_url: str) -> None:
    other = LedMarket(database_url, led.market_id)
    assert not await other.lead("second")
    holder = await other.leadership.holder(led.market_id)
    assert holder is not None
    assert (holder.holder, holder.epoch) == ("first", 1)
    assert 0 < holder.expires_in <= 60
    await other.close()


async def test_of_many_that_want_a_free_lease_one_gets_it(
    market: MarketRecord, database_url: str
) -> None:
    contenders = [LedMarket(database_url, market.market_id) for _ in range(4)]
    won = await asyncio.gather(*(one.lead(f"m{n}") for n, one in enumerate(contenders)))
    assert sorted(won) == [False, False, False, True]
    for one in contenders:
        await one.close()


async def test_a_lease_that_was_given_up_is_free_at_once(led: LedMarket, database_url: str) -> None:
    await led.leadership.release(led.market_id, led.epoch)
    assert await led.leadership.holder(led.market_id) is None
    other = LedMarket(database_url, led.market_id)
    assert await other.lead("second")
    assert other.epoch == led.epoch + 1
    await other.close()


async def test_after_a_takeover_the_old_leader_can_neither_renew_nor_commit_nor_release(
    led: LedMarket, database_url: str, pool: asyncpg.Pool
) -> None:
    await led.commit(led.next())
    await run_out(pool)
    other = LedMarket(database_url, led.market_id)
    assert await other.lead("second")
    other.position = led.position
    with pytest.raises(Fenced):
        await led.leadership.renew(led.market_id, led.epoch, 60)
    # Its session was ended; a new one cannot be registered, and if it writes, it is fenced.
    with pytest.raises(StoreUnavailable):
        await led.commit(led.next())
    await led.commits.connect()
    with pytest.raises(Fenced):
        await led.leadership.register_backend(led.market_id, led.epoch, led.pid)
    with pytest.raises(Fenced):
        await led.commit(led.next())
    await led.leadership.release(led.market_id, led.epoch)
    assert await other.leadership.renew(led.market_id, other.epoch, 60)
    await other.commit(other.next())
    rows = await Journal(pool).rows(led.market_id, 0)
    assert [(row.epoch, row.first_number) for row in rows] == [(1, 1), (2, 2)]
    await other.close()


async def test_a_leader_frozen_inside_a_commit_does_not_hold_up_the_takeover(
    led: LedMarket, database_url: str, pool: asyncpg.Pool
) -> None:
    """It has updated the head and is stopped before COMMIT, its session registered."""
    frozen = await asyncpg.connect(database_url)
    pid = frozen.get_server_pid()
    await led.leadership.register_backend(led.market_id, led.epoch, pid)
    transaction = frozen.transaction()
    await transaction.start()
    await frozen.execute("UPDATE heads SET applied = 1, sequence = 1 WHERE epoch = $1", led.epoch)
    await run_out(pool)
    other = LedMarket(database_url, led.market_id)
    assert await other.lead("second")
    assert await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
    head = (await Markets(pool).heads())[0]
    assert (head.applied, head.sequence, head.epoch) == (0, 0, other.epoch)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await transaction.commit()
    await other.commit(other.next(new_orders=[order_row(led.market_id, 1)]))
    frozen.terminate()
    await other.close()


async def test_a_takeover_ends_no_session_that_only_inherited_the_process_id(
    led: LedMarket, database_url: str, pool: asyncpg.Pool
) -> None:
    bystander = await asyncpg.connect(database_url)
    await pool.execute(
        "INSERT INTO lease_backends VALUES ($1, $2, now() - interval '1 day')",
        led.market_id,
        bystander.get_server_pid(),
    )
    await run_out(pool)
    other = LedMarket(database_url, led.market_id)
    assert await other.lead("second")
    assert await bystander.fetchval("SELECT 1") == 1
    await bystander.close()
    await other.close()


async def test_two_live_leaders_one_is_fenced(
    led: LedMarket, database_url: str, pool: asyncpg.Pool
) -> None:
    """The old leader's session was never registered, so that only the head fences it."""
    await pool.execute("DELETE FROM lease_backends")
    await run_out(pool)
    other = LedMarket(database_url, led.market_id)
    assert await other.lead("second")
    results = await asyncio.gather(
        led.commit(led.next()), other.commit(other.next()), return_exceptions=True
    )
    assert isinstance(results[0], Fenced)
    assert results[1] is None
    await other.close()


async def test_a_leader_that_renewed_late_but_before_anyone_else_goes_on(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    await run_out(pool)
    await led.leadership.renew(led.market_id, led.epoch, 60)
    holder = await led.leadership.holder(led.market_id)
    assert holder is not None
    assert holder.expires_in > 30


async def test_a_request_to_refresh_the_cache_stays_until_it_is_done(led: LedMarket) -> None:
    leadership = led.leadership
    assert not (await leadership.renew(led.market_id, led.epoch, 60)).refresh_cache
    await leadership.request_cache_refresh(led.market_id)
    marks = await leadership.renew(led.market_id, led.epoch, 60)
    assert marks.refresh_cache
    assert (await leadership.renew(led.market_id, led.epoch, 60)).refresh_cache
    await leadership.request_cache_refresh(led.market_id)
    await leadership.cache_refreshed(led.market_id, marks.refresh_mark)
    marks = await leadership.renew(led.market_id, led.epoch, 60)
    assert marks.refresh_cache  # asked again while the first was being done
    await leadership.cache_refreshed(led.market_id, marks.refresh_mark)
    assert not (await leadership.renew(led.market_id, led.epoch, 60)).refresh_cache


async def test_leadership_connects_again_after_its_session_was_ended(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    await pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'gomatch lease'"
    )
    # Whether the first call meets the end of its session or a closed one is up to the network.
    with contextlib.suppress(StoreUnavailable):
        await led.leadership.renew(led.market_id, led.epoch, 60)
    await led.leadership.renew(led.market_id, led.epoch, 60)


async def test_an_unknown_market_cannot_be_led(database_url: str) -> None:
    leadership = Leadership(database_url, timeout=10)
    with pytest.raises(UnknownMarket):
        await leadership.acquire(404, "me", 3)
    await leadership.close()

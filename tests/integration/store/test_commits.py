"""The commit: all of it or nothing, and its plan as tables grow."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from gomatch.engine import Reason, TradingState
from gomatch.errors import CommitRefused, Fenced, StoreError, StoreUnavailable
from gomatch.store import Claims, Journal, Markets, Orders, OrderStatus, Trades
from tests.integration.store.led import LedMarket, commit_as_before
from tests.integration.store.rows import order_row, trade_row, update_row


async def test_a_commit_writes_head_journal_orders_and_trades(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    market_id = led.market_id
    first = led.next(
        commands=3,
        events=4,
        new_orders=[order_row(market_id, number) for number in (1, 2, 3)],
        trades=[trade_row(market_id, 4)],
    )
    await led.commit(first)
    await led.commit(led.next(order_updates=[update_row(2, filled=10, status=OrderStatus.FILLED)]))
    head = (await Markets(pool).heads())[0]
    assert (head.applied, head.sequence, head.chain) == led.position
    assert (head.last_price, head.epoch) == (100, led.epoch)
    rows = await Journal(pool).rows(market_id, 0)
    assert [(row.first_number, row.last_number, row.last_sequence) for row in rows] == [
        (1, 3, 4),
        (4, 4, 5),
    ]
    assert rows[0].events == first.events
    order = await Orders(pool).get(market_id, 2)
    assert order is not None
    assert (order.status, order.filled, order.value) == (OrderStatus.FILLED, 10, 1000)
    assert [trade.sequence for trade in await Trades(pool).of_market(market_id, limit=9)] == [4]


async def test_a_batch_of_only_expiries_takes_no_number(led: LedMarket, pool: asyncpg.Pool) -> None:
    await led.commit(led.next(commands=2, events=2, new_orders=[order_row(led.market_id, 1)]))
    await led.commit(
        led.next(
            commands=0,
            order_updates=[update_row(1, filled=0, status=OrderStatus.EXPIRED)],
        )
    )
    assert led.position[:2] == (2, 3)
    journal = Journal(pool)
    rows = await journal.rows(led.market_id, 2)
    assert [(row.first_number, row.last_number) for row in rows] == [(3, 2)]
    assert len(await journal.rows_after_number(led.market_id, 1)) == 2


@pytest.mark.parametrize("wrong", ["sequence", "applied", "chain", "epoch"])
async def test_a_head_that_is_not_as_left_fences_and_nothing_is_written(
    led: LedMarket, pool: asyncpg.Pool, wrong: str
) -> None:
    await led.commit(led.next())
    value = "decode(repeat('07', 32), 'hex')" if wrong == "chain" else f"{wrong} + 1"
    await pool.execute(f"UPDATE heads SET {wrong} = {value}")
    with pytest.raises(Fenced):
        await led.commit(led.next(new_orders=[order_row(led.market_id, 2)]))
    assert await Orders(pool).get(led.market_id, 2) is None
    assert len(await Journal(pool).rows(led.market_id, 0)) == 1


async def test_an_update_of_an_order_without_a_row_writes_nothing(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    with pytest.raises(StoreError, match="0 of 1 orders"):
        await led.commit(
            led.next(order_updates=[update_row(5, filled=1, status=OrderStatus.FILLED)])
        )
    assert (await Markets(pool).heads())[0].sequence == 0


async def test_a_row_that_cannot_be_written_takes_the_whole_commit_back(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    row = order_row(led.market_id, 1)
    with pytest.raises(CommitRefused):
        await led.commit(led.next(new_orders=[row, row]))
    assert (await Markets(pool).heads())[0].sequence == 0
    await led.connect()
    await led.commit(led.next(new_orders=[row]))


async def test_a_session_ended_while_committing_leaves_nothing_and_must_connect_again(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT * FROM heads FOR UPDATE")
        waiting = asyncio.create_task(led.commit(led.next()))
        while not await holder.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid = $1 AND wait_event_type = 'Lock'",
            led.pid,
        ):
            pass
        with pytest.raises(StoreUnavailable):
            await waiting
    with pytest.raises(StoreUnavailable):
        await led.commit(led.next())
    await led.connect()
    assert await Journal(pool).rows(led.market_id, 0) == []
    await led.commit(led.next())


async def test_orders_are_updated_by_index_however_the_table_grew(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    """The session's statements are prepared while `orders` is empty, and nobody analyses it."""
    market_id = led.market_id
    await led.commit(led.next(new_orders=[order_row(market_id, 1)]))
    await led.commit(
        led.next(order_updates=[update_row(1, filled=1, status=OrderStatus.PARTIALLY_FILLED)])
    )
    count = 20_000
    await led.commit(
        led.next(commands=count, new_orders=[order_row(market_id, n) for n in range(2, count + 2)])
    )
    before = await _reads(pool)
    await led.commit(
        led.next(
            order_updates=[
                update_row(number, filled=10, status=OrderStatus.FILLED)
                for number in range(100, 15_000, 75)
            ]
        )
    )
    # Statistics of a session arrive when it ends.
    await led.commits.close()
    while (after := await _reads(pool))[1] == before[1]:
        await asyncio.sleep(0.05)
    scans, fetched = after[0] - before[0], after[1] - before[1]
    assert scans == 0
    assert fetched < 1_000


async def _reads(pool: asyncpg.Pool) -> tuple[int, int]:
    """Sequential scans of `orders`, and rows fetched through its indexes."""
    row = await pool.fetchrow(
        "SELECT seq_scan, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'orders'"
    )
    return row["seq_scan"], row["idx_tup_fetch"]


async def test_the_reason_of_a_state_stays_until_the_next_change(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    async def reason() -> Reason | None:
        market = await Claims(pool).observe_one("BTC-USDT")
        assert market is not None
        return market.state_reason

    assert await reason() is None
    halted = replace(led.next(), state=TradingState.HALTED, state_reason=Reason.PRICE_BAND)
    await led.commit(halted)
    assert await reason() is Reason.PRICE_BAND
    await led.commit(replace(led.next(), state=TradingState.HALTED))
    assert await reason() is Reason.PRICE_BAND
    # By hand, in the state that it is in.
    again = replace(led.next(), state=TradingState.HALTED, state_reason=Reason.MANUAL)
    await led.commit(again)
    assert await reason() is Reason.MANUAL


async def test_a_matcher_of_the_version_before_commits_and_leaves_no_wrong_reason(
    led: LedMarket, pool: asyncpg.Pool
) -> None:
    """It calls the function without a reason."""
    await led.commit(replace(led.next(), state_reason=Reason.MANUAL))

    written = replace(
        led.next(new_orders=[order_row(led.market_id, 2)], trades=[trade_row(led.market_id, 2)]),
        state=TradingState.HALTED,
    )
    assert await commit_as_before(pool, written)
    assert not await commit_as_before(pool, written)
    assert len(await Journal(pool).rows(led.market_id, 0)) == 2
    assert await Orders(pool).get(led.market_id, 2) is not None
    market = await Claims(pool).observe_one("BTC-USDT")
    assert market is not None
    assert (market.state, market.state_reason) == (TradingState.HALTED, None)

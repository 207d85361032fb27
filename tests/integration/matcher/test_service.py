"""One matcher on real PostgreSQL and Redis, its commands accepted as the API would."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from gomatch.cache import BookMirror
from gomatch.engine import (
    CancelAll,
    NewOrder,
    OrderType,
    Reason,
    SetState,
    Side,
    TimeInForce,
    TradingState,
)
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.messages.trading_state import state_commands
from gomatch.store import Claims, Intake, Markets, Orders, Trades
from gomatch_matcher.service import MatcherService, wall_clock
from tests.integration.matcher.conftest import SYMBOL, Bench, order, until_leading


async def until_reloaded(service: MatcherService) -> None:
    """A term ended and the next one leads."""
    async with asyncio.timeout(60):
        while service.status.leading:
            await asyncio.sleep(0)
        await until_leading(service)


async def test_accepted_orders_become_rows_and_trades(bench: Bench) -> None:
    async with bench.matcher():
        last = await bench.accept([order(1, Side.SELL, 5, 100), order(2, Side.BUY, 3, 100)])
        head = await bench.applied(last)
        assert head.last_price == 100
        maker = await Orders(bench.pool).get(bench.market.market_id, last - 1)
        assert maker is not None
        assert (maker.filled, maker.remaining, maker.status.name) == (3, 2, "PARTIALLY_FILLED")
        (trade,) = await Trades(bench.pool).of_user(2, limit=10)
        assert (trade.price, trade.quantity, trade.maker_user) == (100, 3, 1)


async def test_what_the_queue_lost_is_read_from_postgresql(bench: Bench) -> None:
    async with bench.matcher() as service:
        await until_leading(service)
        last = await bench.accept([order(1, Side.SELL, 5, 100)], publish=False)
        await bench.applied(last)
        await bench.accept([order(1, Side.SELL, 5, 101)], publish=False)
        last = await bench.accept([order(1, Side.SELL, 5, 102)])
        await bench.applied(last)


async def test_repetitions_are_acknowledged_and_do_not_fill_the_prefetch(bench: Bench) -> None:
    async with bench.matcher(prefetch=2) as service:
        await until_leading(service)
        for price in range(100, 105):
            last = await bench.accept([order(1, Side.SELL, 5, price)], times=5)
        await bench.applied(last)
        async with asyncio.timeout(60):
            while await bench.transport.depth(SYMBOL) != 0:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_restart_goes_on_with_the_same_book(bench: Bench, flushed: bool) -> None:
    async with bench.matcher():
        last = await bench.accept([order(1, Side.SELL, 5, 100 + n) for n in range(50)])
        await bench.mirrored(await bench.applied(last))
    if flushed:
        mirror = BookMirror(bench.settings.redis_url.get_secret_value(), SYMBOL, timeout=60)
        await mirror.delete()
        await mirror.close()
    async with bench.matcher() as service:
        await until_leading(service)
        assert service.status.recovered_from == ("image" if flushed else "redis")
        last = await bench.accept([order(2, Side.BUY, 6, 101)])
        head = await bench.applied(last)
        assert head.last_price == 101


async def test_why_a_market_is_halted_is_kept_with_its_state(bench: Bench) -> None:
    async def state() -> tuple[TradingState, Reason | None]:
        found = await Claims(bench.pool).observe_one(SYMBOL)
        assert found is not None
        return found.state, found.state_reason

    halting = replace(
        bench.market.definition, price_band_mode="halt", price_band="0.1", reference_price="1"
    )
    async with bench.matcher():
        sells = [order(1, Side.SELL, 5, price) for price in (100, 120)]
        await bench.applied(await bench.accept(sells))
        await Markets(bench.pool).configure(bench.market, halting, backlog_limit=99)
        buy = NewOrder(2, Side.BUY, OrderType.MARKET, 9, 0, TimeInForce.IOC)
        await bench.applied(await bench.accept([buy]))
        assert await state() == (TradingState.HALTED, Reason.PRICE_BAND)
    async with bench.matcher():
        await bench.applied(await bench.accept([CancelAll(1)]))
        assert await state() == (TradingState.HALTED, Reason.PRICE_BAND)
        resume = SetState(TradingState.RUNNING, Reason.MANUAL)
        await bench.applied(await bench.accept([resume]))
        assert await state() == (TradingState.RUNNING, Reason.MANUAL)


async def test_a_market_that_was_closed_opens_again(bench: Bench) -> None:
    """As one that was retained when its Market was deleted, and is claimed again."""
    async with bench.matcher():
        await bench.accept([order(1, Side.SELL, 5, 100)])
        await bench.applied(await bench.accept(state_commands(TradingState.CLOSED)))
        late = await bench.accept([order(1, Side.SELL, 5, 100)])
        await bench.applied(late)
        refused = await Orders(bench.pool).get(bench.market.market_id, late)
        assert refused is not None
        assert refused.reason == "market_closed"
    async with bench.matcher():
        await bench.accept(state_commands(TradingState.RUNNING))
        last = await bench.accept([order(1, Side.SELL, 5, 100), order(2, Side.BUY, 3, 100)])
        head = await bench.applied(last)
        assert (head.state, head.last_price) == (TradingState.RUNNING, 100)
        assert len(await Trades(bench.pool).of_market(bench.market.market_id, limit=9)) == 1


async def test_the_mirror_follows_and_is_rebuilt_after_its_keys_are_deleted(bench: Bench) -> None:
    mirror = BookMirror(bench.settings.redis_url.get_secret_value(), SYMBOL, timeout=60)
    try:
        async with bench.matcher():
            for round_ in range(3):
                last = await bench.accept([order(1, Side.SELL, 5, 100 + round_)])
                head = await bench.applied(last)
                async with asyncio.timeout(60):
                    while True:
                        held = await mirror.load()
                        if held is not None and held.sequence == head.sequence:
                            break
                        await asyncio.sleep(0.01)
                assert held.chain == head.chain
                assert len(held.orders) == round_ + 1
                if round_ == 1:
                    await mirror.delete()
    finally:
        await mirror.close()


async def test_orders_expire_while_nothing_else_happens(bench: Bench) -> None:
    async def gtd(lead: int) -> tuple[int, str]:
        """Number and status of an order that is good for ``lead`` microseconds."""
        until = {"time_in_force": TimeInForce.GTD, "expiry": wall_clock() + lead}
        number = await bench.accept([order(1, Side.SELL, 5, 100, **until)])
        await bench.applied(number)
        return number, await status(number)

    async def status(number: int) -> str:
        row = await Orders(bench.pool).get(bench.market.market_id, number)
        assert row is not None
        return row.status.name

    async with bench.matcher() as service:
        await until_leading(service)
        lead = 1_000_000
        number, now = await gtd(lead)
        while now == "REJECTED":  # it came to the engine too late
            lead *= 3
            number, now = await gtd(lead)
        async with asyncio.timeout(120):
            while await status(number) != "EXPIRED":
                await asyncio.sleep(0.02)


async def test_a_standby_leads_at_once_when_the_leader_stops(bench: Bench) -> None:
    """It does not wait for the lease to run out."""
    async with AsyncExitStack() as leading, AsyncExitStack() as waiting:
        leader = await leading.enter_async_context(bench.matcher(lease_seconds=600))
        await until_leading(leader)
        standby = await waiting.enter_async_context(bench.matcher(lease_seconds=600))
        async with asyncio.timeout(60):
            while not standby.status.waiting:
                await asyncio.sleep(0.01)
        assert not standby.status.leading
        await leading.aclose()
        assert not leader.status.leading
        await until_leading(standby)


async def test_the_second_process_takes_over_when_the_first_is_gone(bench: Bench) -> None:
    async with bench.matcher() as first:
        await until_leading(first)
        epoch = first.status.epoch
    async with bench.matcher() as second:
        await until_leading(second)
        assert second.status.epoch > epoch


async def test_a_sweep_and_a_cancel_all_of_many_orders_go_through(bench: Bench) -> None:
    async with bench.matcher() as service:
        await until_leading(service)
        for start in range(0, 20_000, 2_000):
            await bench.accept(
                [order(1, Side.SELL, 1, 1000 + (start + n) % 500) for n in range(2_000)]
            )
        last = await bench.accept([order(2, Side.BUY, 10_000, 5_000), CancelAll(1)])
        head = await bench.applied(last, timeout=120)
        count = await bench.pool.fetchval("SELECT count(*) FROM trades")
        assert count == 10_000
        assert head.applied == last
        assert (await Orders(bench.pool).open_at_head(1, bench.market.market_id))[1] == []


@pytest.mark.parametrize("accepted_since", [False, True])
async def test_forged_commands_are_dead_lettered_and_change_nothing(
    bench: Bench, accepted_since: bool
) -> None:
    """Well formed and under the market's next number, but not what PostgreSQL accepted."""
    async with bench.matcher() as service:
        await until_leading(service)
        first = await bench.applied(await bench.accept([order(1, Side.SELL, 5, 100)]))
        last = first.applied + 1
        true_bodies = pack_commands([order(1, Side.SELL, 7, 101)])
        if accepted_since:
            accepted = await Intake(bench.pool).accept(
                bench.market.market_id, bodies=true_bodies, count=1, backlog_limit=10**9
            )
            accepted_at = accepted.accepted_at
        else:
            accepted_at = wall_clock()
        forged = CommandBatch(
            market=SYMBOL,
            first=last,
            last=last,
            accepted_at=accepted_at,
            bodies=pack_commands([order(3, Side.BUY, 5, 100)]),
        )
        publisher = await bench.transport.publisher()
        await publisher.publish(forged, timeout=30)
        async with asyncio.timeout(60):
            while not bench.transport.dead:
                await asyncio.sleep(0.01)
        if not accepted_since:
            assert await bench.applied(first.applied) == first
            await bench.accept([order(1, Side.SELL, 7, 101)])
        head = await bench.applied(last)
        assert head.last_price == 0
        stored = await Orders(bench.pool).get(bench.market.market_id, last)
        assert stored is not None
        assert (stored.user_id, stored.quantity) == (1, 7)
    assert await bench.transport.depth(SYMBOL) == 0


async def test_a_command_that_takes_longer_than_a_statement_may_is_applied_all_the_same(
    bench: Bench,
) -> None:
    async with bench.matcher(database_timeout=0.6) as service:
        await until_leading(service)
        for start in range(0, 30_000, 1_000):
            await bench.accept(
                [order(1, Side.SELL, 1, 1000 + (start + n) % 500) for n in range(1_000)]
            )
        last = await bench.accept([CancelAll(1)])
        await bench.applied(last, timeout=120)
        assert (await Orders(bench.pool).open_at_head(1, bench.market.market_id))[1] == []


@pytest.mark.parametrize("accepted_first", [False, True])
async def test_forged_commands_that_cannot_even_be_stored_change_nothing(
    bench: Bench, accepted_first: bool
) -> None:
    async with bench.matcher() as service:
        await until_leading(service)
        last = (await bench.applied(await bench.accept([order(1, Side.SELL, 5, 100)]))).applied + 1
        true = [order(1, Side.SELL, 7, 101)]
        if accepted_first:
            await Intake(bench.pool).accept(
                bench.market.market_id, bodies=pack_commands(true), count=1, backlog_limit=10**9
            )
        forged = CommandBatch(
            market=SYMBOL,
            first=last,
            last=last,
            accepted_at=wall_clock(),
            bodies=pack_commands([order(3, Side.BUY, 5, 100, client_order_id="\0")]),
        )
        epoch = service.status.epoch
        await (await bench.transport.publisher()).publish(forged, timeout=30)
        if not accepted_first:
            await until_reloaded(service)
            await bench.accept(true)
        head = await bench.applied(last)
        assert (head.last_price, service.status.epoch) == (0, epoch)
        stored = await Orders(bench.pool).get(bench.market.market_id, last)
        assert stored is not None
        assert (stored.user_id, stored.quantity, stored.status.name) == (1, 7, "OPEN")


async def test_after_a_reload_the_queue_delivers_again(bench: Bench) -> None:
    """What the last term had taken fills the prefetch until it is given back."""
    async with bench.matcher(prefetch=1) as service:
        await until_leading(service)
        last = (await bench.applied(await bench.accept([order(1, Side.SELL, 5, 100)]))).applied
        forged = CommandBatch(
            market=SYMBOL,
            first=last + 1,
            last=last + 1,
            accepted_at=wall_clock(),
            bodies=pack_commands([order(3, Side.BUY, 5, 100)]),
        )
        await (await bench.transport.publisher()).publish(forged, timeout=30)
        await until_reloaded(service)
        await bench.applied(await bench.accept([order(1, Side.SELL, 5, 101)]))
        async with asyncio.timeout(60):
            while await bench.transport.depth(SYMBOL) != 0:
                await asyncio.sleep(0.01)

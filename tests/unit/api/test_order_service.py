import asyncio
import json
from functools import partial
from typing import Any

import pytest

from gomatch.engine import (
    AllCancelled,
    AmendOrder,
    CancelAll,
    Cancelled,
    CancelOrder,
    NewOrder,
    OrderType,
    Reason,
    Rejected,
    SelfTrade,
    SetState,
    Side,
    TimeInForce,
    TradingState,
)
from gomatch.errors import BacklogFull, StoreUnavailable
from gomatch.store.records import OrderRecord, OrderStatus
from gomatch_api import codes
from gomatch_api.problems import Problem
from gomatch_api.requests import parse_batch
from gomatch_api.responses import ItemResult
from tests.unit.api.doubles import Venue, definition, principal


def new(**changes: Any) -> dict[str, Any]:
    return {
        "action": "new",
        "market": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "price": "100.00",
        "quantity": "1.5",
        **changes,
    }


def cancel(**target: Any) -> dict[str, Any]:
    return {"action": "cancel", **target}


def amend(**changes: Any) -> dict[str, Any]:
    return {"action": "amend", **changes}


async def send(venue: Venue, *items: Any, user: int = 7, wait: bool = False) -> list[ItemResult]:
    parsed = parse_batch(json.dumps({"items": items}).encode())
    return await venue.orders.submit(principal(user), parsed, wait=wait)


def code(result: ItemResult) -> str:
    assert result.problem is not None
    assert result.problem.status == result.status
    return result.problem.code


def ids(*results: ItemResult) -> list[str | None]:
    return [result.order.id if result.order else None for result in results]


async def test_items_are_answered_in_order_and_kept_in_order() -> None:
    venue = await Venue.open()
    results = await send(
        venue,
        new(client_order_id="a"),
        cancel(id="BTC-USDT-1"),
        amend(id="BTC-USDT-1", quantity="1", request_id="r"),
    )
    assert [type(command) for command in venue.commands()] == [NewOrder, CancelOrder, AmendOrder]
    placed, cancelled, amended = (result.order for result in results)
    assert placed is not None
    assert (placed.id, placed.client_order_id, placed.status) == ("BTC-USDT-1", "a", "accepted")
    assert placed.accepted_at == "1970-01-01T00:00:01.000000Z"
    assert cancelled is not None
    assert (cancelled.id, cancelled.command) == ("BTC-USDT-1", 2)
    assert amended is not None
    assert (amended.command, amended.request_id) == (3, "r")


async def test_bad_items_say_why_and_good_ones_go_in() -> None:
    venue = await Venue.open()
    results = await send(
        venue,
        new(price="100.001"),
        new(),
        new(market="DOGE-USDT"),
        cancel(),
        cancel(id="BTC-USDT-1", client_order_id="a"),
        cancel(id="nonsense"),
        cancel(id="DOGE-USDT-1"),
        cancel(client_order_id="nobody"),
        amend(id="BTC-USDT-1"),
        cancel(id="BTC-USDT-1", request_id=""),
        new(side="sell"),
        "x",
    )
    assert ids(results[1], results[10]) == ["BTC-USDT-1", "BTC-USDT-2"]
    assert [code(results[index]) for index in (0, 2, 3, 4, 5, 6, 7, 8, 9, 11)] == [
        "off_tick",
        "unknown_market",
        "missing_field",
        "field_not_allowed",
        "invalid_order_id",
        "unknown_order",
        "unknown_order",
        "nothing_to_amend",
        "invalid_client_id",
        "wrong_type",
    ]
    assert len(venue.commands()) == 2


async def test_one_request_may_span_markets() -> None:
    venue = await Venue.open()
    results = await send(venue, new(), new(market="ETH-USDT"), new())
    assert ids(*results) == ["BTC-USDT-1", "ETH-USDT-1", "BTC-USDT-2"]


async def test_a_repeated_order_gets_its_first_answer_whatever_its_spelling() -> None:
    venue = await Venue.open()
    (first,) = await send(venue, new(client_order_id="a"))
    (again,) = await send(
        venue, new(client_order_id="a", price="100.0", quantity="1.500", time_in_force="gtc")
    )
    assert again == first
    assert len(venue.commands()) == 1


@pytest.mark.parametrize(
    "change", [{"price": "101"}, {"side": "sell"}, {"market": "ETH-USDT"}, {"post_only": True}]
)
async def test_a_different_order_under_the_same_id_is_refused(change: dict[str, Any]) -> None:
    venue = await Venue.open()
    await send(venue, new(client_order_id="a"))
    (result,) = await send(venue, new(client_order_id="a", **change))
    assert code(result) == "client_order_id_reused"
    (other_user,) = await send(venue, new(client_order_id="a", **change), user=8)
    assert other_user.status == 202


async def test_a_repeated_order_is_recognised_after_the_limits_changed() -> None:
    """It may have expired, or the market's limits may be tighter now: it was accepted."""
    venue = await Venue.open()
    (first,) = await send(venue, new(client_order_id="a", quantity="500"))
    venue.market_store.definitions[0] = definition(max_quantity="100")
    await venue.markets.refresh()
    (again,) = await send(venue, new(client_order_id="a", quantity="500"))
    assert again == first
    (other,) = await send(venue, new(client_order_id="a", quantity="600"))
    assert code(other) == "client_order_id_reused"
    (unknown,) = await send(venue, new(client_order_id="b", quantity="500"))
    assert code(unknown) == "quantity_too_large"


async def test_request_ids_make_cancels_and_amends_repeatable() -> None:
    venue = await Venue.open()
    first, again, reused = await send(
        venue,
        cancel(id="BTC-USDT-9", request_id="r"),
        cancel(id="BTC-USDT-9", request_id="r"),
        cancel(id="BTC-USDT-8", request_id="r"),
    )
    assert again == first
    assert code(reused) == "request_id_reused"
    (order_of_that_name,) = await send(venue, new(client_order_id="r"))
    assert order_of_that_name.status == 202


async def test_orders_are_named_by_client_order_id() -> None:
    venue = await Venue.open()
    await send(venue, new(), new(client_order_id="a"))
    cancelled, amended = await send(
        venue, cancel(client_order_id="a"), amend(client_order_id="a", price="7")
    )
    assert ids(cancelled, amended) == ["BTC-USDT-2"] * 2
    assert cancelled.order is not None
    assert cancelled.order.client_order_id == "a"
    assert venue.store.questions == 0
    (foreign,) = await send(venue, cancel(client_order_id="a"), user=8)
    assert code(foreign) == "unknown_order"


async def test_an_order_is_named_in_the_request_that_places_it() -> None:
    venue = await Venue.open()
    results = await send(
        venue,
        new(client_order_id="a"),
        new(),
        cancel(client_order_id="a"),
        new(client_order_id="b"),
        amend(client_order_id="b", quantity="1"),
        cancel(client_order_id="a"),
    )
    assert [result.status for result in results] == [202] * 6
    assert venue.commands()[2] == CancelOrder(7, 1)
    assert venue.commands()[4] == AmendOrder(7, 4, quantity=1000)


async def test_what_cannot_be_a_name_never_reaches_the_database() -> None:
    venue = await Venue.open()
    names = ("", "a b", "\u0000", "\x00", "x" * 65, "ä")
    results = await send(venue, *(cancel(client_order_id=name) for name in names))
    assert {code(result) for result in results} == {"invalid_client_id"}
    assert venue.store.questions == 0


async def test_many_unknown_names_cost_one_question() -> None:
    venue = await Venue.open()
    results = await send(venue, *(cancel(client_order_id=f"c{index}") for index in range(50)))
    assert {code(result) for result in results} == {"unknown_order"}
    assert venue.store.questions == 1


async def test_while_the_database_is_away_each_item_says_so() -> None:
    venue = await Venue.open()
    venue.store.failures.append(StoreUnavailable("down"))
    venue.store.claims_failure = StoreUnavailable("down")
    results = await send(venue, cancel(client_order_id="a"), new(), new(price="0"))
    assert [code(result) for result in results] == ["not_accepted", "not_accepted", "invalid_price"]


async def test_the_key_must_have_the_scope_and_its_rate() -> None:
    venue = await Venue.open()
    items = parse_batch(json.dumps({"items": [new()] * 6}).encode())
    with pytest.raises(Problem) as caught:
        await venue.orders.submit(principal(scopes=("read",)), items)
    assert caught.value.code is codes.SCOPE_MISSING
    limited = principal(rate=10)
    await venue.orders.submit(limited, items)
    with pytest.raises(Problem) as caught:
        await venue.orders.submit(limited, items)
    assert caught.value.code is codes.RATE_LIMITED
    assert caught.value.headers["retry-after"] == "1"
    assert len(venue.commands()) == 6
    assert venue.sample("gomatch_api_rate_limited_commands_total") == 6


async def test_items_may_come_decoded() -> None:
    venue = await Venue.open()
    raw: list[Any] = [new(), json.dumps(new()).encode(), {"action": "?"}, b"{"]
    results = await venue.orders.submit(principal(), raw)
    assert [result.status for result in results] == [202, 202, 422, 400]


def row(number: int, status: OrderStatus, *, user: int = 7, reason: str = "") -> OrderRecord:
    filled = 500 if status is OrderStatus.PARTIALLY_FILLED else 0
    return OrderRecord(
        market_id=1,
        number=number,
        user_id=user,
        client_order_id="",
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=10_000,
        stop_price=0,
        display=0,
        expiry=0,
        quantity=1_500,
        filled=filled,
        remaining=1_000 if filled else 0,
        value=filled * 9_999,
        status=status,
        reason=reason,
        self_trade=SelfTrade.DEFAULT,
        post_only=False,
        accepted_at=1,
        updated_at=2,
        updated_sequence=9,
    )


async def test_waiting_answers_with_the_order_as_it_stands() -> None:
    venue = await Venue.open()
    venue.feeds.events = {
        ("BTC-USDT", 1): [(5, Cancelled(1, 99, 8, 1, 0, Reason.SELF_TRADE))],
        ("BTC-USDT", 2): [(6, Rejected(2, 2, 7, Reason.WOULD_CROSS))],
        ("BTC-USDT", 3): [(7, Rejected(3, 50, 7, Reason.UNKNOWN_ORDER))],
    }
    venue.rows.rows = [
        row(1, OrderStatus.PARTIALLY_FILLED),
        row(2, OrderStatus.REJECTED, reason="would_cross"),
        row(50, OrderStatus.OPEN, user=8),
    ]
    filled, refused, foreign, late = await send(
        venue, new(), new(), cancel(id="BTC-USDT-50"), new(), wait=True
    )
    assert filled.status == 200
    assert filled.result is not None
    assert (filled.result.outcome, filled.result.reason) == ("applied", None)
    assert filled.result.order.status == "partially_filled"
    assert (filled.result.order.filled, filled.result.order.remaining) == ("0.5", "1")
    assert filled.result.order.average_price == "99.99"
    assert refused.result is not None
    assert (refused.result.outcome, refused.result.reason) == ("rejected", "would_cross")
    assert refused.result.order.cancelled == "1.5"
    assert code(foreign) == "unknown_order"
    assert late.order is not None
    assert (late.status, late.order.status) == (202, "pending")


async def test_cancelling_all_is_one_command() -> None:
    venue = await Venue.open()
    answer = await venue.orders.cancel_all(principal(), "BTC-USDT")
    assert (answer.status, answer.command, answer.cancelled) == ("accepted", 1, None)
    assert venue.commands() == [CancelAll(7)]
    venue.feeds.events["BTC-USDT", 2] = [(5, AllCancelled(2, 7, 3))]
    venue.feeds.events["BTC-USDT", 3] = [(6, Rejected(3, 0, 7, Reason.MARKET_CLOSED))]
    done = await venue.orders.cancel_all(principal(), "BTC-USDT", wait=True)
    assert (done.status, done.cancelled) == ("applied", 3)
    refused = await venue.orders.cancel_all(principal(), "BTC-USDT", wait=True)
    assert (refused.status, refused.reason) == ("rejected", "market_closed")
    late = await venue.orders.cancel_all(principal(), "BTC-USDT", wait=True)
    assert late.status == "pending"
    with pytest.raises(Problem) as caught:
        await venue.orders.cancel_all(principal(), "DOGE-USDT")
    assert caught.value.code is codes.UNKNOWN_MARKET


async def test_request_ids_make_a_cancel_all_and_a_state_change_repeatable() -> None:
    venue = await Venue.open()
    admin = principal(scopes=("trade", "admin"))
    cancel_all = partial(venue.orders.cancel_all, admin)
    set_state = partial(venue.orders.set_state, admin)
    first = await cancel_all("BTC-USDT", request_id="r")
    assert (first.command, first.request_id) == (1, "r")
    assert await cancel_all("BTC-USDT", request_id="r") == first
    halted = await set_state("BTC-USDT", "halted", request_id="s")
    assert (halted.command, halted.request_id) == (2, "s")
    assert await set_state("BTC-USDT", "halted", request_id="s") == halted
    # All requests of one user share their ids, whatever it is that they ask for.
    for other in (
        cancel_all("ETH-USDT", request_id="r"),
        set_state("BTC-USDT", "running", request_id="s"),
        set_state("BTC-USDT", "running", request_id="r"),
    ):
        with pytest.raises(Problem) as caught:
            await other
        assert (caught.value.code, caught.value.field) == (codes.REQUEST_ID_REUSED, "request_id")
    with pytest.raises(Problem) as caught:
        await cancel_all("BTC-USDT", request_id="no id")
    assert caught.value.code is codes.INVALID_CLIENT_ID
    assert len(venue.commands()) == 2
    theirs = await venue.orders.cancel_all(principal(8), "BTC-USDT", request_id="r")
    assert theirs.command == 3
    venue.feeds.events["BTC-USDT", 1] = [(5, AllCancelled(1, 7, 3))]
    done = await cancel_all("BTC-USDT", request_id="r", wait=True)
    assert (done.status, done.command, done.cancelled) == ("applied", 1, 3)


async def test_closing_sent_twice_at_once_cancels_everybody_once() -> None:
    venue = await Venue.open()
    close = partial(venue.orders.set_state, principal(scopes=("admin",)), "BTC-USDT", "closed")
    venue.store.gate.clear()
    both = [asyncio.create_task(close(request_id="c")) for _ in range(2)]
    while not venue.store.running:
        await asyncio.sleep(0)
    venue.store.gate.set()
    first, again = await asyncio.gather(*both)
    assert first == again
    assert first.command == 2
    assert [type(command) for command in venue.commands()] == [CancelAll, SetState]


@pytest.mark.parametrize("together", [False, True])
async def test_closing_under_a_used_request_id_cancels_nothing(together: bool) -> None:
    venue = await Venue.open()
    set_state = partial(venue.orders.set_state, principal(scopes=("admin",)), "BTC-USDT")
    halting = asyncio.create_task(set_state("halted", request_id="r"))
    await asyncio.sleep(0)
    if not together:
        await halting
    with pytest.raises(Problem) as caught:
        await set_state("closed", request_id="r")
    assert caught.value.code is codes.REQUEST_ID_REUSED
    assert (await halting).command == 1
    assert venue.commands() == [SetState(TradingState.HALTED)]


async def test_only_administrators_set_the_state() -> None:
    venue = await Venue.open()
    with pytest.raises(Problem) as caught:
        await venue.orders.set_state(principal(), "BTC-USDT", "halted")
    assert caught.value.code is codes.SCOPE_MISSING
    answer = await venue.orders.set_state(principal(scopes=("admin",)), "BTC-USDT", "cancel_only")
    assert answer.state == "cancel_only"
    assert venue.commands() == [SetState(TradingState.CANCEL_ONLY)]


async def test_an_order_that_is_being_accepted_can_be_cancelled_by_its_client_id() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    placing = asyncio.create_task(send(venue, new(client_order_id="a"), wait=True))
    await asyncio.sleep(0)
    cancelling = asyncio.create_task(send(venue, cancel(client_order_id="a")))
    await asyncio.sleep(0)
    venue.store.gate.set()
    (placed,), (cancelled,) = await asyncio.gather(placing, cancelling)
    assert ids(placed, cancelled) == ["BTC-USDT-1", "BTC-USDT-1"]
    assert [type(command) for command in venue.commands()] == [NewOrder, CancelOrder]


async def test_an_order_that_is_refused_while_it_is_waited_for_is_unknown() -> None:
    venue = await Venue.open()
    venue.store.gate.clear()
    venue.store.failures.append(BacklogFull("full"))
    placing = asyncio.create_task(send(venue, new(client_order_id="a")))
    await asyncio.sleep(0)
    cancelling = asyncio.create_task(send(venue, cancel(client_order_id="a")))
    await asyncio.sleep(0)
    venue.store.gate.set()
    (placed,), (cancelled,) = await asyncio.gather(placing, cancelling)
    assert (code(placed), code(cancelled)) == ("backlog_full", "unknown_order")


async def test_requests_that_name_each_others_orders_do_not_wait_for_each_other() -> None:
    venue = await Venue.open()
    both = asyncio.gather(
        send(
            venue, new(client_order_id="x"), cancel(client_order_id="b"), new(client_order_id="a")
        ),
        send(venue, cancel(client_order_id="a"), new(client_order_id="b")),
    )
    async with asyncio.timeout(5):
        first, second = await both
    assert code(first[1]) == "unknown_order"
    assert ids(first[2]) == ids(second[0])

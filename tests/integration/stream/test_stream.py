"""The stream as a client sees it, over real WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from gomatch.engine import CancelAll, NewOrder, OrderType, Reason, Side
from gomatch_api.stream.limits import StreamLimits
from tests.integration.stream.site import Client, Site, open_site
from tests.unit.feeds.scripted import SYMBOL
from tests.unit.stream.doubles import ChainChecker


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        await opened.begin()
        yield opened


def order(user: int, side: Side, price: int, quantity: int = 1) -> NewOrder:
    return NewOrder(user, side, OrderType.LIMIT, quantity, price)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def closed(client: Client) -> tuple[int, str]:
    """Read until the server closes; its code and reason."""
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                await client.connection.recv()
    connection = client.connection
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""


async def test_market_data_needs_no_key(site: Site) -> None:
    async with site.connect() as connection:
        client = Client(connection)
        for channel in ("depth", "trades", "ticker"):
            assert (await client.subscribe(channel, id=channel))["id"] == channel
        await site.step(order(1, Side.SELL, 100, 2), order(2, Side.BUY, 100))
        trades = await client.hear("trades")
        assert (
            trades["trades"][0] | {"price": "1", "quantity": "0.001", "side": "buy"}
            == (trades["trades"][0])
        )
        depth = await client.hear("depth")
        assert (depth["bids"], depth["asks"]) == ([], [["1", "0.001"]])
        await client.say(op="unsubscribe", channel="depth", market=SYMBOL, id=4)
        assert (await client.hear("unsubscribed"))["id"] == 4


async def test_private_streams_show_each_user_their_own(site: Site) -> None:
    async with site.connect("token1") as one, site.connect() as two:
        first, second = Client(one), Client(two)
        await second.say(op="auth", token="token2", id="a")
        assert (await second.hear())["user"] == "user2"
        for client in (first, second):
            await client.subscribe("orders")
        await site.step(order(1, Side.SELL, 100, 2), order(2, Side.BUY, 100))
        sold, bought = await first.hear("orders"), await second.hear("orders")
        assert [event["event"] for event in sold["events"]] == ["accepted", "rested", "fill"]
        assert [event["event"] for event in bought["events"]] == ["accepted", "fill"]


async def test_a_stream_resumes_without_gap_or_double(site: Site) -> None:
    checker = ChainChecker(0)
    for round_ in range(5):
        async with site.connect("token1") as connection:
            client = Client(connection)
            await client.subscribe("orders", **{"from": checker.through})
            checker.sequence = checker.through
            for price in range(100, 110):
                await site.step(order(1, Side.BUY, price), order(2, Side.BUY, price))
            while checker.through < site.market.engine.sequence - 2 * round_:
                checker.read(await client.hear("orders"))
        await site.step(order(1, Side.BUY, 90))
    async with site.connect("token1") as connection:
        client = Client(connection)
        await client.subscribe("orders", **{"from": checker.through})
        checker.sequence = checker.through
        while len(checker.events) < 2 * 55:
            checker.read(await client.hear("orders"))
    own = [
        sequence
        for sequence, event in enumerate(site.market.events, 1)
        if 1 in (getattr(event, "user", 0), getattr(getattr(event, "order", 0), "user", 0))
    ]
    assert checker.events == own


@pytest.mark.parametrize("token", ["nobody", "token1x"])
async def test_wrong_credentials_are_refused_at_the_upgrade(site: Site, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await site.connect(token)
    assert refused.value.response.status_code == 401
    assert msgspec.json.decode(refused.value.response.body or b"")["code"] == "unauthenticated"


SUBSCRIBE = '{"op": "subscribe", "market": "BTC-USDT", "channel": '
PLACE = '{"op": "place", "market": "BTC-USDT", "side": "buy", "type": "limit", '
BAD: list[tuple[str, str]] = [
    ("", "malformed_json"),
    ("{", "malformed_json"),
    ("[" * 10_000, "malformed_json"),
    ("null", "wrong_type"),
    ("[]", "wrong_type"),
    ("{}", "missing_field"),
    ('{"op": 1}', "wrong_type"),
    ('{"op": "dance"}', "invalid_value"),
    ('{"op": "ping", "id": {}}', "wrong_type"),
    ('{"op": "ping", "id": "' + "x" * 65 + '"}', "wrong_type"),
    ('{"op": "ping", "more": 1}', "unknown_field"),
    ('{"op": "ping", "id": 1, "id": 2}', "duplicate_key"),
    (SUBSCRIBE + '"candy"}', "unknown_channel"),
    (SUBSCRIBE + '"depth", "from": 1}', "field_not_allowed"),
    (SUBSCRIBE + '"orders", "from": -1}', "wrong_type"),
    (SUBSCRIBE + '"orders", "from": 1e400}', "wrong_type"),
    (SUBSCRIBE + '"orders", "from": NaN}', "malformed_json"),
    (SUBSCRIBE + '"orders", "from": 5000}', "sequence_ahead"),
    ('{"op": "subscribe", "channel": "depth", "market": "NO-SUCH"}', "unknown_market"),
    ('{"op": "subscribe", "channel": "depth"}', "missing_field"),
    ('{"op": "unsubscribe", "channel": "depth", "market": "BTC-USDT"}', "not_subscribed"),
    ('{"op": "auth", "token": "token2"}', "already_authenticated"),
    ('{"op": "place", "market": "BTC-USDT"}', "missing_field"),
    (PLACE + '"quantity": 1}', "decimal_not_string"),
    ('{"op": "batch", "items": {}}', "wrong_type"),
    ('{"op": "batch", "items": []}', "batch_size"),
    ('{"op": "cancel_all", "market": "NO-SUCH"}', "unknown_market"),
    ('{"op": "cancel_on_disconnect", "markets": ["NO-SUCH"]}', "unknown_market"),
]


@pytest.mark.parametrize(("message", "code"), BAD)
async def test_bad_messages_get_a_stable_code_and_the_stream_goes_on(
    site: Site, message: str, code: str
) -> None:
    async with site.connect("token1") as connection:
        client = Client(connection)
        await connection.send(message)
        error = await client.hear()
        assert (error["type"], error["code"]) == ("error", code)
        assert 400 <= error["status"] < 500
        await client.say(op="ping", id="still here")
        assert (await client.hear("pong"))["id"] == "still here"


async def test_what_needs_a_key_or_a_scope_is_refused_without(site: Site) -> None:
    place = {"op": "place", "market": SYMBOL, "side": "buy", "type": "limit", "quantity": "1"}
    async with site.connect() as anonymous, site.connect("reader") as reader:
        client = Client(anonymous)
        for message in (
            place,
            {"op": "batch", "items": []},
            {"op": "cancel", "order_id": "BTC-USDT-1"},
            {"op": "cancel_all", "market": SYMBOL},
            {"op": "cancel_on_disconnect"},
            {"op": "subscribe", "channel": "orders", "market": SYMBOL},
        ):
            await client.say(**message, id="x")
            error = await client.hear()
            assert (error["code"], error["id"]) == ("unauthenticated", "x")
        client = Client(reader)
        await client.say(**place)
        assert (await client.hear())["code"] == "scope_missing"
    assert site.entry.begun == []


async def test_the_same_subscription_twice_is_refused(site: Site) -> None:
    async with site.connect() as connection:
        client = Client(connection)
        await client.subscribe("trades")
        await client.say(op="subscribe", channel="trades", market=SYMBOL, id=2)
        assert (await client.hear())["code"] == "already_subscribed"


async def test_order_entry_answers_each_request_by_its_tag(site: Site) -> None:
    async with site.connect("token3") as connection:
        client = Client(connection)
        site.entry.gate.clear()
        order_ = {"market": SYMBOL, "side": "buy", "type": "limit", "quantity": "1", "price": "1"}
        for tag in range(50):
            await client.say(op="place", id=tag, **order_)
        await until(lambda: len(site.entry.begun) == 50)
        site.entry.gate.set()
        answers = [await client.hear("ack") for _ in range(50)]
        assert sorted(answer["id"] for answer in answers) == list(range(50))
        (first,) = answers[0]["results"]
        assert (first["status"], first["order"]["id"]) == (202, f"{SYMBOL}-3")
        await client.say(op="amend", id="a", order_id=f"{SYMBOL}-1", quantity="2", wait=True)
        assert (await client.hear("ack"))["results"][0]["status"] == 200
        await client.say(op="cancel_all", id="c", market=SYMBOL, request_id="r", wait=True)
        answer = await client.hear("ack")
        assert answer["id"] == "c"
        (result,) = answer["results"]
        assert (result["status"], result["request_id"]) == ("applied", "r")


async def test_in_a_batch_good_items_go_in_and_each_bad_one_says_why(site: Site) -> None:
    async with site.connect("token3") as connection:
        client = Client(connection)
        new = {"action": "new", "market": SYMBOL, "side": "buy", "type": "limit", "quantity": "1"}
        items = [
            {**new, "price": "1"},
            {**new, "side": "up"},
            {"action": "cancel", "id": "x", "y": 1},
        ]
        await client.say(op="batch", id=1, items=items)
        results = (await client.hear("ack"))["results"]
        assert [result["status"] for result in results] == [202, 422, 422]
        assert [result["problem"]["code"] for result in results[1:]] == [
            "invalid_value",
            "unknown_field",
        ]
        await client.say(op="batch", id=2, items=[new] * 501)
        assert (await client.hear())["code"] == "batch_size"


async def test_a_client_with_too_many_requests_in_flight_is_not_read_meanwhile() -> None:
    async with open_site(StreamLimits(requests=4)) as site, site.connect("token1") as connection:
        client = Client(connection)
        site.entry.gate.clear()
        for tag in range(20):
            await client.say(op="cancel", id=tag, order_id=f"{SYMBOL}-1")
        await until(lambda: len(site.entry.begun) == 4)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(site.entry.begun) == 4
        site.entry.gate.set()
        answers = [await client.hear("ack") for _ in range(20)]
        assert [answer["id"] for answer in answers] == list(range(20))


async def test_binary_messages_end_the_stream(site: Site) -> None:
    async with site.connect() as connection:
        await connection.send(b'{"op": "ping"}')
        client = Client(connection)
        closing = await client.hear()
        assert (closing["type"], closing["code"]) == ("closing", "binary_message")
        assert await closed(client) == (1003, "binary_message")


async def test_a_giant_message_ends_the_stream(site: Site) -> None:
    async with site.connect() as connection:
        await connection.send('{"op": "ping", "id": "' + "x" * 100_000 + '"}')
        assert (await closed(Client(connection)))[0] == 1009
    await until(lambda: site.hub.connections == 0)


async def test_a_client_that_keeps_sending_nonsense_is_closed(site: Site) -> None:
    async with site.connect() as connection:
        for _ in range(30):
            await connection.send("nonsense")
        assert await closed(Client(connection)) == (1008, "too_many_errors")


async def test_a_flood_is_refused_and_then_closed() -> None:
    limits = StreamLimits(messages_per_second=10)
    async with open_site(limits) as site, site.connect() as connection:
        client = Client(connection)
        for number in range(100):
            await client.say(op="ping", id=number)
        error = await client.hear("error")
        assert error["code"] == "too_many_messages"
        assert 20 <= error["id"] < 50  # a few more pass while it takes its time over those
        assert error["retry_after"] > 0
        assert await closed(client) == (1008, "too_many_messages")


async def test_a_slow_reader_is_closed_with_a_reason_and_delays_nobody() -> None:
    limits = StreamLimits(buffer=50, close_timeout=20)
    async with (
        open_site(limits) as site,
        site.connect("token1", max_queue=1) as slow,
        site.connect("token1") as quick,
    ):
        await site.begin()
        stuck, reader = Client(slow), Client(quick)
        await stuck.subscribe("orders")
        await reader.subscribe("orders")
        checker = ChainChecker(0)
        orders = [order(1, Side.BUY, 100 + number) for number in range(400)]
        while not site.count("gomatch_api_stream_closed_total", code="slow_reader"):
            await site.step(*orders)
            while checker.through < site.market.engine.sequence:
                checker.read(await reader.hear("orders"))
        assert checker.events == list(range(1, site.market.engine.sequence + 1))
        assert await closed(stuck) == (1008, "slow_reader")


async def test_a_frozen_reader_is_dropped_though_it_never_reads_again() -> None:
    limits = StreamLimits(buffer=50, close_timeout=0.2)
    async with open_site(limits) as site:
        await site.begin()
        async with site.connect("token1", max_queue=1, close_timeout=0.1) as slow:
            await Client(slow).subscribe("orders")
            orders = [order(1, Side.BUY, 100 + number) for number in range(400)]
            while not site.count("gomatch_api_stream_closed_total", code="slow_reader"):
                await site.step(*orders)
                await asyncio.sleep(0)
            await until(lambda: site.hub.connections == 0)
            await until(lambda: not site.server.server_state.connections)


async def test_heartbeats_say_how_far_each_stream_is_complete() -> None:
    async with (
        open_site(StreamLimits(heartbeat=0.05)) as site,
        site.connect("token1") as connection,
    ):
        await site.begin()
        client = Client(connection)
        for channel in ("orders", "depth", "trades", "ticker"):
            await client.subscribe(channel)
        await site.step(order(2, Side.BUY, 100))
        seen: dict[str, int] = {}
        async with asyncio.timeout(30):
            while seen != {"orders": 2, "depth": 2, "trades": 2, "ticker": 2}:
                beat = await client.hear("heartbeat")
                assert beat["prev"] == beat["sequence"] <= beat["through"]
                seen[beat["channel"]] = beat["through"]


async def test_a_revoked_key_closes_its_streams_and_no_others(site: Site) -> None:
    async with site.connect("token1") as one, site.connect("token2") as two:
        await Client(one).subscribe("orders")
        await Client(two).subscribe("orders")
        site.keys.revoke("token1")
        assert await closed(Client(one)) == (1008, "key_revoked")
        await Client(two).say(op="ping")
        assert (await Client(two).hear("pong"))["type"] == "pong"


async def test_at_shutdown_requests_are_answered_and_then_everybody_is_told() -> None:
    async with open_site() as site, site.connect("token1") as connection:
        client = Client(connection)
        site.entry.gate.clear()
        await client.say(op="cancel", id=1, order_id=f"{SYMBOL}-1")
        await until(lambda: len(site.entry.begun) == 1)
        site.server.should_exit = True
        with suppress(OSError, InvalidMessage):
            while True:
                async with site.connect():
                    await asyncio.sleep(0)
        site.entry.gate.set()
        assert (await client.hear())["type"] == "ack"
        closing = await client.hear()
        assert (closing["type"], closing["code"]) == ("closing", "shutting_down")
        assert await closed(client) == (1012, "shutting_down")


async def test_there_are_only_so_many_streams() -> None:
    async with open_site(StreamLimits(connections=3, connections_per_user=2)) as site:
        async with site.connect("token1"), site.connect("token1"):
            with pytest.raises(InvalidStatus) as refused:
                await site.connect("token1")
            assert refused.value.response.status_code == 503
            async with site.connect() as anonymous:
                client = Client(anonymous)
                await client.say(op="auth", token="token1")
                assert (await client.hear())["code"] == "too_many_connections"
                with pytest.raises(InvalidStatus):
                    await site.connect("token2")
        await until(lambda: site.hub.connections == 0)
        async with site.connect("token1"):
            pass


async def test_there_are_only_so_many_subscriptions() -> None:
    async with open_site(StreamLimits(subscriptions=1)) as site, site.connect() as connection:
        client = Client(connection)
        await client.subscribe("depth")
        await client.say(op="subscribe", channel="trades", market=SYMBOL)
        assert (await client.hear("error"))["code"] == "too_many_subscriptions"


async def test_orders_are_cancelled_when_an_armed_stream_ends(site: Site) -> None:
    async with site.connect("token1") as connection, site.connect("token2") as other:
        client, kept = Client(connection), Client(other)
        await client.say(op="cancel_on_disconnect", id=1)
        answer = await client.hear()
        assert (answer["enabled"], answer["markets"]) == (True, [SYMBOL])
        await kept.say(op="cancel_on_disconnect", markets=[SYMBOL])
        await kept.hear("cancel_on_disconnect")
        await kept.say(op="cancel_on_disconnect", enabled=False)
        assert (await kept.hear("cancel_on_disconnect"))["enabled"] is False
        assert site.table.cancelled == []
    await until(lambda: bool(site.table.cancelled))
    assert site.table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))]
    assert site.table.rows == {}


async def test_a_session_whose_cancel_is_refused_is_swept_again(site: Site) -> None:
    site.table.refuse = True
    async with site.connect("token1") as connection:
        await Client(connection).say(op="cancel_on_disconnect")
        await Client(connection).hear("cancel_on_disconnect")
    await until(lambda: any(row.expires_at == 0 for row in site.table.rows.values()))
    site.table.refuse = False
    await until(lambda: site.table.cancelled == [(1, CancelAll(1, Reason.DISCONNECT))])


async def test_another_replica_sweeps_for_one_that_died(site: Site) -> None:
    await site.table.arm("left behind", 5, [1, 99], 0)
    await site.table.expire("left behind")
    await until(lambda: site.table.cancelled == [(5, CancelAll(5, Reason.DISCONNECT))])
    assert site.table.rows == {}

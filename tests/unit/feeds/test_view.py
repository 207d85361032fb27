from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest

from gomatch.engine import (
    CancelAll,
    CancelOrder,
    Command,
    NewOrder,
    OrderType,
    SelfTrade,
    Side,
)
from gomatch.errors import CodecError, UnknownMarket
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch_api.feeds import Feeds
from gomatch_api.feeds.input import SequenceGap, StaleEpoch, Superseded
from gomatch_api.feeds.private import PrivateEvent
from tests.unit.feeds.scripted import SYMBOL, ScriptedMarket, lookup, messages
from tests.unit.matcher.flows import random_commands


def order(user: int, side: Side, price: int, quantity: int = 1) -> NewOrder:
    return NewOrder(user, side, OrderType.LIMIT, quantity, price)


class Follower:
    """Collects one user's events as they come."""

    def __init__(self) -> None:
        self.events: list[PrivateEvent] = []
        self.restarts = 0

    def on_events(self, events: list[PrivateEvent], *, through: int) -> None:
        self.events += events

    def on_restart(self, *, through: int) -> None:
        self.restarts += 1


class PublicFollower:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.restarts: list[int] = []

    def on_trades(self, text: str, *, through: int) -> None:
        self.texts.append(text)

    def on_restart(self, sequence: int) -> None:
        self.restarts.append(sequence)

    def on_depth(
        self,
        texts: list[str],
        *,
        prev: int,
        last: int,
        bids: Mapping[int, int],
        asks: Mapping[int, int],
    ) -> None:
        self.texts += texts

    def on_snapshot(self) -> None:
        self.restarts.append(0)


@pytest.mark.parametrize("seed", range(5))
async def test_the_view_follows_the_engine(seed: int) -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    commands = random_commands(seed, 400)
    for start in range(0, 400, 20):
        batch = market.step(commands[start : start + 20])
        if start == 0:
            for image in market.image():
                await feed.receive(image)
        else:
            for message in messages(batch):
                await feed.receive(message)
        view = feeds.view(SYMBOL)
        depth = view.depth()
        ticker = view.ticker()
        assert depth is not None
        assert ticker is not None
        assert depth.bids == market.engine.depth(Side.BUY)
        assert depth.asks == market.engine.depth(Side.SELL)
        assert (view.sequence, view.applied) == (market.engine.sequence, market.engine.applied)
        assert ticker.bid == (depth.bids[0] if depth.bids else None)
        assert ticker.ask == (depth.asks[0] if depth.asks else None)
        assert view.depth(2) is not None
        assert view.depth(2).bids == depth.bids[:2]  # type: ignore[union-attr]


async def test_an_empty_view_says_that_it_knows_nothing() -> None:
    view = Feeds(lookup).view(SYMBOL)
    assert view.depth() is None
    assert view.ticker() is None
    assert view.state is None
    assert view.recent_trades(10) == []
    with pytest.raises(UnknownMarket):
        Feeds(lookup).view("XRP-USDT")


async def test_what_is_missing_is_noticed_and_what_came_before_is_skipped() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    follower = Follower()
    feeds.view(SYMBOL).add_orders(1, follower)
    first = market.step([order(1, Side.BUY, 100)])
    second = market.step([order(1, Side.BUY, 101)])
    third = market.step([order(1, Side.BUY, 102)])
    for batch in (first, first, second, first):
        for message in messages(batch):
            await feed.receive(message)
    assert [event.sequence for event in follower.events] == [1, 2, 3, 4]
    market.step([order(1, Side.BUY, 103)])
    late = market.step([order(1, Side.BUY, 104)])
    with pytest.raises(SequenceGap):
        await feed.receive(messages(late)[0])
    with pytest.raises(SequenceGap):
        await feed.receive(pb.PublishRequest(heartbeat=pb.Heartbeat(sequence=6)))
    await feed.receive(messages(third)[0])
    assert [event.sequence for event in follower.events] == [1, 2, 3, 4, 5, 6]


async def test_an_old_leader_is_refused_and_a_new_stream_ends_the_one_before() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    old = feeds.open(SYMBOL, 4)
    new = feeds.open(SYMBOL, 5)
    batch = messages(market.step([order(1, Side.BUY, 100)]))[0]
    with pytest.raises(Superseded):
        await old.receive(batch)
    with pytest.raises(StaleEpoch):
        feeds.open(SYMBOL, 4)
    feeds.close(SYMBOL, old)
    assert feeds.view(SYMBOL).connected
    await new.receive(batch)
    feeds.close(SYMBOL, new)
    assert not feeds.view(SYMBOL).connected


async def test_a_stream_cut_inside_a_batch_goes_on_where_it_stopped() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    follower = Follower()
    feeds.view(SYMBOL).add_orders(1, follower)
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    batch = market.step([order(1, Side.BUY, 1_000 + n) for n in range(40_000)])
    parts = messages(batch)
    assert len(parts) > 2
    await feed.receive(parts[0])
    again = feeds.open(SYMBOL, 1)
    assert again.hello() == pb.Hello(last_sequence=parts[0].batch.last_sequence, has_depth=False)
    for part in parts:
        await again.receive(part)
    assert [event.sequence for event in follower.events] == list(range(1, 80_001))
    assert again.hello() == pb.Hello(last_sequence=80_000, has_depth=True)
    assert feeds.view(SYMBOL).depth(1).bids == [(40_999, 1)]  # type: ignore[union-attr]


async def test_events_alone_leave_the_book_as_it_was_until_an_image_comes() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    market.step([order(1, Side.BUY, 100)])
    for image in market.image():
        await feed.receive(image)
    row = messages(market.step([order(1, Side.BUY, 101)]))[0]
    row.batch.ClearField("summary")
    row.batch.ClearField("levels")
    await feed.receive(row)
    view = feeds.view(SYMBOL)
    assert view.sequence == 4
    assert view.depth().sequence == 2  # type: ignore[union-attr]
    assert not feed.hello().has_depth
    for image in market.image(restart=False):
        await feed.receive(image)
    assert feed.hello() == pb.Hello(last_sequence=4, has_depth=True)
    assert view.depth().bids == [(101, 1), (100, 1)]  # type: ignore[union-attr]


async def test_after_a_restart_no_trades_are_told_as_the_newest_with_a_hole_in_them() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)

    def trade() -> list[pb.PublishRequest]:
        return messages(market.step([order(1, Side.SELL, 100), order(2, Side.BUY, 100)]))

    for part in trade():
        await feed.receive(part)
    trade()
    for image in market.image():
        await feed.receive(image)
    for part in trade():
        await feed.receive(part)
    view = feeds.view(SYMBOL)
    assert [seen.sequence for seen in view.recent_trades(10)] == [market.engine.sequence]


async def test_a_restart_tells_every_listener() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    view = feeds.view(SYMBOL)
    private, public = Follower(), PublicFollower()
    view.add_orders(1, private)
    view.add_trades(public)
    view.add_depth(public)
    market.step([order(1, Side.BUY, 100)])
    feed = feeds.open(SYMBOL, 1)
    for image in market.image():
        await feed.receive(image)
    assert private.restarts == 1
    assert public.restarts == [2, 0]


async def test_everybody_sees_their_own_events_and_nobody_elses() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    followers = {user: Follower() for user in (1, 2, 3)}
    for user, follower in followers.items():
        feeds.view(SYMBOL).add_orders(user, follower)
    commands = random_commands(11, 600)
    batch = market.step(commands)
    for message in messages(batch):
        await feed.receive(message)
    owner = {
        number: command.user
        for number, command in enumerate(commands, 1)
        if isinstance(command, NewOrder)
    }
    asked = {
        number: command.user
        for number, command in enumerate(commands, 1)
        if hasattr(command, "user")
    }
    foreign = {"user", "maker_user", "taker_user", "maker_order", "taker_order"}
    for user, follower in followers.items():
        concerned = [
            sequence
            for sequence, event in enumerate(market.events, 1)
            if user
            in (
                getattr(event, "user", None),
                getattr(event, "maker_user", None),
                getattr(event, "taker_user", None),
                getattr(getattr(event, "order", None), "user", None),
            )
        ]
        assert sorted({event.sequence for event in follower.events}) == concerned
        for event in follower.events:
            text = json.loads(msgspec.json.encode(event))
            assert not foreign & set(text)
            number = int(text["order_id"].rpartition("-")[2]) if text.get("order_id") else None
            if text["event"] == "rejected":
                assert asked[text["number"]] == user
            elif number is not None:
                assert owner[number] == user


async def test_nobody_learns_from_a_trade_who_was_on_the_other_side() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    maker, taker, public = Follower(), Follower(), PublicFollower()
    view = feeds.view(SYMBOL)
    view.add_orders(1, maker)
    view.add_orders(2, taker)
    view.add_trades(public)
    feed = feeds.open(SYMBOL, 1)
    batch = market.step([order(1, Side.SELL, 10_000, 5), order(2, Side.BUY, 10_001, 2)])
    for message in messages(batch):
        await feed.receive(message)
    fields = {"id": 4, "price": "100", "quantity": "0.002", "fee_asset": "USDT"}
    made = json.loads(msgspec.json.encode(maker.events[-1]))
    took = json.loads(msgspec.json.encode(taker.events[-1]))
    assert made | fields == made
    assert took | fields == took
    assert (made["order_id"], made["side"], made["role"], made["remaining"], made["fee"]) == (
        f"{SYMBOL}-1", "sell", "maker", "0.003", "0.0002",
    )  # fmt: skip
    assert (took["order_id"], took["side"], took["role"], took["remaining"], took["fee"]) == (
        f"{SYMBOL}-2", "buy", "taker", "0", "0.0004",
    )  # fmt: skip
    (text,) = public.texts
    message = json.loads(text)
    assert set(message["trades"][0]) == {"id", "price", "quantity", "side", "time"}
    assert message["trades"][0]["side"] == "buy"
    assert [trade.sequence for trade in view.recent_trades(5)] == [4]


async def test_a_trade_with_oneself_gives_two_fills() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    follower = Follower()
    feeds.view(SYMBOL).add_orders(1, follower)
    feed = feeds.open(SYMBOL, 1)
    commands: list[Command] = [
        NewOrder(1, Side.SELL, OrderType.LIMIT, 1, 100, self_trade=SelfTrade.NONE),
        NewOrder(1, Side.BUY, OrderType.LIMIT, 1, 100, self_trade=SelfTrade.NONE),
    ]
    for message in messages(market.step(commands)):
        await feed.receive(message)
    fills = [json.loads(msgspec.json.encode(event)) for event in follower.events[-2:]]
    assert [fill["role"] for fill in fills] == ["maker", "taker"]
    assert fills[0]["sequence"] == fills[1]["sequence"]


async def test_cancels_by_the_venue_reach_the_owner() -> None:
    market, feeds = ScriptedMarket(), Feeds(lookup)
    follower = Follower()
    feeds.view(SYMBOL).add_orders(1, follower)
    feed = feeds.open(SYMBOL, 1)
    batch = market.step([order(1, Side.BUY, 100), CancelAll(0), CancelOrder(1, 99)])
    for message in messages(batch):
        await feed.receive(message)
    kinds = [json.loads(msgspec.json.encode(event)) for event in follower.events]
    assert [kind["event"] for kind in kinds] == ["accepted", "rested", "cancelled", "rejected"]
    assert kinds[3]["reason"] == "unknown_order"


@pytest.mark.parametrize(
    "request_",
    [
        pb.PublishRequest(batch=pb.Batch(first_sequence=1, last_sequence=5, events=b"\x01garbage")),
        pb.PublishRequest(depth_image=pb.DepthImage(levels=[1, 2], complete=True)),
        pb.PublishRequest(
            depth_image=pb.DepthImage(complete=True, restart=True, summary=pb.Summary(state=77))
        ),
    ],
)
async def test_nonsense_changes_nothing(request_: pb.PublishRequest) -> None:
    feeds = Feeds(lookup)
    feed = feeds.open(SYMBOL, 1)
    with pytest.raises(CodecError):
        await feed.receive(request_)
    view = feeds.view(SYMBOL)
    assert (view.sequence, view.depth(), view.ticker()) == (0, None, None)

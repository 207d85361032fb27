"""The mirror, written batch by batch behind a real engine, is that engine's book."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from gomatch.cache import BookMirror, MirrorImage, MirrorUpdate
from gomatch.engine import (
    Engine,
    Event,
    Image,
    NewOrder,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
    Traded,
    TradingState,
)
from gomatch.messages.codec import pack_header, pack_order, unpack_header, unpack_order
from tests.unit.cache.books import chain_at
from tests.unit.matcher.flows import random_commands

Place = tuple[int, int, int]


class Follower:
    """Turns what the engine drains into updates, knowing where each order stood before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places: dict[int, Place] = {}
        self._sequence = engine.sequence

    def image(self) -> MirrorImage:
        engine = self._engine
        return MirrorImage(
            epoch=1,
            sequence=engine.sequence,
            chain=chain_at(engine.sequence),
            applied=engine.applied,
            header=pack_header(engine.header()),
            state=engine.state,
            last_price=engine.last_price,
            orders={order.number: pack_order(order) for order in engine.image().orders},
            book=[
                (order.side, order.price, order.priority, order.number)
                for order in engine.image().orders
                if order.priority
            ],
            bids=dict(engine.depth(Side.BUY)),
            asks=dict(engine.depth(Side.SELL)),
        )

    def update(self) -> MirrorUpdate:
        engine = self._engine
        changes = engine.drain()
        open_orders = {n: engine.order(n) for n in changes.orders}
        places = {
            n: (int(order.side), order.price, order.priority)
            for n, order in open_orders.items()
            if order is not None and order.priority
        }
        moved = [n for n in changes.orders if self._places.get(n) != places.get(n)]
        expected, self._sequence = self._sequence, engine.sequence
        update = MirrorUpdate(
            epoch=1,
            expected_sequence=expected,
            expected_chain=chain_at(expected),
            sequence=engine.sequence,
            chain=chain_at(engine.sequence),
            applied=engine.applied,
            header=pack_header(engine.header()),
            state=engine.state,
            last_price=engine.last_price,
            orders_set={n: pack_order(o) for n, o in open_orders.items() if o is not None},
            orders_removed=[n for n, order in open_orders.items() if order is None],
            book_set=[(*places[n], n) for n in moved if n in places],
            book_removed=[(*self._places[n], n) for n in moved if n in self._places],
            bids=changes.bids,
            asks=changes.asks,
        )
        for number in moved:
            self._places.pop(number, None)
        self._places.update({n: places[n] for n in moved if n in places})
        return update


def order_of_trading(image: Image, side: Side) -> list[int]:
    """The orders of ``side`` in the order in which one large taker meets them."""
    header = structs.replace(image.header, state=TradingState.RUNNING)
    engine = Engine.restore(Image(header, [o for o in image.orders if o.side is side]))
    price = 1 if side is Side.BUY else header.config.max_price
    taker = NewOrder(
        99,
        Side.SELL if side is Side.BUY else Side.BUY,
        OrderType.LIMIT,
        10_000,
        price,
        TimeInForce.IOC,
        self_trade=SelfTrade.NONE,
    )
    events: list[Event] = []
    engine.apply(engine.applied + 1, taker, events)
    makers = [event.maker_order for event in events if isinstance(event, Traded)]
    return list(dict.fromkeys(makers))


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60))
async def test_orders_stand_in_the_mirror_as_the_engine_would_trade_them(
    mirror: BookMirror, seed: int, size: int
) -> None:
    await mirror.delete()
    engine = Engine()
    follower = Follower(engine)
    await mirror.rebuild(follower.image())
    commands = random_commands(seed, 300)
    events: list[Event] = []
    for start in range(0, len(commands), size):
        engine.advance(start * 10, events)
        for number, command in enumerate(commands[start : start + size], start + 1):
            engine.apply(number, command, events)
        await mirror.write(follower.update())

    held = await mirror.contents()
    assert held is not None
    image = engine.image()
    assert (
        Image(
            unpack_header(held.header), [unpack_order(held.orders[n]) for n in sorted(held.orders)]
        )
        == image
    )
    assert sorted(held.bid_levels.items(), reverse=True) == engine.depth(Side.BUY)
    assert sorted(held.ask_levels.items()) == engine.depth(Side.SELL)
    assert [number for *_, number in held.bids] == order_of_trading(image, Side.BUY)
    assert [number for *_, number in held.asks] == order_of_trading(image, Side.SELL)

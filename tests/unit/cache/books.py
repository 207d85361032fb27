"""States of a market to mirror, without an engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from gomatch.cache import MirrorImage, MirrorUpdate
from gomatch.engine import (
    ImageHeader,
    MarketConfig,
    OrderImage,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
    TradingState,
)
from gomatch.messages.codec import pack_header, pack_order

SYMBOL = "BTC-USDT"


def order(number: int, side: Side = Side.BUY, price: int = 100, lots: int = 10) -> OrderImage:
    return OrderImage(
        number=number,
        user=1,
        side=side,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        self_trade=SelfTrade.DEFAULT,
        post_only=False,
        price=price,
        stop_price=0,
        display=0,
        expiry=0,
        quantity=lots,
        remaining=lots,
        filled=0,
        displayed=lots,
        value=0,
        priority=number,
        triggered=False,
        client_order_id="",
    )


def chain_at(sequence: int) -> bytes:
    return sha256(sequence.to_bytes(8)).digest()


def header_at(sequence: int) -> bytes:
    return pack_header(
        ImageHeader(
            time=sequence,
            applied=sequence,
            sequence=sequence,
            state=TradingState.RUNNING,
            last_price=100,
            next_priority=sequence + 1,
            config=MarketConfig(),
        )
    )


def image_of(orders: Iterable[OrderImage], *, sequence: int, epoch: int = 1) -> MirrorImage:
    resting = list(orders)
    levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    for each in resting:
        side = levels[each.side]
        side[each.price] = side.get(each.price, 0) + each.displayed
    return MirrorImage(
        epoch=epoch,
        sequence=sequence,
        chain=chain_at(sequence),
        applied=sequence,
        header=header_at(sequence),
        state=TradingState.RUNNING,
        last_price=100,
        orders={each.number: pack_order(each) for each in resting},
        book=[(each.side, each.price, each.priority, each.number) for each in resting],
        bids=levels[Side.BUY],
        asks=levels[Side.SELL],
    )


def image_of_size(count: int, *, sequence: int | None = None, epoch: int = 1) -> MirrorImage:
    """``count`` resting orders on both sides, over a few hundred levels."""
    orders = (
        order(n, Side.BUY, 10_000 - n % 300) if n % 2 else order(n, Side.SELL, 10_001 + n % 300)
        for n in range(1, count + 1)
    )
    return image_of(orders, sequence=count if sequence is None else sequence, epoch=epoch)


def nothing_after(sequence: int, *, epoch: int = 1, by: int = 1) -> MirrorUpdate:
    """An update without changes, from ``sequence`` on."""
    return MirrorUpdate(
        epoch=epoch,
        expected_sequence=sequence,
        expected_chain=chain_at(sequence),
        sequence=sequence + by,
        chain=chain_at(sequence + by),
        applied=sequence + by,
        header=header_at(sequence + by),
        state=TradingState.RUNNING,
        last_price=100,
        orders_set={},
        orders_removed=[],
        book_set=[],
        book_removed=[],
        bids={},
        asks={},
    )


def one_more(new: OrderImage, displayed: int, *, sequence: int, epoch: int = 1) -> MirrorUpdate:
    """``new`` comes to rest; its level then shows ``displayed``."""
    level = {new.price: displayed}
    return replace(
        nothing_after(sequence, epoch=epoch),
        orders_set={new.number: pack_order(new)},
        book_set=[(new.side, new.price, new.priority, new.number)],
        bids=level if new.side is Side.BUY else {},
        asks=level if new.side is Side.SELL else {},
    )


def all_cancelled(image: MirrorImage) -> MirrorUpdate:
    return replace(
        nothing_after(image.sequence, by=len(image.orders)),
        orders_removed=list(image.orders),
        book_removed=image.book,
        bids=dict.fromkeys(image.bids, 0),
        asks=dict.fromkeys(image.asks, 0),
    )

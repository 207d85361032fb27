"""Public messages of the stream. Each is encoded once for all who subscribe; nothing in them
tells users or orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gomatch.engine import Side, TradingState
from gomatch_api.feeds.depth import DepthSnapshot
from gomatch_api.feeds.private import SIDE
from gomatch_api.feeds.texts import MarketTexts
from gomatch_api.times import format_time

LEVELS_PER_MESSAGE = 10_000
"""A message with more levels is sent in parts, so that common clients' size limits hold."""

_encode = msgspec.json.Encoder().encode


def state_name(state: TradingState) -> str:
    """The trading state as the API writes it."""
    return state.name.lower()


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """``sequence`` is the trade's id; price in ticks, quantity in lots, time in microseconds."""

    sequence: int
    price: int
    quantity: int
    taker_side: Side
    time: int


@dataclass(frozen=True, slots=True)
class Ticker:
    """The market in one line. Prices are ticks, quantities lots; None where there is none."""

    sequence: int
    time: int
    state: TradingState
    last_price: int | None
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    indicative_price: int | None
    indicative_volume: int | None


class TradeBody(msgspec.Struct, gc=False):
    id: int
    price: str
    quantity: str
    side: str
    time: str


class TradesMessage(msgspec.Struct, tag_field="type", tag="trades", gc=False):
    market: str
    prev: int
    sequence: int
    through: int
    trades: list[TradeBody]


class DepthMessage(
    msgspec.Struct, tag_field="type", tag="depth", gc=False, omit_defaults=True, kw_only=True
):
    """``more``: the levels of this change go on in the next message."""

    market: str
    prev: int
    first: int
    last: int
    sequence: int
    through: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    more: bool = False


class DepthSnapshotMessage(
    msgspec.Struct,
    tag_field="type",
    tag="depth_snapshot",
    gc=False,
    omit_defaults=True,
    kw_only=True,
):
    market: str
    sequence: int
    through: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    more: bool = False


class TickerMessage(msgspec.Struct, tag_field="type", tag="ticker", gc=False, kw_only=True):
    market: str
    prev: int
    sequence: int
    through: int
    time: str
    state: str
    last: str | None
    bid: str | None
    bid_quantity: str | None
    ask: str | None
    ask_quantity: str | None
    indicative_price: str | None
    indicative_volume: str | None


def trades_text(
    trades: Sequence[PublicTrade], *, prev: int, through: int, texts: MarketTexts
) -> str:
    time = format_time(trades[0].time) if trades else ""
    bodies = [
        TradeBody(
            trade.sequence,
            texts.prices[trade.price],
            texts.quantities[trade.quantity],
            SIDE[trade.taker_side],
            time if trade.time == trades[0].time else format_time(trade.time),
        )
        for trade in trades
    ]
    sequence = trades[-1].sequence if trades else prev
    return _encode(TradesMessage(texts.symbol, prev, sequence, through, bodies)).decode()


def depth_texts(
    bids: Mapping[int, int], asks: Mapping[int, int], *, prev: int, last: int, texts: MarketTexts
) -> list[str]:
    """The messages that bring a book from ``prev`` to ``last``; one but for very many levels.
    Those with ``more`` leave the sequence where it was."""
    return [
        _encode(
            DepthMessage(
                market=texts.symbol,
                prev=prev,
                first=prev + 1,
                last=last,
                sequence=prev if more else last,
                through=prev if more else last,
                bids=part_bids,
                asks=part_asks,
                more=more,
            )
        ).decode()
        for part_bids, part_asks, more in _parts(
            texts.levels(list(bids.items())), texts.levels(list(asks.items()))
        )
    ]


def snapshot_texts(snapshot: DepthSnapshot, *, changed: int, texts: MarketTexts) -> list[str]:
    """``changed`` is the sequence of the last change of the book: the next delta's prev."""
    return [
        _encode(
            DepthSnapshotMessage(
                market=texts.symbol,
                sequence=changed,
                through=snapshot.sequence,
                bids=part_bids,
                asks=part_asks,
                more=more,
            )
        ).decode()
        for part_bids, part_asks, more in _parts(
            texts.levels(snapshot.bids), texts.levels(snapshot.asks)
        )
    ]


def ticker_text(ticker: Ticker, *, prev: int, texts: MarketTexts) -> str:
    bid, ask = ticker.bid, ticker.ask
    prices, quantities = texts.prices, texts.quantities
    return _encode(
        TickerMessage(
            market=texts.symbol,
            prev=prev,
            sequence=ticker.sequence,
            through=ticker.sequence,
            time=format_time(ticker.time),
            state=state_name(ticker.state),
            last=texts.optional_price(ticker.last_price or 0),
            bid=prices[bid[0]] if bid else None,
            bid_quantity=quantities[bid[1]] if bid else None,
            ask=prices[ask[0]] if ask else None,
            ask_quantity=quantities[ask[1]] if ask else None,
            indicative_price=texts.optional_price(ticker.indicative_price or 0),
            indicative_volume=quantities[ticker.indicative_volume]
            if ticker.indicative_volume
            else None,
        )
    ).decode()


_TextLevels = list[tuple[str, str]]


def _parts(bids: _TextLevels, asks: _TextLevels) -> Iterator[tuple[_TextLevels, _TextLevels, bool]]:
    """Slices of at most LEVELS_PER_MESSAGE levels, bids before asks, and whether more follow."""
    limit = LEVELS_PER_MESSAGE
    while len(bids) + len(asks) > limit:
        head_bids = bids[:limit]
        room = limit - len(head_bids)
        yield head_bids, asks[:room], True
        bids, asks = bids[limit:], asks[room:]
    yield bids, asks, False

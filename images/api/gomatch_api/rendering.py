"""From rows, commands and views to the JSON answers."""

from __future__ import annotations

from typing import cast

from gomatch.engine import NewOrder, OrderType, SelfTrade, Side, TimeInForce
from gomatch.messages.decimals import format_decimal, format_ratio
from gomatch.messages.market import SelfTradeName
from gomatch.store.records import OrderRecord, OrderStatus, TradeRecord
from gomatch_api.feeds.depth import DepthSnapshot
from gomatch_api.feeds.public import PublicTrade, state_name
from gomatch_api.feeds.public import Ticker as ViewTicker
from gomatch_api.feeds.view import MarketView
from gomatch_api.markets import Market
from gomatch_api.requests import SideName, StateName, TimeInForceName, TypeName
from gomatch_api.responses import (
    Depth,
    Fill,
    MarketInfo,
    Order,
    StatusName,
    Ticker,
    Trade,
)
from gomatch_api.times import format_time

_SIDES: dict[int, SideName] = {Side.BUY: "buy", Side.SELL: "sell"}
_TYPES: dict[int, TypeName] = {
    OrderType.LIMIT: "limit",
    OrderType.MARKET: "market",
    OrderType.STOP: "stop",
    OrderType.STOP_LIMIT: "stop_limit",
}
_TIMES_IN_FORCE: dict[int, TimeInForceName] = {
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.GTD: "gtd",
}
_SELF_TRADES: dict[int, SelfTradeName | None] = {
    SelfTrade.DEFAULT: None,
    SelfTrade.NONE: "none",
    SelfTrade.CANCEL_NEWEST: "cancel_newest",
    SelfTrade.CANCEL_OLDEST: "cancel_oldest",
    SelfTrade.CANCEL_BOTH: "cancel_both",
    SelfTrade.DECREMENT: "decrement",
}
_STATUSES: dict[int, StatusName] = {
    OrderStatus.OPEN: "open",
    OrderStatus.PARTIALLY_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.EXPIRED: "expired",
    OrderStatus.REJECTED: "rejected",
    OrderStatus.WAITING: "waiting",
}
STATUS_NAMES = {name: OrderStatus(status) for status, name in _STATUSES.items()}


def order_of(row: OrderRecord, market: Market) -> Order:
    texts = market.texts
    return Order(
        id=f"{texts.prefix}{row.number}",
        client_order_id=row.client_order_id or None,
        market=market.symbol,
        side=_SIDES[row.side],
        type=_TYPES[row.type],
        time_in_force=_TIMES_IN_FORCE[row.time_in_force],
        price=texts.optional_price(row.price),
        stop_price=texts.optional_price(row.stop_price),
        quantity=texts.quantities[row.quantity],
        display_quantity=texts.quantities[row.display] if row.display else None,
        post_only=row.post_only,
        self_trade_prevention=_SELF_TRADES[row.self_trade],
        expires_at=format_time(row.expiry) if row.expiry else None,
        status=_STATUSES[row.status],
        reason=row.reason or None,
        filled=texts.quantities[row.filled],
        remaining=texts.quantities[row.remaining],
        cancelled=texts.quantities[row.quantity - row.filled - row.remaining],
        average_price=format_ratio(row.value, row.filled, market.tick) if row.filled else None,
        accepted_at=format_time(row.accepted_at),
        updated_at=format_time(row.updated_at),
    )


def pending_order(command: NewOrder, number: int, accepted_at: int, market: Market) -> Order:
    """An order that is accepted and not yet applied."""
    texts = market.texts
    return Order(
        id=f"{texts.prefix}{number}",
        client_order_id=command.client_order_id or None,
        market=market.symbol,
        side=_SIDES[command.side],
        type=_TYPES[command.type],
        time_in_force=_TIMES_IN_FORCE[command.time_in_force],
        price=texts.optional_price(command.price),
        stop_price=texts.optional_price(command.stop_price),
        quantity=texts.quantities[command.quantity],
        display_quantity=texts.quantities[command.display] if command.display else None,
        post_only=command.post_only,
        self_trade_prevention=_SELF_TRADES[command.self_trade],
        expires_at=format_time(command.expiry) if command.expiry else None,
        status="pending",
        reason=None,
        filled="0",
        remaining=texts.quantities[command.quantity],
        cancelled="0",
        average_price=None,
        accepted_at=format_time(accepted_at),
        updated_at=format_time(accepted_at),
    )


def fills_of(row: TradeRecord, user: int, market: Market) -> list[Fill]:
    """The user's sides of a trade: two where self-trade prevention is off."""
    texts = market.texts
    taker, maker = _SIDES[row.taker_side], _SIDES[3 - row.taker_side]
    fills = []
    for role, owner, order, side, fee in (
        ("taker", row.taker_user, row.taker_order, taker, row.taker_fee),
        ("maker", row.maker_user, row.maker_order, maker, row.maker_fee),
    ):
        if owner == user:
            fills.append(
                Fill(
                    id=f"{texts.prefix}{row.sequence}",
                    market=market.symbol,
                    order_id=f"{texts.prefix}{order}",
                    side=side,
                    role="taker" if role == "taker" else "maker",
                    price=texts.prices[row.price],
                    quantity=texts.quantities[row.quantity],
                    fee=texts.fee(fee),
                    fee_asset=texts.quote,
                    time=format_time(row.time),
                )
            )
    return fills


def trade_of(row: TradeRecord, market: Market) -> Trade:
    return _trade(market, row.sequence, row.price, row.quantity, row.taker_side, row.time)


def public_trade(trade: PublicTrade, market: Market) -> Trade:
    return _trade(market, trade.sequence, trade.price, trade.quantity, trade.taker_side, trade.time)


def market_of(market: Market, view: MarketView) -> MarketInfo:
    """The view is newer than the head while a matcher is connected."""
    definition, config, head, texts = market.definition, market.config, market.head, market.texts
    state, last_price = head.state, head.last_price
    if view.summary is not None and view.sequence >= head.sequence:
        state, last_price = view.summary.state, view.summary.last_price
    return MarketInfo(
        market=market.symbol,
        base=definition.base,
        quote=definition.quote,
        tick_size=format_decimal(market.tick),
        lot_size=format_decimal(market.lot),
        min_quantity=texts.quantities[config.min_quantity],
        max_quantity=texts.quantities[config.max_quantity],
        max_price=texts.prices[config.max_price],
        min_notional=definition.min_notional,
        self_trade_prevention=definition.self_trade_prevention,
        price_band_mode=definition.price_band_mode,
        price_band=definition.price_band,
        maker_fee=definition.maker_fee,
        taker_fee=definition.taker_fee,
        max_open_orders=config.max_open_orders or None,
        state=cast("StateName", state_name(state)),
        last_price=texts.optional_price(last_price),
        accepted=max(head.accepted, view.applied),
        applied=max(head.applied, view.applied),
        sequence=max(head.sequence, view.sequence),
    )


def depth_of(snapshot: DepthSnapshot, market: Market, view: MarketView) -> Depth:
    state = view.state or market.head.state
    return Depth(
        market=market.symbol,
        sequence=snapshot.sequence,
        state=cast("StateName", state_name(state)),
        bids=market.texts.levels(snapshot.bids),
        asks=market.texts.levels(snapshot.asks),
    )


def ticker_of(ticker: ViewTicker, market: Market) -> Ticker:
    texts, bid, ask = market.texts, ticker.bid, ticker.ask
    return Ticker(
        market=market.symbol,
        sequence=ticker.sequence,
        time=format_time(ticker.time),
        state=cast("StateName", state_name(ticker.state)),
        last=texts.optional_price(ticker.last_price or 0),
        bid=texts.prices[bid[0]] if bid else None,
        bid_quantity=texts.quantities[bid[1]] if bid else None,
        ask=texts.prices[ask[0]] if ask else None,
        ask_quantity=texts.quantities[ask[1]] if ask else None,
        indicative_price=texts.optional_price(ticker.indicative_price or 0),
        indicative_volume=texts.quantities[ticker.indicative_volume or 0]
        if ticker.indicative_volume
        else None,
    )


def _trade(
    market: Market, sequence: int, price: int, quantity: int, side: Side, time: int
) -> Trade:
    return Trade(
        id=sequence,
        market=market.symbol,
        price=market.texts.prices[price],
        quantity=market.texts.quantities[quantity],
        side=_SIDES[side],
        time=format_time(time),
    )

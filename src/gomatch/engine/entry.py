"""What an order and a configuration must be like to be taken at all (docs/matching-rules.md).

Every value here may come from a hostile sender; nothing is assumed but its type.
"""

from __future__ import annotations

from gomatch.engine.commands import NewOrder
from gomatch.engine.types import (
    NOTIONAL_LIMIT,
    RATE_SCALE,
    RULES_VERSION,
    BandMode,
    MarketConfig,
    OrderType,
    Reason,
    SelfTrade,
    TimeInForce,
)

USER_LIMIT = (1 << 63) - 1
"""Largest user id."""
EXPIRY_LIMIT = 253_402_300_799_999_999
"""The last microsecond of the year 9999, the last that RFC 3339 can write."""
QUANTITY_LIMIT = 1_000_000_000_000
"""Largest ``max_quantity``, so that the sum over any book that fits memory fits 64 bits."""
BAND_LIMIT = 100 * RATE_SCALE
"""Widest price band, in billionths of the reference."""
OPEN_ORDERS_LIMIT = 1_000_000_000
"""Largest ``max_open_orders``."""
ICEBERG_SLICES = 100
"""Slices that an iceberg may have, so that one order is a bounded number of trades."""


def configuration_fault(config: MarketConfig) -> str | None:
    """What is wrong with the configuration, or None."""
    checks = (
        (1 <= config.min_quantity <= config.max_quantity <= QUANTITY_LIMIT, "quantity limits"),
        (config.max_price >= 1, "max_price"),
        (config.max_price * config.max_quantity <= NOTIONAL_LIMIT, "max_price"),
        (0 <= config.min_notional <= config.max_price * config.max_quantity, "min_notional"),
        (config.self_trade is not SelfTrade.DEFAULT, "self_trade"),
        (0 <= config.band <= BAND_LIMIT, "band"),
        (config.band_mode is BandMode.NONE or config.band > 0, "band"),
        (0 <= config.reference_price <= config.max_price, "reference_price"),
        (-RATE_SCALE <= config.maker_fee <= RATE_SCALE, "maker_fee"),
        (-RATE_SCALE <= config.taker_fee <= RATE_SCALE, "taker_fee"),
        (0 <= config.max_open_orders <= OPEN_ORDERS_LIMIT, "max_open_orders"),
        (config.rules_version == RULES_VERSION, "rules_version"),
    )
    return next((field for fine, field in checks if not fine), None)


def quantity_fault(quantity: int, config: MarketConfig) -> Reason | None:
    if quantity <= 0:
        return Reason.INVALID_QUANTITY
    if quantity < config.min_quantity:
        return Reason.QUANTITY_TOO_SMALL
    if quantity > config.max_quantity:
        return Reason.QUANTITY_TOO_LARGE
    return None


def price_fault(price: int, config: MarketConfig) -> Reason | None:
    if price <= 0:
        return Reason.INVALID_PRICE
    if price > config.max_price:
        return Reason.PRICE_TOO_HIGH
    return None


def display_fault(display: int, quantity: int) -> Reason | None:
    """``display`` and the order's whole ``quantity``, in lots; display 0 means all of it."""
    if display == 0 or 0 < display <= quantity <= display * ICEBERG_SLICES:
        return None
    return Reason.INVALID_DISPLAY


def order_fault(order: NewOrder, config: MarketConfig, time: int) -> Reason | None:
    """The first thing that is wrong with a new order taken for itself, or None.

    ``time`` is the engine's, in microseconds. What depends on the book is judged afterwards.
    """
    if not 0 < order.user <= USER_LIMIT:
        return Reason.INVALID_ORDER
    return (
        quantity_fault(order.quantity, config)
        or _prices_fault(order, config)
        or _combination_fault(order)
        or display_fault(order.display, order.quantity)
        or _expiry_fault(order, time)
        or notional_fault(order, config)
    )


def _prices_fault(order: NewOrder, config: MarketConfig) -> Reason | None:
    if order.type is OrderType.LIMIT or order.type is OrderType.STOP_LIMIT:
        fault = price_fault(order.price, config)
        if fault is not None:
            return fault
    elif order.price != 0:
        return Reason.INVALID_PRICE
    if order.type >= OrderType.STOP:
        if not 0 < order.stop_price <= config.max_price:
            return Reason.INVALID_STOP_PRICE
    elif order.stop_price != 0:
        return Reason.INVALID_STOP_PRICE
    return None


def _combination_fault(order: NewOrder) -> Reason | None:
    immediate = order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}
    if order.type is OrderType.MARKET and not immediate:
        return Reason.INVALID_ORDER
    limited = order.type is OrderType.LIMIT or order.type is OrderType.STOP_LIMIT
    if order.post_only and (immediate or not limited):
        return Reason.INVALID_ORDER
    if order.display != 0 and (immediate or not limited):
        return Reason.INVALID_DISPLAY
    return None


def _expiry_fault(order: NewOrder, time: int) -> Reason | None:
    if order.time_in_force is not TimeInForce.GTD:
        return Reason.INVALID_EXPIRY if order.expiry != 0 else None
    return expiry_fault(order.expiry, time)


def expiry_fault(expiry: int, time: int) -> Reason | None:
    """``expiry`` and ``time`` in microseconds since the epoch."""
    if not 0 < expiry <= EXPIRY_LIMIT:
        return Reason.INVALID_EXPIRY
    if expiry <= time:
        return Reason.EXPIRED
    return None


def notional_fault(order: NewOrder, config: MarketConfig) -> Reason | None:
    if order.price and order.price * order.quantity < config.min_notional:
        return Reason.NOTIONAL_TOO_SMALL
    return None

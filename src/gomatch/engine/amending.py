"""Judging an amend: what the order would become, or why not (docs/matching-rules.md)."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.engine.commands import AmendOrder
from gomatch.engine.entry import (
    display_fault,
    expiry_fault,
    price_fault,
    quantity_fault,
)
from gomatch.engine.order import Order
from gomatch.engine.types import MarketConfig, OrderType, Reason, TimeInForce


@dataclass(slots=True, frozen=True)
class Amendment:
    """The order's terms after the amend; quantities in lots, prices in ticks."""

    quantity: int
    remaining: int
    price: int
    display: int
    stop_price: int
    expiry: int
    keeps_priority: bool
    """Whether it is nothing but a reduction."""
    repriced: bool


def judge(order: Order, command: AmendOrder, config: MarketConfig, time: int) -> Amendment | Reason:
    """What ``command`` makes of the open ``order``, or the first thing that is wrong with it.

    A field that is 0, or that the order has already, is not amended. ``time`` in microseconds.
    """
    quantity = command.quantity or order.quantity
    price = command.price or order.price
    display = command.display or order.display
    stop_price = command.stop_price or order.stop_price
    expiry = command.expiry or order.expiry
    repriced = price != order.price
    displays = display != order.display
    reaches = stop_price != order.stop_price
    lasts = expiry != order.expiry
    resized = quantity != order.quantity
    keeps_priority = not (repriced or displays or reaches or lasts)
    if keeps_priority and not resized:
        return Reason.NOTHING_TO_AMEND
    remaining = order.remaining + quantity - order.quantity
    fault = (
        (_size_fault(quantity, remaining, config) if resized else None)
        or (_price_fault(order, price, config) if repriced else None)
        or (_stop_fault(order, stop_price, config) if reaches else None)
        or (_display_fault(order, quantity, display) if displays or resized else None)
        or (_expiry_fault(order, expiry, time) if lasts else None)
    )
    if fault is not None:
        return fault
    if price * quantity < config.min_notional and price and (repriced or resized):
        return Reason.NOTIONAL_TOO_SMALL
    keeps_priority = keeps_priority and quantity < order.quantity
    return Amendment(
        quantity, remaining, price, display, stop_price, expiry, keeps_priority, repriced
    )


def _size_fault(quantity: int, remaining: int, config: MarketConfig) -> Reason | None:
    fault = quantity_fault(quantity, config)
    if fault is None and remaining <= 0:
        return Reason.QUANTITY_FILLED
    return fault


def _price_fault(order: Order, price: int, config: MarketConfig) -> Reason | None:
    if order.type is OrderType.STOP:
        return Reason.INVALID_PRICE
    return price_fault(price, config)


def _stop_fault(order: Order, stop_price: int, config: MarketConfig) -> Reason | None:
    if order.waiting and 0 < stop_price <= config.max_price:
        return None
    return Reason.INVALID_STOP_PRICE


def _display_fault(order: Order, quantity: int, display: int) -> Reason | None:
    immediate = order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}
    if display and (immediate or order.type is OrderType.STOP):
        return Reason.INVALID_DISPLAY
    if display == order.display and display > quantity:
        return None  # reduced below its slice, the order shows all that is left
    return display_fault(display, quantity)


def _expiry_fault(order: Order, expiry: int, time: int) -> Reason | None:
    if order.time_in_force is not TimeInForce.GTD:
        return Reason.INVALID_EXPIRY
    return expiry_fault(expiry, time)

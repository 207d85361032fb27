"""Judging an amend: what the order would become, or why not (docs/matching-rules.md)."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from gomatch.engine.commands import AmendOrder, NewOrder
from gomatch.engine.entry import (
    display_fault,
    expiry_fault,
    notional_fault,
    price_fault,
    quantity_fault,
)
from gomatch.engine.order import Order
from gomatch.engine.types import MarketConfig, OrderType, Reason, TimeInForce


@dataclass(slots=True, frozen=True)
class Amendment:
    """What an open order becomes. ``remaining`` in lots."""

    terms: NewOrder
    remaining: int
    keeps_priority: bool
    """Whether it is nothing but a reduction."""
    repriced: bool


def judge(order: Order, command: AmendOrder, config: MarketConfig, time: int) -> Amendment | Reason:
    """What ``command`` makes of the open ``order``, or the first thing that is wrong with it.

    A field that is 0, or that the order has already, is not amended. ``time`` in microseconds.
    """
    before = order.terms
    terms = replace(
        before,
        quantity=command.quantity or before.quantity,
        price=command.price or before.price,
        display=command.display or before.display,
        stop_price=command.stop_price or before.stop_price,
        expiry=command.expiry or before.expiry,
    )
    if terms == before:
        return Reason.NOTHING_TO_AMEND
    resized = terms.quantity != before.quantity
    repriced = terms.price != before.price
    remaining = order.remaining + terms.quantity - before.quantity
    reduction = (
        terms.quantity < before.quantity and replace(terms, quantity=before.quantity) == before
    )
    fault = (
        (_size_fault(terms.quantity, remaining, config, reduction=reduction) if resized else None)
        or (_price_fault(terms, config) if repriced else None)
        or (_stop_fault(order, terms, config) if terms.stop_price != before.stop_price else None)
        or (_display_fault(terms, before))
        or (_expiry_fault(terms, time) if terms.expiry != before.expiry else None)
        or (notional_fault(terms, config) if resized or repriced else None)
    )
    if fault is not None:
        return fault
    return Amendment(terms, remaining, keeps_priority=reduction, repriced=repriced)


def _size_fault(
    quantity: int, remaining: int, config: MarketConfig, *, reduction: bool
) -> Reason | None:
    fault = quantity_fault(quantity, config)
    if fault is Reason.QUANTITY_TOO_LARGE and reduction:
        fault = None  # the maximum was lowered since the order came in, and less is never worse
    if fault is None and remaining <= 0:
        return Reason.QUANTITY_FILLED
    return fault


def _price_fault(terms: NewOrder, config: MarketConfig) -> Reason | None:
    if terms.type is OrderType.STOP:
        return Reason.INVALID_PRICE
    return price_fault(terms.price, config)


def _stop_fault(order: Order, terms: NewOrder, config: MarketConfig) -> Reason | None:
    if order.waiting and 0 < terms.stop_price <= config.max_price:
        return None
    return Reason.INVALID_STOP_PRICE


def _display_fault(terms: NewOrder, before: NewOrder) -> Reason | None:
    if terms.display == before.display and terms.quantity <= before.quantity:
        return None  # reduced below its slice, an order shows all that is left
    immediate = terms.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}
    if terms.display and (immediate or terms.type is OrderType.STOP):
        return Reason.INVALID_DISPLAY
    return display_fault(terms.display, terms.quantity)


def _expiry_fault(terms: NewOrder, time: int) -> Reason | None:
    if terms.time_in_force is not TimeInForce.GTD:
        return Reason.INVALID_EXPIRY
    return expiry_fault(terms.expiry, time)

"""Requests to engine commands: every field checked, decimals to ticks and lots.

What can never become right (wrong form, off tick, fields that do not go together) raises at once.
What depends on the market's present configuration or on the clock is judged by ``limit_problem``
afterwards, so that a repeated request still finds its first answer.
"""

from __future__ import annotations

import re

from gomatch.engine import (
    ICEBERG_SLICES,
    AmendOrder,
    NewOrder,
    OrderType,
    SelfTrade,
    Side,
    TimeInForce,
)
from gomatch.messages.decimals import DecimalError, NotAMultiple
from gomatch_api import codes
from gomatch_api.markets import Market, UnitCache
from gomatch_api.problems import Problem
from gomatch_api.requests import CLIENT_ID_PATTERN, AmendRequest, NewOrderRequest
from gomatch_api.times import parse_time

_UNITS_LIMIT = 1 << 62
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_TYPES = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
}
_TIMES_IN_FORCE = {
    "gtc": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
    "gtd": TimeInForce.GTD,
}
_SELF_TRADES = {
    None: SelfTrade.DEFAULT,
    "none": SelfTrade.NONE,
    "cancel_newest": SelfTrade.CANCEL_NEWEST,
    "cancel_oldest": SelfTrade.CANCEL_OLDEST,
    "cancel_both": SelfTrade.CANCEL_BOTH,
    "decrement": SelfTrade.DECREMENT,
}
_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
# Looked up once: an enumeration's members cost more than a global in the hot path.
_LIMIT = OrderType.LIMIT
_MARKET = OrderType.MARKET
_STOP_LIMIT = OrderType.STOP_LIMIT
_GTC = TimeInForce.GTC
_IOC = TimeInForce.IOC
_CLIENT_ID = re.compile(CLIENT_ID_PATTERN, re.ASCII)


def new_order(request: NewOrderRequest, market: Market, user: int) -> NewOrder:
    """Raises Problem."""
    client_id = request.client_order_id
    if client_id is None:
        client_id = ""
    elif not is_client_id(client_id):
        raise client_id_problem("client_order_id")
    kind = _TYPES[request.type]
    tif = request.time_in_force
    usual = _IOC if kind is _MARKET else _GTC
    time_in_force = usual if tif is None else _TIMES_IN_FORCE[tif]
    if (
        kind is not _LIMIT
        or time_in_force is not _GTC
        or request.stop_price is not None
        or request.expires_at is not None
    ):
        _check_combination(request, kind, time_in_force)
    price = 0
    if request.price is not None:
        price = market.ticks.get(request.price) or _price(market, request.price)
    elif kind is _LIMIT or kind is _STOP_LIMIT:
        raise Problem(codes.MISSING_FIELD, f"A {request.type} order has a `price`.", field="price")
    return NewOrder(
        user,
        _SIDES[request.side],
        kind,
        market.lots.get(request.quantity) or _quantity(market, request.quantity),
        price,
        time_in_force,
        0 if request.stop_price is None else _stop_price(market, request.stop_price),
        0 if request.display_quantity is None else _display(market, request.display_quantity),
        0 if request.expires_at is None else expiry(request.expires_at),
        _SELF_TRADES[request.self_trade_prevention],
        request.post_only is True,
        client_id,
    )


def amend_order(request: AmendRequest, market: Market, user: int, number: int) -> AmendOrder:
    """Raises Problem."""
    command = AmendOrder(
        user,
        number,
        0 if request.quantity is None else _quantity(market, request.quantity),
        0 if request.price is None else _price(market, request.price),
        0 if request.display_quantity is None else _display(market, request.display_quantity),
        0 if request.stop_price is None else _stop_price(market, request.stop_price),
        0 if request.expires_at is None else expiry(request.expires_at),
    )
    if not (
        command.quantity or command.price or command.display or command.stop_price or command.expiry
    ):
        raise Problem(codes.NOTHING_TO_AMEND, "Give at least one field to change.")
    return command


def limit_problem(command: NewOrder | AmendOrder, market: Market, now: int) -> Problem | None:
    """What the market's present limits and the clock (microseconds) say against a command."""
    config = market.config
    quantity, price = command.quantity, command.price
    if (
        config.min_quantity <= quantity <= config.max_quantity
        and price <= config.max_price
        and (price == 0 or price * quantity >= config.min_notional)
        and not (command.stop_price or command.display or command.expiry)
    ):
        return None
    new = type(command) is NewOrder
    if quantity > config.max_quantity:
        limit = market.definition.quantity_text(config.max_quantity)
        return Problem(codes.QUANTITY_TOO_LARGE, f"At most {limit}.", field="quantity")
    if quantity < config.min_quantity and (quantity or new):
        limit = market.definition.quantity_text(config.min_quantity)
        return Problem(codes.QUANTITY_TOO_SMALL, f"At least {limit}.", field="quantity")
    if price > config.max_price or command.stop_price > config.max_price:
        limit = market.definition.price_text(config.max_price)
        field = "price" if price > config.max_price else "stop_price"
        return Problem(codes.PRICE_TOO_HIGH, f"At most {limit}.", field=field)
    if price and quantity and price * quantity < config.min_notional:
        return Problem(
            codes.NOTIONAL_TOO_SMALL,
            f"Price times quantity is at least {market.definition.min_notional}.",
            field="quantity",
        )
    display = command.display
    if display and new and not display <= quantity <= display * ICEBERG_SLICES:
        return Problem(
            codes.INVALID_DISPLAY,
            f"At most the quantity and at least 1/{ICEBERG_SLICES} of it.",
            field="display_quantity",
        )
    if command.expiry and command.expiry <= now:
        return Problem(codes.EXPIRY_IN_PAST, "This time has passed.", field="expires_at")
    return None


def is_client_id(text: str) -> bool:
    return _CLIENT_ID.fullmatch(text) is not None


def client_id(text: str, field: str) -> str:
    """A client order id or request id. Raises Problem."""
    if not is_client_id(text):
        raise client_id_problem(field)
    return text


def client_id_problem(field: str) -> Problem:
    return Problem(codes.INVALID_CLIENT_ID, field=field)


def expiry(text: str) -> int:
    """Raises Problem."""
    try:
        moment = parse_time(text)
    except ValueError:
        raise Problem(
            codes.INVALID_TIME,
            "Times look like 2030-01-31T12:00:00Z, with at most microseconds.",
            field="expires_at",
        ) from None
    if moment <= 0:
        raise Problem(codes.EXPIRY_IN_PAST, "This time has passed.", field="expires_at")
    return moment


def _units(
    cache: UnitCache,
    text: str,
    field: str,
    off: codes.ProblemCode,
    zero: codes.ProblemCode,
) -> int:
    try:
        units = cache[text]
    except NotAMultiple:
        raise Problem(off, field=field) from None
    except DecimalError:
        raise Problem(
            codes.INVALID_DECIMAL,
            "A plain decimal: ASCII digits and one point, at most 15 digits before it and 9 "
            "after it, no sign and no exponent.",
            field=field,
        ) from None
    if units <= 0:
        raise Problem(zero, field=field)
    if units > _UNITS_LIMIT:
        too_much = codes.QUANTITY_TOO_LARGE if off is codes.OFF_LOT else codes.PRICE_TOO_HIGH
        raise Problem(too_much, field=field)
    return units


def _price(market: Market, text: str) -> int:
    return _units(market.ticks, text, "price", codes.OFF_TICK, codes.INVALID_PRICE)


def _quantity(market: Market, text: str) -> int:
    return _units(market.lots, text, "quantity", codes.OFF_LOT, codes.INVALID_QUANTITY)


def _stop_price(market: Market, text: str) -> int:
    return _units(market.ticks, text, "stop_price", codes.OFF_TICK, codes.INVALID_PRICE)


def _display(market: Market, text: str) -> int:
    return _units(market.lots, text, "display_quantity", codes.OFF_LOT, codes.INVALID_DISPLAY)


def _check_combination(
    request: NewOrderRequest, kind: OrderType, time_in_force: TimeInForce
) -> None:
    """Fields that do not go together. Raises Problem."""
    limited = kind is OrderType.LIMIT or kind is OrderType.STOP_LIMIT
    immediate = time_in_force in _IMMEDIATE
    if kind is OrderType.MARKET and not immediate:
        raise Problem(
            codes.TIME_IN_FORCE_NOT_ALLOWED,
            "A market order never rests: use ioc or fok.",
            field="time_in_force",
        )
    if request.price is not None and not limited:
        raise _not_allowed("price", f"A {request.type} order has no price.")
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT):
        if request.stop_price is None:
            raise Problem(
                codes.MISSING_FIELD,
                f"A {request.type} order has a `stop_price`.",
                field="stop_price",
            )
    elif request.stop_price is not None:
        raise _not_allowed("stop_price", "Only stop and stop_limit orders have a stop price.")
    if request.post_only and (immediate or not limited):
        raise _not_allowed("post_only", "Only limit orders that may rest can be post-only.")
    if request.display_quantity is not None and (immediate or not limited):
        raise _not_allowed("display_quantity", "Only limit orders that may rest have a display.")
    if time_in_force is TimeInForce.GTD:
        if request.expires_at is None:
            raise Problem(codes.MISSING_FIELD, "A gtd order has `expires_at`.", field="expires_at")
    elif request.expires_at is not None:
        raise _not_allowed("expires_at", "Only gtd orders expire.")


def _not_allowed(field: str, detail: str) -> Problem:
    return Problem(codes.FIELD_NOT_ALLOWED, detail, field=field)

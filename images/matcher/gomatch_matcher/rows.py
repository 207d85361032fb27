"""From what the engine did with a batch to the rows of `orders` and `trades`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gomatch.engine import (
    Cancelled,
    Closing,
    Event,
    NewOrder,
    Order,
    OrderType,
    Reason,
    Rejected,
    Traded,
)
from gomatch.store.records import OrderStatus
from gomatch_matcher.matched import Row, Segment

_CLOSED = {
    Closing.FILLED: OrderStatus.FILLED,
    Closing.CANCELLED: OrderStatus.CANCELLED,
    Closing.EXPIRED: OrderStatus.EXPIRED,
}
_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class BatchRows:
    """Tuples in the column order of gomatch.store.records."""

    new_orders: list[Row]
    order_updates: list[Row]
    trades: list[Row]


def batch_rows(
    *,
    market_id: int,
    segments: Sequence[Segment],
    events: Sequence[Event],
    first_sequence: int,
    last_sequence: int,
    time: int,
    touched: Mapping[int, Order],
) -> BatchRows:
    """``touched`` holds every order that changed, in its state after the batch."""
    trades: list[Row] = []
    reasons: dict[int, Reason] = {}
    rejected: dict[int, Reason] = {}
    for sequence, event in enumerate(events, first_sequence):
        kind = type(event)
        if kind is Traded:
            trades.append(_trade_row(market_id, sequence, event, time))  # type: ignore[arg-type]
        elif kind is Cancelled:
            reasons[event.order] = event.reason  # type: ignore[union-attr]
        elif kind is Rejected:
            rejected[event.number] = event.reason  # type: ignore[union-attr]
    new_orders: list[Row] = []
    new_numbers: set[int] = set()
    for segment in segments:
        accepted_at = segment.accepted_at
        for number, command in enumerate(segment.commands, segment.first):
            if type(command) is not NewOrder:
                continue
            new_numbers.add(number)
            order = touched.get(number)
            if order is None:
                row = _rejected_row(
                    market_id, number, command, rejected.get(number, Reason.INTERNAL_ERROR)
                )
            else:
                row = _order_row(market_id, order, reasons.get(number))
            new_orders.append((*row, accepted_at, time, last_sequence))
    order_updates: list[Row] = [
        (
            number,
            order.price,
            order.stop_price,
            order.display,
            order.expiry,
            order.quantity,
            order.filled,
            order.remaining,
            order.value,
            order_status(order),
            reasons.get(number, ""),
            time,
            last_sequence,
        )
        for number, order in touched.items()
        if number not in new_numbers
    ]
    return BatchRows(new_orders, order_updates, trades)


def order_status(order: Order) -> OrderStatus:
    """The status that users read, from the engine's order."""
    if order.closing is not None:
        return _CLOSED[order.closing]
    if order.type in _STOPS and not order.triggered:
        return OrderStatus.WAITING
    return OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN


def _order_row(market_id: int, order: Order, reason: Reason | None) -> Row:
    return (
        market_id,
        order.number,
        order.user,
        order.client_order_id,
        order.side,
        order.type,
        order.time_in_force,
        order.price,
        order.stop_price,
        order.display,
        order.expiry,
        order.quantity,
        order.filled,
        order.remaining,
        order.value,
        order_status(order),
        reason or "",
        order.self_trade,
        order.post_only,
    )


def _rejected_row(market_id: int, number: int, command: NewOrder, reason: Reason) -> Row:
    return (
        market_id,
        number,
        command.user,
        command.client_order_id,
        command.side,
        command.type,
        command.time_in_force,
        command.price,
        command.stop_price,
        command.display,
        command.expiry,
        command.quantity,
        0,
        0,
        0,
        OrderStatus.REJECTED,
        reason,
        command.self_trade,
        command.post_only,
    )


def _trade_row(market_id: int, sequence: int, trade: Traded, time: int) -> Row:
    return (
        market_id,
        sequence,
        trade.maker_order,
        trade.maker_user,
        trade.taker_order,
        trade.taker_user,
        trade.taker_side,
        trade.price,
        trade.quantity,
        trade.maker_fee,
        trade.taker_fee,
        time,
    )

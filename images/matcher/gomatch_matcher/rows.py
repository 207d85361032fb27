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
    StateChanged,
    Traded,
)
from gomatch.store.records import OrderRow, OrderStatus, OrderUpdateRow, TradeRow
from gomatch_matcher.matched import Segment

_CLOSED = {
    Closing.FILLED: OrderStatus.FILLED,
    Closing.CANCELLED: OrderStatus.CANCELLED,
    Closing.EXPIRED: OrderStatus.EXPIRED,
}
_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class BatchRows:
    """Tuples in the column order of gomatch.store.records; ``state_reason`` is that of the last
    change of state, None when there was none."""

    new_orders: list[OrderRow]
    order_updates: list[OrderUpdateRow]
    trades: list[TradeRow]
    state_reason: Reason | None


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
    trades: list[TradeRow] = []
    reasons: dict[int, Reason] = {}
    rejected: dict[int, Reason] = {}
    state_reason: Reason | None = None
    for sequence, event in enumerate(events, first_sequence):
        if isinstance(event, Traded):
            trades.append(_trade_row(market_id, sequence, event, time))
        elif isinstance(event, Cancelled):
            reasons[event.order] = event.reason
        elif isinstance(event, Rejected):
            rejected[event.number] = event.reason
        elif isinstance(event, StateChanged):
            state_reason = event.reason
    new_orders: list[OrderRow] = []
    new_numbers: set[int] = set()
    for segment in segments:
        accepted_at = segment.accepted_at
        for number, command in enumerate(segment.commands, segment.first):
            if type(command) is not NewOrder:
                continue
            new_numbers.add(number)
            order = touched.get(number)
            stamps = (accepted_at, time, last_sequence)
            if order is None:
                reason = rejected.get(number, Reason.INTERNAL_ERROR)
                new_orders.append(_rejected_row(market_id, number, command, reason, stamps))
            else:
                reason_text = _cancel_reason(order, reasons)
                new_orders.append(_order_row(market_id, order, reason_text, stamps))
    order_updates: list[OrderUpdateRow] = [
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
            _cancel_reason(order, reasons),
            time,
            last_sequence,
        )
        for number, order in touched.items()
        if number not in new_numbers
    ]
    return BatchRows(new_orders, order_updates, trades, state_reason)


def _cancel_reason(order: Order, reasons: Mapping[int, Reason]) -> str:
    """Why it was cancelled. An order that was only reduced (self-trade prevention can do that) has
    no reason, in whatever batches it and its end came."""
    return reasons.get(order.number, "") if order.closing is Closing.CANCELLED else ""


def order_status(order: Order) -> OrderStatus:
    """The status that users read, from the engine's order."""
    if order.closing is not None:
        return _CLOSED[order.closing]
    if order.type in _STOPS and not order.triggered:
        return OrderStatus.WAITING
    return OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN


def _order_row(market_id: int, order: Order, reason: str, stamps: tuple[int, int, int]) -> OrderRow:
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
        reason,
        order.self_trade,
        order.post_only,
        *stamps,
    )


def _rejected_row(
    market_id: int, number: int, command: NewOrder, reason: Reason, stamps: tuple[int, int, int]
) -> OrderRow:
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
        *stamps,
    )


def _trade_row(market_id: int, sequence: int, trade: Traded, time: int) -> TradeRow:
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

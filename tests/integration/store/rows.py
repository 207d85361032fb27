"""Rows and batches as a matcher would write them, with plain values."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.engine import CancelOrder, TradingState
from gomatch.messages.codec import pack_commands
from gomatch.messages.market import MarketDefinition
from gomatch.store import Batch, OrderRow, OrderStatus, OrderUpdateRow, TradeRow

DEFINITION = MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.001")


def bodies(count: int) -> bytes:
    return pack_commands([CancelOrder(user=1, order=n) for n in range(1, count + 1)])


def order_row(
    market_id: int,
    number: int,
    *,
    user: int = 1,
    status: OrderStatus = OrderStatus.OPEN,
    accepted_at: int | None = None,
) -> OrderRow:
    """A limit buy of 10 at 100, accepted at its number unless said otherwise."""
    return (
        market_id, number, user, f"c{number}", 1, 1, 1, 100, 0, 0, 0, 10, 0, 10, 0, status, "", 1,
        False, number if accepted_at is None else accepted_at, number, number,
    )  # fmt: skip


def update_row(number: int, *, filled: int, status: OrderStatus) -> OrderUpdateRow:
    """The same order with some of it filled at 100."""
    return (number, 100, 0, 0, 0, 10, filled, 10 - filled, 100 * filled, status, "", 7, 8)


def trade_row(
    market_id: int, sequence: int, *, maker: int = 1, taker: int = 2, time: int | None = None
) -> TradeRow:
    return (
        market_id, sequence, 3, maker, 4, taker, 2, 100, 5, 1, 2,
        sequence if time is None else time,
    )  # fmt: skip


def batch(
    market_id: int,
    epoch: int,
    *,
    previous: tuple[int, int, bytes] = (0, 0, bytes(32)),
    commands: int = 1,
    events: int = 1,
    new_orders: Sequence[OrderRow] = (),
    order_updates: Sequence[OrderUpdateRow] = (),
    trades: Sequence[TradeRow] = (),
) -> Batch:
    """The batch after ``previous`` (applied, sequence, chain)."""
    applied, sequence, chain = previous
    return Batch(
        market_id=market_id,
        epoch=epoch,
        previous_sequence=sequence,
        previous_chain=chain,
        first_number=applied + 1,
        last_number=applied + commands,
        first_sequence=sequence + 1,
        last_sequence=sequence + events,
        time=1_000_000 + sequence,
        rules_version=1,
        events=b"events after %d" % sequence,
        chain=(sequence + events).to_bytes(32, "big"),
        state=TradingState.RUNNING,
        last_price=100,
        new_orders=list(new_orders),
        order_updates=list(order_updates),
        trades=list(trades),
    )

"""What the rows of `orders` and `trades` must say, and whether they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gomatch.audit.snapshot import DatabaseSnapshot
from gomatch.engine import (
    Cancelled,
    Closing,
    Event,
    Image,
    NewOrder,
    Order,
    OrderImage,
    OrderType,
    Rejected,
    Traded,
)
from gomatch.store.records import ORDER_COLUMNS, TRADE_COLUMNS, OrderStatus

_PENDING_LIMIT = 2_000
_CLOSED = {
    Closing.FILLED: OrderStatus.FILLED,
    Closing.CANCELLED: OrderStatus.CANCELLED,
    Closing.EXPIRED: OrderStatus.EXPIRED,
}
_REASON = ORDER_COLUMNS.index("reason")
_UNKNOWN = object()
"""A column of an order that is older than where the audit began."""

Report = Callable[[str, str], None]
Row = tuple[Any, ...]


class OrderRows:
    """Closed orders are compared as they close, in groups, so that only open ones are kept."""

    def __init__(
        self,
        snapshot: DatabaseSnapshot,
        market_id: int,
        report: Report,
        *,
        image: Image | None = None,
    ) -> None:
        """``image``: the state in which the audit begins."""
        self.checked = 0
        self._snapshot = snapshot
        self._market_id = market_id
        self._report = report
        self._accepted_at: dict[int, int] = {}
        self._reasons: dict[int, str] = {}
        self._open: dict[int, Row] = {}
        self._closed: dict[int, Row] = {}
        for order in image.orders if image else ():
            since = (_UNKNOWN, _UNKNOWN, _UNKNOWN)
            self._open[order.number] = self._row(order, None, _UNKNOWN, since)

    def entered(
        self, number: int, command: NewOrder, accepted_at: int, *, time: int, sequence: int
    ) -> None:
        """An order of the batch that ends at ``sequence``; rejected until it is seen."""
        self._accepted_at[number] = accepted_at
        self._closed[number] = (
            self._market_id, number, command.user, command.client_order_id, command.side,
            command.type, command.time_in_force, command.price, command.stop_price,
            command.display, command.expiry, command.quantity, 0, 0, 0, OrderStatus.REJECTED, "",
            command.self_trade, command.post_only, accepted_at, time, sequence,
        )  # fmt: skip

    def noted(self, event: Event) -> None:
        if isinstance(event, Cancelled):
            self._reasons[event.order] = event.reason.value
        elif isinstance(event, Rejected) and event.number in self._closed:
            row = self._closed[event.number]
            self._closed[event.number] = (*row[:_REASON], event.reason.value, *row[_REASON + 1 :])

    def touched(self, order: Order, *, time: int, sequence: int) -> None:
        """The order changed in the batch that ends at ``sequence``; this is its state after."""
        number = order.number
        accepted_at = self._accepted_at.get(number, _UNKNOWN)
        self._closed.pop(number, None)
        self._open.pop(number, None)
        (self._open if order.closing is None else self._closed)[number] = self._row(
            order,
            order.closing,
            # What only reduced an order is no reason of its end.
            self._reasons.get(number, "") if order.closing is Closing.CANCELLED else "",
            (accepted_at, time, sequence),
        )

    async def batch_done(self) -> None:
        self._reasons.clear()
        if len(self._closed) >= _PENDING_LIMIT:
            await self._compare(self._closed)
            self._closed.clear()

    async def finish(self, *, with_open: bool) -> None:
        """Compare the rest; ``with_open``: those that are open at the end too."""
        await self._compare(self._closed)
        numbers = list(self._open) if with_open else []
        for start in range(0, len(numbers), _PENDING_LIMIT):
            part = numbers[start : start + _PENDING_LIMIT]
            await self._compare({number: self._open[number] for number in part})

    def _row(
        self,
        order: Order | OrderImage,
        closing: Closing | None,
        reason: object,
        stamps: tuple[object, object, object],
    ) -> Row:
        if closing is not None:
            status = _CLOSED[closing]
        elif order.type in (OrderType.STOP, OrderType.STOP_LIMIT) and not order.triggered:
            status = OrderStatus.WAITING
        else:
            status = OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN
        return (
            self._market_id, order.number, order.user, order.client_order_id, order.side,
            order.type, order.time_in_force, order.price, order.stop_price, order.display,
            order.expiry, order.quantity, order.filled, order.remaining, order.value, status,
            reason, order.self_trade, order.post_only, *stamps,
        )  # fmt: skip

    async def _compare(self, expected: dict[int, Row]) -> None:
        stored = await self._snapshot.orders(self._market_id, list(expected))
        for number, row in expected.items():
            self._accepted_at.pop(number, None)
            found = stored.get(number)
            if found is None:
                self._report("order_missing", f"order {number} has no row")
                continue
            differences = [
                f"{name} is {got!r}, should be {want!r}"
                for name, want, got in zip(ORDER_COLUMNS, row, found, strict=True)
                if want != got and want is not _UNKNOWN
            ]
            if differences:
                self._report("order_differs", f"order {number}: {'; '.join(differences)}")
        self.checked += len(expected)


class TradeRows:
    """Trades are compared in groups of whole journal rows."""

    def __init__(
        self, snapshot: DatabaseSnapshot, market_id: int, report: Report, *, after: int
    ) -> None:
        self.checked = 0
        self._snapshot = snapshot
        self._market_id = market_id
        self._report = report
        self._expected: dict[int, Row] = {}
        self._first = after + 1

    def noted(self, sequence: int, event: Event, time: int) -> None:
        if isinstance(event, Traded):
            self._expected[sequence] = (
                self._market_id, sequence, event.maker_order, event.maker_user,
                event.taker_order, event.taker_user, event.taker_side, event.price,
                event.quantity, event.maker_fee, event.taker_fee, time,
            )  # fmt: skip

    async def batch_done(self, last: int) -> None:
        if len(self._expected) >= _PENDING_LIMIT:
            await self.flush(last)

    async def flush(self, last: int) -> None:
        """Compare all up to the sequence ``last``, which ends a journal row."""
        stored = await self._snapshot.trades(self._market_id, self._first, last)
        for sequence in sorted(stored.keys() | self._expected.keys()):
            want, got = self._expected.get(sequence), stored.get(sequence)
            if got is None:
                self._report("trade_missing", f"trade {sequence} has no row")
            elif want is None:
                self._report("trade_invented", f"trade {sequence} is in no journal row")
            elif want != got:
                differences = [
                    f"{name} is {b!r}, should be {a!r}"
                    for name, a, b in zip(TRADE_COLUMNS, want, got, strict=True)
                    if a != b
                ]
                self._report("trade_differs", f"trade {sequence}: {'; '.join(differences)}")
        self.checked += len(self._expected)
        self._expected.clear()
        self._first = last + 1

    def restart(self, first: int) -> None:
        """The events before ``first`` are lost: which trades they made is not known."""
        self._first = first

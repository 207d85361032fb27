"""What the rows of `orders` and `trades` must say, and whether they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gomatch.audit.snapshot import DatabaseSnapshot
from gomatch.engine import (
    Cancelled,
    Closing,
    Command,
    Event,
    NewOrder,
    Order,
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

Report = Callable[[str, str], None]


class OrderRows:
    """Closed orders are compared as they close, in groups, so that only open ones are kept."""

    def __init__(self, snapshot: DatabaseSnapshot, market_id: int, report: Report) -> None:
        self._snapshot = snapshot
        self._market_id = market_id
        self._report = report
        self._accepted_at: dict[int, int] = {}
        self._reasons: dict[int, str] = {}
        self._open: dict[int, tuple[Any, ...]] = {}
        self._closed: dict[int, tuple[Any, ...]] = {}
        self.checked = 0
        self.first_known = 0
        """Orders up to this number are older than the image that the audit began with: when
        they were accepted is not known to it."""

    def entered(
        self, number: int, command: Command, accepted_at: int, *, time: int, sequence: int
    ) -> None:
        """A command of the batch that ends at ``sequence``; orders are rejected until seen."""
        if not isinstance(command, NewOrder):
            return
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
            row = list(self._closed[event.number])
            row[ORDER_COLUMNS.index("reason")] = event.reason.value
            self._closed[event.number] = tuple(row)

    def touched(self, order: Order, *, time: int, sequence: int) -> None:
        """The order changed in the batch that ends at ``sequence``; this is its state after."""
        number = order.number
        if order.closing is not None:
            status = _CLOSED[order.closing]
        elif order.type in (OrderType.STOP, OrderType.STOP_LIMIT) and not order.triggered:
            status = OrderStatus.WAITING
        else:
            status = OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN
        row = (
            self._market_id, number, order.user, order.client_order_id, order.side, order.type,
            order.time_in_force, order.price, order.stop_price, order.display, order.expiry,
            order.quantity, order.filled, order.remaining, order.value, status,
            self._reasons.get(number, ""), order.self_trade, order.post_only,
            self._accepted_at.get(number, -1), time, sequence,
        )  # fmt: skip
        self._closed.pop(number, None)
        self._open.pop(number, None)
        (self._open if order.closing is None else self._closed)[number] = row

    async def batch_done(self) -> None:
        self._reasons.clear()
        if len(self._closed) >= _PENDING_LIMIT:
            await self._compare(self._closed)

    async def finish(self) -> None:
        await self._compare(self._closed)
        numbers = list(self._open)
        for start in range(0, len(numbers), _PENDING_LIMIT):
            part = {n: self._open[n] for n in numbers[start : start + _PENDING_LIMIT]}
            await self._compare(part)

    async def _compare(self, expected: dict[int, tuple[Any, ...]]) -> None:
        stored = await self._snapshot.orders(self._market_id, list(expected))
        accepted_at = ORDER_COLUMNS.index("accepted_at")
        for number, row in expected.items():
            self._accepted_at.pop(number, None)
            found = stored.get(number)
            if found is None:
                self._report("order_missing", f"order {number} has no row")
                continue
            if number <= self.first_known:
                row = (*row[:accepted_at], found[accepted_at], *row[accepted_at + 1 :])  # noqa: PLW2901
            differences = [
                f"{name} is {got!r}, should be {want!r}"
                for name, want, got in zip(ORDER_COLUMNS, row, found, strict=True)
                if want != got
            ]
            if differences:
                self._report("order_differs", f"order {number}: {'; '.join(differences)}")
        self.checked += len(expected)
        expected.clear()


class TradeRows:
    """Trades are compared in groups of whole journal rows."""

    def __init__(self, snapshot: DatabaseSnapshot, market_id: int, report: Report) -> None:
        self._snapshot = snapshot
        self._market_id = market_id
        self._report = report
        self._expected: dict[int, tuple[Any, ...]] = {}
        self._first: int | None = None
        self.checked = 0

    def noted(self, sequence: int, event: Event, time: int) -> None:
        if isinstance(event, Traded):
            self._expected[sequence] = (
                self._market_id, sequence, event.maker_order, event.maker_user,
                event.taker_order, event.taker_user, event.taker_side, event.price,
                event.quantity, event.maker_fee, event.taker_fee, time,
            )  # fmt: skip

    async def batch_done(self, first: int, last: int, *, flush: bool = False) -> None:
        """The batch's sequences were first..last."""
        if self._first is None:
            self._first = first
        if not flush and len(self._expected) < _PENDING_LIMIT:
            return
        stored = await self._snapshot.trades(self._market_id, self._first, last)
        for sequence in sorted(stored.keys() | self._expected.keys()):
            want, got = self._expected.get(sequence), stored.get(sequence)
            if got is None:
                self._report("trade_missing", f"trade {sequence} has no row")
            elif want is None:
                self._report("trade_invented", f"trade {sequence} is in no journal row")
            elif want != got:
                names = [n for n, a, b in zip(TRADE_COLUMNS, want, got, strict=True) if a != b]
                self._report("trade_differs", f"trade {sequence}: {', '.join(names)}")
        self.checked += len(self._expected)
        self._expected.clear()
        self._first = last + 1

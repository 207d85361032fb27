"""A market to write rules against: short words for commands, answered by the events they cause."""

from __future__ import annotations

from gomatch.engine import (
    Command,
    Engine,
    Event,
    MarketConfig,
    NewOrder,
    OrderType,
    Rejected,
    SetState,
    Side,
    Traded,
    TradingState,
)

BUY, SELL = Side.BUY, Side.SELL


class Venue:
    """``events`` are those of the last command."""

    def __init__(self, **config: object) -> None:
        self.engine = Engine(MarketConfig(**config))  # type: ignore[arg-type]
        self.events: list[Event] = []

    def apply(self, command: Command) -> int:
        """Returns the command's number."""
        self.events = []
        number = self.engine.applied + 1
        self.engine.apply(number, command, self.events)
        return number

    def limit(self, user: int, side: Side, quantity: int, price: int, **more: object) -> int:
        order = NewOrder(user, side, OrderType.LIMIT, quantity, price, **more)  # type: ignore[arg-type]
        return self.apply(order)

    def market(self, user: int, side: Side, quantity: int, **more: object) -> int:
        order = NewOrder(user, side, OrderType.MARKET, quantity, **more)  # type: ignore[arg-type]
        return self.apply(order)

    def stop(self, user: int, side: Side, quantity: int, stop_price: int, **more: object) -> int:
        kind = OrderType.STOP_LIMIT if "price" in more else OrderType.STOP
        order = NewOrder(user, side, kind, quantity, stop_price=stop_price, **more)  # type: ignore[arg-type]
        return self.apply(order)

    def state(self, state: TradingState) -> None:
        self.apply(SetState(state))

    def trade_at(self, price: int) -> None:
        """Let two strangers trade one lot at ``price``, so that it is the last price."""
        self.limit(901, SELL, 1, price)
        self.limit(902, BUY, 1, price)
        assert self.engine.last_price == price

    @property
    def trades(self) -> list[tuple[int, int, int, int]]:
        """Maker, taker, price and quantity of the last command's trades."""
        return [
            (event.maker_order, event.taker_order, event.price, event.quantity)
            for event in self.events
            if isinstance(event, Traded)
        ]

    def refusal(self) -> str | None:
        """Why the last command was rejected."""
        first = self.events[0]
        return first.reason if isinstance(first, Rejected) else None

    def remaining(self, number: int) -> int:
        """What remains of an order; 0 when it is closed."""
        order = self.engine.order(number)
        return order.remaining if order else 0

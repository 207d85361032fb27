"""The JSON answers, as structs; their schemas stand in the OpenAPI document."""

from __future__ import annotations

from typing import Literal

import msgspec

from gomatch.messages.market import BandModeName, SelfTradeName
from gomatch_api.problems import ProblemBody
from gomatch_api.requests import SideName, StateName, TimeInForceName, TypeName

StatusName = Literal[
    "pending",
    "open",
    "partially_filled",
    "filled",
    "cancelled",
    "expired",
    "rejected",
    "waiting",
]


class _Answer(msgspec.Struct, kw_only=True, gc=False):
    pass


class Acknowledgement(msgspec.Struct, gc=False):
    """Durable, with its place in the market's sequence. ``id`` is the order spoken of,
    ``command`` the number of this command in the market."""

    id: str
    client_order_id: str | None
    market: str
    status: Literal["accepted", "pending"]
    accepted_at: str
    command: int
    request_id: str | None = None


class Order(_Answer):
    """An order. ``cancelled`` is what of the quantity will never trade; ``reason`` tells why it
    was cancelled or rejected; ``average_price`` is rounded to 1e-9."""

    id: str
    client_order_id: str | None
    market: str
    side: SideName
    type: TypeName
    time_in_force: TimeInForceName
    price: str | None
    stop_price: str | None
    quantity: str
    display_quantity: str | None
    post_only: bool
    self_trade_prevention: SelfTradeName | None
    expires_at: str | None
    status: StatusName
    reason: str | None
    filled: str
    remaining: str
    cancelled: str
    average_price: str | None
    accepted_at: str
    updated_at: str


class Result(msgspec.Struct, gc=False):
    """What ``?wait=result`` answers: whether the command was applied or rejected (and why), and
    the order as it stands. ``command`` is the command's number in the market."""

    outcome: Literal["applied", "rejected"]
    reason: str | None
    command: int
    request_id: str | None
    order: Order


class ItemResult(msgspec.Struct, gc=False, omit_defaults=True):
    """One command's result; ``status`` is the HTTP status that it has when sent alone, and exactly
    one of the others is there: ``order`` (202), ``result`` (200, ``?wait=result``) or ``problem``.
    """

    status: int
    order: Acknowledgement | None = None
    result: Result | None = None
    problem: ProblemBody | None = None

    @property
    def body(self) -> Acknowledgement | Result | ProblemBody:
        """What the command alone is answered with."""
        body = self.order or self.result or self.problem
        assert body is not None
        return body


class BatchResults(_Answer):
    results: list[ItemResult]


class CancelAllAcknowledgement(_Answer):
    """``cancelled`` is the number of orders, once it is known (``?wait=result``)."""

    market: str
    status: Literal["accepted", "pending", "applied", "rejected"]
    command: int
    accepted_at: str
    cancelled: int | None = None
    reason: str | None = None
    request_id: str | None = None


class StateAcknowledgement(_Answer):
    market: str
    state: StateName
    status: Literal["accepted"]
    command: int
    accepted_at: str
    request_id: str | None = None


class Orders(_Answer):
    """Newest first; ``next_cursor`` is null on the last page."""

    orders: list[Order]
    next_cursor: str | None


class Fill(_Answer):
    """One's own side of a trade. ``fee`` is in ``fee_asset``; negative is a rebate."""

    id: str
    market: str
    order_id: str
    side: SideName
    role: Literal["maker", "taker"]
    price: str
    quantity: str
    fee: str
    fee_asset: str
    time: str


class Fills(_Answer):
    """Newest first; ``next_cursor`` is null on the last page."""

    trades: list[Fill]
    next_cursor: str | None


class Trade(_Answer):
    """A public trade; ``side`` is the taker's, ``id`` the sequence of its event."""

    id: int
    market: str
    price: str
    quantity: str
    side: SideName
    time: str


class Trades(_Answer):
    """Newest first; ``next_before`` is null on the last page."""

    market: str
    trades: list[Trade]
    next_before: int | None


class MarketInfo(_Answer):
    """A market: its definition in decimal strings and where it stands."""

    market: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_quantity: str
    max_quantity: str
    max_price: str
    min_notional: str | None
    self_trade_prevention: SelfTradeName
    price_band_mode: BandModeName
    price_band: str
    maker_fee: str
    taker_fee: str
    max_open_orders: int | None
    state: StateName
    last_price: str | None
    accepted: int
    applied: int
    sequence: int


class Markets(_Answer):
    markets: list[MarketInfo]


class Depth(_Answer):
    """Levels as [price, quantity], best first, complete at ``sequence``."""

    market: str
    sequence: int
    state: StateName
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Ticker(_Answer):
    """A market in one line, as of ``sequence``; null where there is nothing. The indicative
    price and volume are those of an auction."""

    market: str
    sequence: int
    time: str
    state: StateName
    last: str | None
    bid: str | None
    bid_quantity: str | None
    ask: str | None
    ask_quantity: str | None
    indicative_price: str | None
    indicative_volume: str | None


class Health(_Answer):
    status: Literal["ok"]


class Readiness(_Answer):
    """``missing`` names what is not there; empty when ready. ``why`` is for people."""

    ready: bool
    missing: list[str]
    why: str = ""

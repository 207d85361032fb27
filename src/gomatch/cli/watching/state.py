"""The book, trades and ticker of one market, as the messages of the stream make them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import Any

CHANNELS = ("depth", "trades", "ticker")
TRADES_KEPT = 50

Levels = dict[Decimal, Decimal]
Level = tuple[Decimal, Decimal]
"""(price, quantity)"""


class Gap(Exception):
    """A message was missed: subscribe to ``channel`` again."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.channel = channel


@dataclass(frozen=True, slots=True)
class Trade:
    id: int
    price: str
    quantity: str
    side: str
    time: str


@dataclass(slots=True)
class MarketState:
    """Prices and quantities are exact. ``sequence`` is that of the book."""

    market: str
    sequence: int = 0
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    ticker: Mapping[str, Any] = field(default_factory=dict)
    _chain: dict[str, int] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _snapshot_goes_on: bool = False

    @property
    def complete(self) -> bool:
        """Whether every channel has told where it stands."""
        return self._seen.issuperset(CHANNELS) and not self._snapshot_goes_on

    def best(self, levels: int) -> tuple[list[Level], list[Level]]:
        """The best bids and asks, best first."""
        return nlargest(levels, self.bids.items()), nsmallest(levels, self.asks.items())

    def forget(self) -> None:
        """Begin anew, after a reconnect; trades that were seen stay."""
        self._chain.clear()
        self._seen.clear()
        self._snapshot_goes_on = False

    def add_trades(self, trades: Iterable[Mapping[str, Any]]) -> None:
        """Trades in order, oldest first; those known already are passed over."""
        newest = self.trades[0].id if self.trades else 0
        for trade in trades:
            if trade["id"] > newest:
                self.trades.appendleft(
                    Trade(*(trade[name] for name in ("id", "price", "quantity", "side", "time")))
                )

    def apply(self, message: Mapping[str, Any]) -> None:
        """Take one message of the stream; those of no interest are passed over. Raises Gap."""
        match message.get("type"):
            case "depth_snapshot":
                self._snapshot(message)
            case "depth":
                self._follow("depth", message)
                self._change(message)
            case "trades":
                self._follow("trades", message)
                self.add_trades(message["trades"])
            case "ticker":
                self.ticker = message
                self._seen.add("ticker")
                self._chain["ticker"] = message["sequence"]
            case "subscribed":
                self._begin(message)
            case "heartbeat":
                self._follow(message["channel"], message)
            case "resync_required":
                self._chain[message["channel"]] = message["sequence"]

    def _begin(self, message: Mapping[str, Any]) -> None:
        channel = message["channel"]
        if channel == "trades":
            self._chain["trades"] = message["sequence"]
            self._seen.add("trades")

    def _follow(self, channel: str, message: Mapping[str, Any]) -> None:
        known = self._chain.get(channel)
        if known is not None and message["prev"] != known:
            raise Gap(channel)
        self._chain[channel] = message["sequence"]

    def _snapshot(self, message: Mapping[str, Any]) -> None:
        if not self._snapshot_goes_on:
            self.bids.clear()
            self.asks.clear()
        self._snapshot_goes_on = bool(message.get("more"))
        self._change(message)
        self._seen.add("depth")
        self._chain["depth"] = message["sequence"]

    def _change(self, message: Mapping[str, Any]) -> None:
        for levels, changed in ((self.bids, message["bids"]), (self.asks, message["asks"])):
            for price, quantity in changed:
                if lots := Decimal(quantity):
                    levels[Decimal(price)] = lots
                else:
                    levels.pop(Decimal(price), None)
        self.sequence = message["sequence"]

"""Subscriptions to public channels. Depth and ticker are merged for slow readers; trades never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from gomatch_api.feeds.public import depth_texts
from gomatch_api.feeds.view import MarketView
from gomatch_api.stream.messages import (
    ResyncMessage,
    SubscribedMessage,
    Tag,
    heartbeat_text,
    text,
)
from gomatch_api.stream.outbox import Outbox

TICKER_INTERVAL = 0.1
"""Seconds between two tickers on one subscription."""


class Subscription(Protocol):
    """One channel of one market on one connection."""

    def open(self, tag: Tag) -> None:
        """Confirm and begin."""
        ...

    def heartbeat(self) -> None:
        """Say how far the subscription is complete."""
        ...

    def close(self) -> None:
        """Send nothing more."""
        ...


class TradesSubscription:
    def __init__(self, view: MarketView, outbox: Outbox) -> None:
        self._view = view
        self._outbox = outbox
        self._sequence = view.last_trade

    def open(self, tag: Tag) -> None:
        view = self._view
        self._sequence = view.last_trade
        confirmed = SubscribedMessage("trades", view.symbol, self._sequence, view.sequence, tag)
        self._outbox.put(text(confirmed))
        view.add_trades(self)

    def on_trades(self, trades: str, *, through: int) -> None:
        self._sequence = self._view.last_trade
        self._outbox.put(trades)

    def on_restart(self, sequence: int) -> None:
        prev, self._sequence = self._sequence, sequence
        missed = ResyncMessage("trades", self._view.symbol, "gap", prev, sequence, sequence)
        self._outbox.put(text(missed))

    def heartbeat(self) -> None:
        view = self._view
        self._outbox.put(
            heartbeat_text("trades", view.symbol, sequence=self._sequence, through=view.sequence)
        )

    def close(self) -> None:
        self._view.remove(self)


class DepthSubscription:
    """A snapshot, then deltas. While the reader is behind, deltas are merged level by level into
    one that leads from what it has to what is, so it is always consistent and never large."""

    def __init__(
        self, view: MarketView, outbox: Outbox, *, on_conflation: Callable[[], None]
    ) -> None:
        self._view = view
        self._outbox = outbox
        self._on_conflation = on_conflation
        self._sequence = 0
        self._last = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._needs_snapshot = True

    def open(self, tag: Tag) -> None:
        view = self._view
        self._outbox.put(text(SubscribedMessage("depth", view.symbol, 0, 0, tag)))
        view.add_depth(self)
        self.on_snapshot()

    def on_depth(
        self,
        texts: list[str],
        *,
        prev: int,
        last: int,
        bids: Mapping[int, int],
        asks: Mapping[int, int],
    ) -> None:
        if self._needs_snapshot:
            return
        merging = self._last > self._sequence
        if not merging and not self._outbox.congested:
            self._sequence = self._last = last
            for delta in texts:
                self._outbox.put(delta)
            return
        if merging:
            self._on_conflation()
        self._bids.update(bids)
        self._asks.update(asks)
        self._last = last
        self._outbox.mark(self)

    def on_snapshot(self) -> None:
        self._bids, self._asks = {}, {}
        self._needs_snapshot = True
        self._outbox.mark(self)

    def drain(self) -> list[str]:
        book = self._view.depth_book
        if self._needs_snapshot:
            if book is None:
                return []
            self._needs_snapshot = False
            self._sequence = self._last = book.changed
            return self._view.snapshot_texts()
        if self._last == self._sequence:
            return []
        bids, asks, prev = self._bids, self._asks, self._sequence
        self._bids, self._asks = {}, {}
        self._sequence = self._last
        return depth_texts(bids, asks, prev=prev, last=self._last, texts=self._view.texts)

    def heartbeat(self) -> None:
        view = self._view
        book = view.depth_book
        if book is None or self._needs_snapshot or self._last > self._sequence:
            return
        self._outbox.put(
            heartbeat_text("depth", view.symbol, sequence=self._sequence, through=book.through)
        )

    def close(self) -> None:
        self._view.remove(self)
        self._outbox.unmark(self)


class TickerSubscription:
    """The newest ticker, at most every TICKER_INTERVAL."""

    def __init__(self, view: MarketView, outbox: Outbox) -> None:
        self._view = view
        self._outbox = outbox
        self._sequence = 0
        self._fresh = True
        self._loop = asyncio.get_running_loop()
        self._sent_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def open(self, tag: Tag) -> None:
        view = self._view
        self._outbox.put(text(SubscribedMessage("ticker", view.symbol, 0, 0, tag)))
        view.add_ticker(self)
        self._outbox.mark(self)

    def on_ticker(self) -> None:
        if self._timer is None:
            wait = self._sent_at + TICKER_INTERVAL - self._loop.time()
            if wait <= 0:
                self._outbox.mark(self)
            else:
                self._timer = self._loop.call_later(wait, self._due)

    def drain(self) -> list[str]:
        ticker = self._view.ticker_text(prev=self._sequence)
        if ticker is None or (self._view.sequence == self._sequence and not self._fresh):
            return []
        self._fresh = False
        self._sequence = self._view.sequence
        self._sent_at = self._loop.time()
        return [ticker]

    def heartbeat(self) -> None:
        if not self._fresh:
            self._outbox.put(
                heartbeat_text(
                    "ticker",
                    self._view.symbol,
                    sequence=self._sequence,
                    through=self._sequence,
                )
            )

    def close(self) -> None:
        self._view.remove(self)
        self._outbox.unmark(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._outbox.mark(self)

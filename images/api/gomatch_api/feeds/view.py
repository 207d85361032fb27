"""One market as this replica sees it, and who listens to it here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from gomatch.engine import Event, Traded, TradingState
from gomatch.messages.applied import Summary
from gomatch.messages.market import MarketDefinition
from gomatch_api.feeds.depth import DepthBook, DepthSnapshot
from gomatch_api.feeds.private import PrivateEvent, private_events
from gomatch_api.feeds.public import (
    PublicTrade,
    Ticker,
    depth_texts,
    snapshot_texts,
    ticker_text,
    trades_text,
)
from gomatch_api.feeds.texts import MarketTexts
from gomatch_api.feeds.waits import ResultWaits

RECENT_TRADES = 1_000


class OrderListener(Protocol):
    """One subscription to a user's private events."""

    def on_events(self, events: list[PrivateEvent], *, through: int) -> None:
        """Events of one part of a batch, which ends at sequence ``through``."""
        ...

    def on_restart(self, *, through: int) -> None:
        """Events after ``through``, up to which it has had everything, were missed here; they
        are in the journal."""
        ...


class TradesListener(Protocol):
    def on_trades(self, text: str, *, through: int) -> None: ...
    def on_restart(self, sequence: int) -> None: ...


class DepthListener(Protocol):
    def on_depth(
        self, texts: list[str], *, prev: int, last: int, bids: Levels, asks: Levels
    ) -> None: ...
    def on_snapshot(self) -> None:
        """The book was loaded anew: only a snapshot helps."""
        ...


class TickerListener(Protocol):
    def on_ticker(self) -> None:
        """There is a new ticker: take it when convenient."""
        ...


Levels = Mapping[int, int]


class MarketView:
    """Everything is as of ``sequence``, the last event that this replica has; ``applied`` is the
    number of the last command whose result it has. ``connected`` tells whether a matcher is
    sending now. Fed by FeedInput alone."""

    def __init__(self, *, market_id: int, definition: MarketDefinition) -> None:
        self.market_id = market_id
        self.symbol = definition.symbol
        self.texts = MarketTexts(definition)
        self.epoch = 0
        self.sequence = 0
        self.time = 0
        self.connected = False
        self.summary: Summary | None = None
        self.depth_book: DepthBook | None = None
        self.last_trade = 0
        """Sequence of the last public trade seen, or where this view began: trades' ``prev``."""
        self.waits = ResultWaits()
        self._trades: deque[PublicTrade] = deque(maxlen=RECENT_TRADES)
        self._snapshot: tuple[int, list[str]] = (-1, [])
        self._orders: dict[int, list[OrderListener]] = {}
        self._trades_listeners: dict[TradesListener, None] = {}
        self._depth_listeners: dict[DepthListener, None] = {}
        self._ticker_listeners: dict[TickerListener, None] = {}

    # What REST asks

    @property
    def applied(self) -> int:
        return self.waits.applied

    @property
    def state(self) -> TradingState | None:
        return self.summary.state if self.summary else None

    @property
    def ready(self) -> bool:
        """A matcher has said where the market stands."""
        return self.summary is not None

    def depth(self, limit: int | None = None) -> DepthSnapshot | None:
        """The best ``limit`` levels of each side; None before a matcher has sent the book."""
        return self.depth_book.snapshot(limit) if self.depth_book else None

    def ticker(self) -> Ticker | None:
        """None before a matcher has sent the book."""
        summary, book = self.summary, self.depth_book
        if summary is None or book is None:
            return None
        return Ticker(
            sequence=self.sequence,
            time=self.time,
            state=summary.state,
            last_price=summary.last_price or None,
            bid=book.bids.best(),
            ask=book.asks.best(),
            indicative_price=summary.indicative_price or None,
            indicative_volume=summary.indicative_volume or None,
        )

    def recent_trades(self, limit: int) -> list[PublicTrade]:
        """The newest trades that this replica has seen without a gap, newest first."""
        return [trade for trade, _ in zip(reversed(self._trades), range(limit), strict=False)]

    # Who listens

    def add_orders(self, user: int, listener: OrderListener) -> None:
        self._orders.setdefault(user, []).append(listener)

    def remove_orders(self, user: int, listener: OrderListener) -> None:
        """No error when it does not listen."""
        listeners = self._orders.get(user, [])
        if listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._orders[user]

    def add_trades(self, listener: TradesListener) -> None:
        self._trades_listeners[listener] = None

    def add_depth(self, listener: DepthListener) -> None:
        self._depth_listeners[listener] = None

    def add_ticker(self, listener: TickerListener) -> None:
        self._ticker_listeners[listener] = None

    def remove(self, listener: TradesListener | DepthListener | TickerListener) -> None:
        """No error when it does not listen."""
        for listeners in (self._trades_listeners, self._depth_listeners, self._ticker_listeners):
            # Whichever of the three it is, it is found in one and not in the others.
            listeners.pop(listener, None)  # type: ignore[arg-type]

    def snapshot_texts(self) -> list[str]:
        """The book as stream messages; empty before a matcher has sent it."""
        book = self.depth_book
        if book is None:
            return []
        if self._snapshot[0] != book.through:
            snapshot = book.snapshot(None)
            made = snapshot_texts(snapshot, changed=book.changed, texts=self.texts)
            self._snapshot = (book.through, made)
        return self._snapshot[1]

    def ticker_text(self, *, prev: int) -> str | None:
        """The ticker as a stream message; ``prev`` is the sequence of the one before it."""
        ticker = self.ticker()
        return None if ticker is None else ticker_text(ticker, prev=prev, texts=self.texts)

    # What FeedInput brings

    def take_events(self, first_sequence: int, events: Sequence[Event], time: int) -> None:
        """Events that follow ``sequence`` without a gap."""
        through = first_sequence + len(events) - 1
        self.sequence = through
        self.time = time
        self._take_trades(first_sequence, events, time)
        if self._orders:
            concerned = private_events(
                events,
                first_sequence=first_sequence,
                time=time,
                users=self._orders,
                texts=self.texts,
            )
            for user, views in concerned.items():
                for listener in list(self._orders.get(user, ())):
                    listener.on_events(views, through=through)

    def complete(
        self,
        *,
        applied: int,
        last_sequence: int,
        bids: Levels,
        asks: Levels,
        summary: Summary | None,
    ) -> None:
        """The batch whose events were taken is whole. Without a summary (read from the journal)
        it says nothing of the book."""
        self.waits.complete(applied)
        if summary is None:
            return
        self.summary = summary
        book = self.depth_book
        if book is not None and last_sequence > book.through:
            prev = book.changed
            book.apply(last_sequence, bids, asks)
            if self._depth_listeners and book.changed != prev:
                last = book.changed
                texts = depth_texts(bids, asks, prev=prev, last=last, texts=self.texts)
                for listener in list(self._depth_listeners):
                    listener.on_depth(texts, prev=prev, last=last, bids=bids, asks=asks)
        self._announce_ticker()

    def confirm(self, *, sequence: int, applied: int) -> None:
        """The matcher says that the commands up to ``applied`` led to ``sequence``: where the view
        has that, it has their results, though the end of their batch never came."""
        if sequence == self.sequence and applied > self.applied:
            self.waits.complete(applied)

    def load_depth(self, sequence: int, bids: Levels, asks: Levels, summary: Summary) -> None:
        """The whole book at ``sequence``."""
        if self.depth_book is None:
            self.depth_book = DepthBook()
        self.depth_book.load(sequence, bids, asks)
        self._snapshot = (-1, [])
        self.summary = summary
        for listener in list(self._depth_listeners):
            listener.on_snapshot()
        self._announce_ticker()

    def restart(self, *, sequence: int, applied: int) -> None:
        """Go on from ``sequence``; the events before it were not seen here."""
        before, self.sequence = self.sequence, sequence
        self.last_trade = sequence
        # With a hole in it, what is kept would not be the newest trades.
        self._trades.clear()
        self.waits.restart(applied)
        for trades_listener in list(self._trades_listeners):
            trades_listener.on_restart(sequence)
        for listeners in list(self._orders.values()):
            for listener in list(listeners):
                listener.on_restart(through=before)

    def _announce_ticker(self) -> None:
        for listener in list(self._ticker_listeners):
            listener.on_ticker()

    def _take_trades(self, first_sequence: int, events: Sequence[Event], time: int) -> None:
        trades = [
            PublicTrade(sequence, event.price, event.quantity, event.taker_side, time)
            for sequence, event in enumerate(events, first_sequence)
            if type(event) is Traded
        ]
        if not trades:
            return
        prev, self.last_trade = self.last_trade, trades[-1].sequence
        self._trades.extend(trades)
        if self._trades_listeners:
            text = trades_text(trades, prev=prev, through=self.sequence, texts=self.texts)
            for listener in list(self._trades_listeners):
                listener.on_trades(text, through=self.sequence)

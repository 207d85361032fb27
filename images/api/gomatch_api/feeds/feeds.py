"""All markets of this replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gomatch.errors import UnknownMarket
from gomatch.messages.market import MarketDefinition
from gomatch_api.feeds.input import FeedInput, FeedInputs
from gomatch_api.feeds.view import MarketView
from gomatch_api.feeds.waits import AppliedRow, SequencedEvent


class FeedMarket(Protocol):
    """What the feeds need to know of a market."""

    @property
    def market_id(self) -> int: ...
    @property
    def definition(self) -> MarketDefinition: ...


class AppliedJournal(Protocol):
    """The part of the store's journal from which results are read that were missed here."""

    async def rows_after_number(
        self, market_id: int, number: int, *, limit_rows: int
    ) -> Sequence[AppliedRow]: ...


class Feeds:
    """``lookup`` finds a market by its symbol, or gives None."""

    def __init__(
        self,
        lookup: Callable[[str], FeedMarket | None],
        *,
        journal: AppliedJournal | None = None,
    ) -> None:
        self._lookup = lookup
        self._journal = journal
        self._inputs: dict[str, FeedInputs] = {}

    def view(self, symbol: str) -> MarketView:
        """The view of a market, empty until a matcher has called. Raises UnknownMarket."""
        return self._find(symbol).view

    def open(self, symbol: str, epoch: int) -> FeedInput:
        """Begin to feed a market. Raises UnknownMarket, StaleEpoch."""
        return self._find(symbol).open(epoch)

    def close(self, symbol: str, feed: FeedInput) -> None:
        """End a feed; no effect when a newer one has taken over."""
        self._find(symbol).close(feed)

    async def wait_applied(
        self, symbol: str, numbers: Sequence[int], timeout: float
    ) -> list[list[SequencedEvent]]:
        """The events of each command, as (sequence, event), in the order of ``numbers``; an empty
        list for a command that is not known to be applied within ``timeout`` seconds.

        Raises UnknownMarket; GomatchError when the journal had to be read and cannot be.
        """
        view = self.view(symbol)
        reader = None
        if self._journal is not None:
            reader = _NumberReader(self._journal, view.market_id)
        return await view.waits.wait(numbers, reader=reader, timeout=timeout)

    def _find(self, symbol: str) -> FeedInputs:
        inputs = self._inputs.get(symbol)
        if inputs is None:
            market = self._lookup(symbol)
            if market is None:
                raise UnknownMarket(f"there is no market {symbol}")
            view = MarketView(market_id=market.market_id, definition=market.definition)
            inputs = self._inputs[symbol] = FeedInputs(view)
        return inputs


class _NumberReader:
    def __init__(self, journal: AppliedJournal, market_id: int) -> None:
        self._journal = journal
        self._market_id = market_id

    async def rows_from_number(self, number: int, limit_rows: int) -> Sequence[AppliedRow]:
        return await self._journal.rows_after_number(
            self._market_id, number - 1, limit_rows=limit_rows
        )

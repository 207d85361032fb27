"""What the callback needs when an API replica connects: where the market stands and what the
replica has missed."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.messages.applied import Summary
from gomatch.store import Journal, JournalRow
from gomatch_matcher.committed import CommittedState


class CommittedBacklog:
    """The BacklogSource over the journal and the committed state."""

    def __init__(self, journal: Journal, committed: CommittedState, *, market_id: int) -> None:
        self._journal = journal
        self._committed = committed
        self._market_id = market_id

    def position(self) -> tuple[int, int, int]:
        """(epoch, sequence, applied) of the last commit."""
        return self._committed.epoch, self._committed.sequence, self._committed.applied

    def depth_image(
        self,
    ) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]], Summary]:
        """(sequence, applied, bids, asks, summary) of the last commit, unsorted."""
        committed = self._committed
        return (
            committed.sequence,
            committed.applied,
            list(committed.bids.items()),
            list(committed.asks.items()),
            committed.summary,
        )

    async def journal(self, after_sequence: int, limit_rows: int) -> Sequence[JournalRow]:
        """Journal rows with events after ``after_sequence``. Raises StoreUnavailable."""
        return await self._journal.rows(self._market_id, after_sequence, limit_rows=limit_rows)

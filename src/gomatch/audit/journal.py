"""The journal by itself: contiguous, chained, and in order of time and epoch."""

from __future__ import annotations

from collections.abc import Callable

from gomatch.store import JournalRow, row_chain


class JournalCheck:
    """``take`` each row in order. It goes on after what is wrong, so that one damaged row does not
    hide the next."""

    def __init__(
        self,
        report: Callable[[str, str], None],
        *,
        applied: int,
        sequence: int,
        chain: bytes,
    ) -> None:
        self.applied = applied
        self.sequence = sequence
        self.chain = chain
        self.epoch = 0
        self._time = 0
        self._report = report

    def take(self, row: JournalRow) -> bool:
        """False when the row does not follow the one before: something between is lost."""
        follows = (row.first_sequence, row.first_number) == (self.sequence + 1, self.applied + 1)
        if follows:
            self._check_chain(row)
        else:
            self._report(
                "journal_gap",
                f"after sequence {self.sequence} and command {self.applied} the journal goes on "
                f"with sequence {row.first_sequence} and command {row.first_number}",
            )
        if row.epoch < self.epoch or row.time < self._time:
            self._report(
                "journal_order",
                f"sequences {span(row)} have epoch {row.epoch} and time {row.time} after "
                f"{self.epoch} and {self._time}",
            )
        self.applied, self.sequence, self.chain = row.last_number, row.last_sequence, row.chain
        self.epoch, self._time = row.epoch, row.time
        return follows

    def _check_chain(self, row: JournalRow) -> None:
        if row_chain(self.chain, row, row.events) != row.chain:
            self._report("chain", f"the chain breaks at sequences {span(row)}")


def span(row: JournalRow) -> str:
    return f"{row.first_sequence} to {row.last_sequence}"

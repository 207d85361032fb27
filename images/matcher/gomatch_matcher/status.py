"""What health checks see of a matcher."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gomatch.errors import GomatchError

STANDBY_SECONDS = 5.0
"""A standby that PostgreSQL has not answered for so long is not taken for ready."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """``code`` is stable: `starting`, or that of an error; ``why`` is for people."""

    code: str
    why: str


_STARTING = NotReady("starting", "the market is being loaded")
_SILENT = NotReady("store_unavailable", "PostgreSQL does not answer")


@dataclass(slots=True)
class MatcherStatus:
    """``waiting`` is a standby that has asked for the lease and got an answer."""

    leading: bool = False
    waiting: bool = False
    epoch: int = 0
    recovered_from: str = ""
    last_progress: float = 0.0
    _trouble: NotReady = _STARTING

    @property
    def ready(self) -> bool:
        return self.not_ready is None

    @property
    def not_ready(self) -> NotReady | None:
        """Why it is not; None when it is."""
        if self.leading:
            return None
        if not self.waiting:
            return self._trouble
        return _SILENT if time.monotonic() - self.last_progress > STANDBY_SECONDS else None

    def ended(self, error: GomatchError | None) -> bool:
        """Neither leads nor waits any more, because of ``error`` if there is one; False when that
        was known."""
        self.leading = self.waiting = False
        self.epoch = 0
        before = self._trouble
        self._trouble = NotReady(error.code, str(error)) if error else _STARTING
        return before != self._trouble

    def progressed(self) -> None:
        """PostgreSQL has answered."""
        self.last_progress = time.monotonic()
        self._trouble = _STARTING

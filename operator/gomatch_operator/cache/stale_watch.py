"""When a mirror has been missing or behind for too long. Pure: the time is given."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.cache import MirrorMeta
from gomatch_operator.actions import Action


@dataclass(slots=True)
class _Watched:
    position: tuple[int, int, bytes] | None
    """Epoch, sequence and chain of the mirror; None while there is none."""
    since: float
    """Behind and without progress since then."""
    asked_at: float | None = None
    was_in_step: bool = False
    """Before it fell behind: it was changed by somebody else, or its leader is away."""
    moved: bool = False


class StaleWatch:
    """Remembers the mirrors that are behind. A busy market's mirror is always a little behind; as
    long as it moves it is well. ``stale_seconds`` is also the least time between two requests."""

    def __init__(self, *, stale_seconds: float) -> None:
        self._stale_seconds = stale_seconds
        self._in_step: set[str] = set()
        self._behind: dict[str, _Watched] = {}

    def look(
        self,
        symbol: str,
        *,
        head_epoch: int,
        head_sequence: int,
        head_chain: bytes,
        meta: MirrorMeta | None,
        now: float,
    ) -> bool:
        """Whether its leader should be asked to write the mirror anew, which counts as asked.

        The head is PostgreSQL's, read before ``meta``; ``now`` is in seconds of any clock that
        does not go back. A market that nobody has led yet (epoch 0) needs no mirror. The mirror's
        epoch does not count: a new leader leaves one in step as it is.
        """
        if head_epoch == 0:
            self.forget(symbol)
            return False
        if meta is not None and (meta.sequence, meta.chain) == (head_sequence, head_chain):
            self._behind.pop(symbol, None)
            self._in_step.add(symbol)
            return False
        position = None if meta is None else (meta.epoch, meta.sequence, meta.chain)
        watched = self._behind.get(symbol)
        if watched is None:
            known = symbol in self._in_step
            watched = self._behind[symbol] = _Watched(position, now, was_in_step=known)
            self._in_step.discard(symbol)
        else:
            if position not in {None, watched.position}:
                watched.since, watched.moved = now, True
            watched.position = position
        if now < self._due(watched):
            return False
        watched.asked_at = now
        return True

    def plan(self, symbol: str) -> Action:
        """The request, after `look` said so."""
        watched = self._behind[symbol]
        why = "the mirror is missing" if watched.position is None else "the mirror stays behind"
        return Action(
            layer="cache",
            verb="enter",
            kind="refresh request",
            name=symbol,
            why=why,
            drift=watched.was_in_step,
        )

    def rebuilding(self, symbol: str) -> bool:
        """It was asked for, and is not in step yet."""
        watched = self._behind.get(symbol)
        return watched is not None and watched.asked_at is not None

    def follows(self, symbol: str) -> bool:
        """It has been seen in step, or to move, and was not asked for since."""
        watched = self._behind.get(symbol)
        if watched is None:
            return symbol in self._in_step
        return watched.asked_at is None and (watched.was_in_step or watched.moved)

    def due_at(self, symbol: str) -> float | None:
        """When to look again so that a request is not late; None while it is in step."""
        watched = self._behind.get(symbol)
        return None if watched is None else self._due(watched)

    def forget(self, symbol: str) -> None:
        """Its Market is gone, or nobody leads it."""
        self._behind.pop(symbol, None)
        self._in_step.discard(symbol)

    def _due(self, watched: _Watched) -> float:
        begun = watched.since if watched.asked_at is None else max(watched.since, watched.asked_at)
        return begun + self._stale_seconds

"""The cache step of a reconcile: the sweep looks at all mirrors at once, and a reconcile asks the
leader for what the sweep found missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gomatch.observability import logs
from gomatch.store import ClaimedMarket
from gomatch_operator.actions import Action
from gomatch_operator.cache.reconciler import CacheReconciler
from gomatch_operator.cache.stale_watch import StaleWatch
from gomatch_operator.errors import MirrorUnavailable
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.outages import Fault, Outages

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorResult:
    """``request``: ask the leader, by the store. ``unknown``: no answer, which is no outage yet.
    ``seen``: it is known to follow its market."""

    fault: Fault | None = None
    request: Action | None = None
    unknown: bool = False
    seen: bool = False


class MirrorKeeper:
    """``clock`` gives monotonic seconds."""

    def __init__(
        self,
        reconciler: CacheReconciler,
        stale: StaleWatch,
        *,
        outages: Outages,
        leadership: OperatorLeadership,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reconciler = reconciler
        self._stale = stale
        self._outages = outages
        self._leadership = leadership
        self._clock = clock
        self._wanted: set[str] = set()
        self._looking = 0
        self._removed: set[str] = set()
        """Since the looks that are under way were begun."""

    async def look(self, rows: Sequence[ClaimedMarket]) -> set[str]:
        """Look at the mirrors of these markets; returns the symbols whose reconcile would now do
        or say something else. Raises MirrorUnavailable, noted as an outage in the making."""
        if not self._looking:
            self._removed.clear()
        self._looking += 1
        try:
            metas = await self._reconciler.observe([row.symbol for row in rows])
        except MirrorUnavailable as error:
            self._outages.failed("Redis", mirror_fault(error))
            raise
        finally:
            self._looking -= 1
        self._outages.worked("Redis")
        now = self._clock()
        changed = set()
        for row in rows:
            if row.symbol in self._removed:
                # What was found is of before, or of the next market's.
                continue
            before = self._known(row.symbol)
            asked = self._stale.look(
                row.symbol,
                head_epoch=row.epoch,
                head_sequence=row.sequence,
                head_chain=row.chain,
                meta=metas[row.symbol],
                now=now,
            )
            if asked:
                self._wanted.add(row.symbol)
            elif not self._stale.rebuilding(row.symbol):
                # It came into step before anybody could ask.
                self._wanted.discard(row.symbol)
            if asked or before != self._known(row.symbol):
                changed.add(row.symbol)
        return changed

    def next_look(self, rows: Sequence[ClaimedMarket]) -> float | None:
        """Seconds until one of these should be looked at again, if before the next sweep."""
        due = [at for row in rows if (at := self._stale.due_at(row.symbol)) is not None]
        return max(0.0, min(due) - self._clock()) if due else None

    async def look_again(self, row: ClaimedMarket) -> None:
        """At one that was not seen yet, if so: the sweep may be long in coming."""
        if any(self._known(row.symbol)) or self._outages.suspected("Redis"):
            return
        try:
            await self.look([row])
        except MirrorUnavailable as error:
            _log.info("mirror_not_read", symbol=row.symbol, why=str(error))

    def told(self, symbol: str) -> MirrorResult:
        """What CacheReady says, and nothing to ask for."""
        if outage := self._outages.outage("Redis"):
            return MirrorResult(fault=outage)
        if self._stale.rebuilding(symbol):
            why = "The mirror is missing or behind; its leader was asked to write it anew."
            return MirrorResult(fault=Fault("Rebuilding", why))
        return MirrorResult(
            unknown=self._outages.suspected("Redis"), seen=self._stale.follows(symbol)
        )

    def keep(self, symbol: str) -> MirrorResult:
        told = self.told(symbol)
        if symbol not in self._wanted or self._outages.outage("Redis"):
            return told
        self._wanted.discard(symbol)
        return replace(told, request=self._stale.plan(symbol))

    def _known(self, symbol: str) -> tuple[bool, bool]:
        """Whether it follows its market, and whether its leader was asked for it."""
        return self._stale.follows(symbol), self._stale.rebuilding(symbol)

    async def remove(self, symbol: str) -> None:
        """All keys of a market. Raises MirrorUnavailable, LeadershipLost."""
        self._leadership.require()
        await self._reconciler.delete(symbol)
        self._removed.add(symbol)
        self._wanted.discard(symbol)
        self._stale.forget(symbol)
        self._outages.worked("Redis")


def mirror_fault(error: MirrorUnavailable) -> Fault:
    return Fault("CredentialsRefused" if error.refused else "CacheUnavailable", str(error))

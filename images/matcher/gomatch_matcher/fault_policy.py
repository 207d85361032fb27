"""What follows when the engine raises, or does what cannot be stored.

The engine is dropped and loaded again; the batch it was in is applied one command at a time, and
the one on which it raises again is journaled as rejected, `internal_error`. When another command
was skipped like that within the minute before, the market is halted. All that has to outlive this
process stands in the journal.
"""

from __future__ import annotations

from gomatch.engine import Reason, SetState, TradingState
from gomatch.errors import EngineFault
from gomatch.messages.codec import pack_commands
from gomatch.messages.market import order_id
from gomatch.observability import logs
from gomatch.observability.tracing import log_fields
from gomatch.store import Intake, Journal
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_matcher.term import Caution

_log = logs.get(__name__)
_SECOND_FAULT = 60_000_000
"""Microseconds between two skipped commands below which the market is halted."""
_NO_LIMIT = 1 << 62


class FaultPolicy:
    """Of one market, while this process leads it."""

    def __init__(
        self,
        *,
        market_id: int,
        symbol: str,
        journal: Journal,
        intake: Intake,
        metrics: MatcherMetrics,
    ) -> None:
        self._market_id = market_id
        self._symbol = symbol
        self._journal = journal
        self._intake = intake
        self._metrics = metrics

    async def after(self, fault: EngineFault, caution: Caution, *, now: int) -> Caution:
        """How the next term goes on; ``now`` in microseconds. Raises StoreUnavailable."""
        named: dict[str, object] = {"market": self._symbol, **log_fields(fault.trace)}
        if fault.order:
            named["order"] = order_id(self._symbol, fault.order)
        if fault.user:
            named["user"] = fault.user
        if not fault.number:
            # No command is to blame, so none is skipped: the market stands still and is alarmed.
            self._metrics.engine_faults.inc()
            _log.critical(
                "engine_fault_in_time", why=repr(fault.__cause__), exc_info=fault, **named
            )
            return caution
        if fault.number > caution.until:
            _log.error("engine_raised", first=fault.number, why=repr(fault.__cause__), **named)
            return Caution(until=fault.last, skip=caution.skip)
        self._metrics.engine_faults.inc()
        _log.critical(
            "engine_fault",
            command=fault.number,
            why=repr(fault.__cause__),
            exc_info=fault,
            **named,
        )
        last = await self._journal.last_skipped_at(self._market_id)
        if last is not None and now - last < _SECOND_FAULT:
            await self._intake.accept(
                self._market_id,
                bodies=pack_commands([SetState(TradingState.HALTED, Reason.ENGINE_ERROR)]),
                count=1,
                backlog_limit=_NO_LIMIT,
            )
        return Caution(until=caution.until, skip=caution.skip | {fault.number})

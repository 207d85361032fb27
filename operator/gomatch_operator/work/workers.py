"""Workers: each takes a Market from the queue, has it reconciled, and says when to look again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gomatch.concurrency import run_together
from gomatch.errors import Fenced, GomatchError
from gomatch.observability import logs
from gomatch_operator.errors import ClusterUnavailable, LeadershipLost
from gomatch_operator.market import MarketKey
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.work.queue import KeyedQueue

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``again_in``: look again after so many seconds; None: when something changes.
    ``incomplete``: something did not work and is tried again after a growing pause."""

    again_in: float | None = None
    incomplete: bool = False


class Workers:
    """``run`` works until it is cancelled; a Market under way is finished by whoever reconciles
    next, as every step may be repeated."""

    def __init__(
        self,
        queue: KeyedQueue,
        reconcile: Callable[[MarketKey], Awaitable[Outcome]],
        *,
        count: int,
        metrics: OperatorMetrics,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._metrics = metrics

    async def run(self) -> None:
        """Raises LeadershipLost, and Fenced when PostgreSQL knows a later leader."""
        await run_together(*(self._work() for _ in range(self._count)))

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._one(key)
            finally:
                self._queue.done(key)

    async def _one(self, key: MarketKey) -> None:
        started = time.perf_counter()
        result = "failed"
        try:
            outcome = await self._reconcile(key)
            result = "incomplete" if outcome.incomplete else "done"
            if outcome.incomplete:
                self._queue.failed(key)
            else:
                self._queue.succeeded(key)
            if outcome.again_in is not None:
                self._queue.add_after(key, outcome.again_in)
        except (LeadershipLost, Fenced):
            raise
        except ClusterUnavailable as error:
            self._again(key, error.code, str(error), at_least=error.retry_after or 0.0)
        except GomatchError as error:
            self._again(key, error.code, str(error))
        except Exception as error:  # noqa: BLE001 - logged whole, counted, tried again
            # A fault of ours in one Market must not stop the others.
            _log.exception("reconcile_fault", market=str(key), why=repr(error))
            self._again(key, "internal_error", repr(error))
        finally:
            self._metrics.reconciled(result, time.perf_counter() - started)

    def _again(self, key: MarketKey, code: str, why: str, *, at_least: float = 0.0) -> None:
        self._metrics.errors.labels(code).inc()
        delay = self._queue.failed(key, at_least=at_least)
        _log.warning(
            "reconcile_failed", market=str(key), code=code, why=why, again_in=round(delay, 1)
        )

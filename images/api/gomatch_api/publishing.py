"""Hands accepted commands to the broker in the background.

They are safe in PostgreSQL already and the matcher reads from there what the broker does not
bring, so a batch that cannot be published is counted and forgotten.
"""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec

from gomatch.cancellation import cancel_and_wait
from gomatch.errors import TransportError
from gomatch.messages.envelope import CommandBatch
from gomatch.observability import logs
from gomatch.observability.tracing import Tracing, log_fields
from gomatch_api.metrics import ApiMetrics
from gomatch_api.ports import Publisher

_log = logs.get(__name__)

IN_FLIGHT = 256
"""Batches that may wait for the broker's confirmation at once."""

PUBLISH_TIMEOUT = 5.0


class BackgroundPublisher:
    """Never blocks and never fails its caller; ``close`` waits for what is in flight."""

    def __init__(
        self,
        publisher: Publisher,
        metrics: ApiMetrics,
        *,
        timeout: float = PUBLISH_TIMEOUT,
        tracing: Tracing | None = None,
    ) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._timeout = timeout
        self._tracing = tracing or Tracing.off()
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, batch: CommandBatch) -> None:
        if len(self._tasks) >= IN_FLIGHT:
            self._metrics.publish_failures.labels("too_many_in_flight").inc()
            return
        task = asyncio.create_task(self._publish(batch))
        self._tasks.add(task)
        self._metrics.publishing.inc()
        task.add_done_callback(partial(self._finished, batch))

    async def close(self) -> None:
        """Wait for the confirmations, for at most the publish timeout."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._timeout)
            await cancel_and_wait(late)

    async def _publish(self, batch: CommandBatch) -> None:
        with (
            self._metrics.step_seconds.labels("publish").time(),
            self._tracing.batch("publish", batch.trace, market=batch.market) as trace,
        ):
            if trace != batch.trace:
                batch = msgspec.structs.replace(batch, trace=trace)
            await self._publisher.publish(batch, timeout=self._timeout)

    def _finished(self, batch: CommandBatch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._metrics.publishing.dec()
        if task.cancelled():
            self._metrics.publish_failures.labels("cancelled").inc()
            return
        error = task.exception()
        if error is None:
            return
        if isinstance(error, TransportError):
            self._metrics.publish_failures.labels("broker").inc()
            _log.debug("not_published", why=str(error), **_names(batch))
        else:
            self._metrics.publish_failures.labels("unexpected").inc()
            _log.error("not_published", exc_info=error, **_names(batch))


def _names(batch: CommandBatch) -> dict[str, object]:
    return {
        "market": batch.market,
        "first": batch.first,
        "last": batch.last,
        **log_fields(batch.trace),
    }

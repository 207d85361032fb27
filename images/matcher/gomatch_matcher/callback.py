"""The way back: every API replica gets the results of this market, each at its own pace."""

from __future__ import annotations

import asyncio

from gomatch.cancellation import cancel_and_wait
from gomatch.credentials import Tokens, no_tokens
from gomatch.messages.applied import AppliedBatch
from gomatch.observability import logs
from gomatch_matcher.callback_stream import (
    BacklogSource,
    FanoutHooks,
    PreparedBatch,
    ReplicaStream,
    StreamLimits,
)
from gomatch_matcher.callback_targets import (
    Resolver,
    TargetResolver,
    parse_targets,
    resolve_host,
)

_log = logs.get(__name__)

__all__ = ["BacklogSource", "CallbackFanout", "FanoutHooks", "StreamLimits"]


class CallbackFanout:
    """One stream for each replica behind ``targets`` (comma separated host:port), by whichever of
    its addresses; the first of ``tokens`` proves to them that this is a matcher. A
    replica that is slow, frozen or gone costs the others nothing: each has a buffer of its own, and
    a full one ends that stream, which comes back and resumes from the journal.

    ``buffer`` is in batches, ``resolve_every`` in seconds. Raises ConfigurationError on targets
    that cannot be read.
    """

    def __init__(
        self,
        *,
        market: str,
        targets: str,
        buffer: int,
        source: BacklogSource,
        tokens: Tokens = no_tokens,
        hooks: FanoutHooks | None = None,
        limits: StreamLimits | None = None,
        resolve: Resolver = resolve_host,
        resolve_every: float = 1.0,
    ) -> None:
        self._market = market
        self._source = source
        self._tokens = tokens
        self._hooks = hooks or FanoutHooks()
        self._limits = limits or StreamLimits(buffer=buffer)
        self._resolver = TargetResolver(parse_targets(targets), resolve=resolve, timeout=5.0)
        self._resolve_every = resolve_every
        self._streams: dict[str, ReplicaStream] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def connected(self) -> int:
        """Replicas whose stream is up."""
        return sum(stream.live for stream in self._streams.values())

    def publish(self, batch: AppliedBatch) -> None:
        """Hand a committed batch to all replicas. Never blocks and never raises for a replica."""
        prepared = PreparedBatch(batch)
        for stream in self._streams.values():
            stream.offer(prepared)

    async def run(self) -> None:
        """Keep one stream to each replica until cancelled."""
        try:
            while True:
                self._follow(await self._resolver.addresses())
                await asyncio.sleep(self._resolve_every)
        finally:
            await cancel_and_wait(self._tasks.values())
            self._tasks.clear()
            self._streams.clear()

    def _follow(self, addresses: list[str]) -> None:
        for address, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[address], self._streams[address]
                error = None if task.cancelled() else task.exception()
                if error is not None:
                    # Whatever it is, the market goes on and this replica gets a new stream.
                    self._hooks.dropped("internal_error")
                    _log.error(
                        "callback_stream_failed",
                        market=self._market,
                        replica=address,
                        exc_info=error,
                    )
        for address, stream in self._streams.items():
            stream.listed = address in addresses
        for address in addresses:
            if address not in self._streams:
                stream = ReplicaStream(
                    market=self._market,
                    address=address,
                    source=self._source,
                    limits=self._limits,
                    hooks=self._hooks,
                    on_change=self._changed,
                    tokens=self._tokens,
                    served=self._served,
                )
                self._streams[address] = stream
                self._tasks[address] = asyncio.create_task(
                    stream.run(), name=f"callback {self._market} {address}"
                )

    def _served(self, replica: str, address: str) -> bool:
        return bool(replica) and any(
            stream.live and stream.replica == replica and stream.address != address
            for stream in self._streams.values()
        )

    def _changed(self) -> None:
        self._hooks.connected(self.connected)

"""What the operator's own settings change in all Markets, a new default image first of all, reaches
a few at a time, and no more once one of them fails with it.

What a Market itself asks for never waits here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gomatch_operator.market import MarketKey
from gomatch_operator.outages import Fault
from gomatch_operator.watched import DeploymentStatus


class Rollouts:
    """``deadline`` in seconds: a Market that is not ready for so long with the new image stops the
    rollout. After a restart it counts anew."""

    def __init__(
        self,
        *,
        target: str,
        max_concurrent: int,
        deadline: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._max_concurrent = max_concurrent
        self._deadline = deadline
        self._clock = clock
        self._rolling: dict[MarketKey, float] = {}
        self._pending: dict[MarketKey, None] = {}

    def image_for(self, key: MarketKey, *, own: str, current: str) -> tuple[str, Fault | None]:
        """The image that the Market is to run now, and why that is not the default one yet.

        ``own`` is the one that its spec names, ``current`` that of its Deployment; empty: none.
        """
        if own or current in ("", self._target):
            self._pending.pop(key, None)
            return own or self._target, None
        fault = self.admit(key)
        return (self._target, None) if fault is None else (current, fault)

    def admit(self, key: MarketKey) -> Fault | None:
        """Let the Market's pods be replaced now, or say why not yet."""
        if key in self._rolling:
            return None
        self._pending[key] = None
        late = self._late()
        if late is not None:
            return Fault(
                "RolloutBlocked",
                f"{late} is not ready with what is new; this Market stays as it is.",
            )
        if len(self._rolling) >= self._max_concurrent:
            return Fault(
                "RolloutPending", f"{len(self._rolling)} other Markets take what is new first."
            )
        del self._pending[key]
        self._rolling[key] = self._clock()
        return None

    def look(self, key: MarketKey, deployment: DeploymentStatus | None, *, generation: int) -> None:
        """Note how far the Market is; ``generation`` is that of its Deployment."""
        if deployment is None:
            self._rolling.pop(key, None)
            return
        if deployment.observed_generation < generation:
            # What it says of its pods is of before the last change.
            return
        if deployment.total > deployment.updated:
            # Also one that was rolling before this process began.
            self._rolling.setdefault(key, self._clock())
        elif deployment.ready >= deployment.desired <= deployment.updated:
            self._rolling.pop(key, None)

    def forget(self, key: MarketKey) -> None:
        self._rolling.pop(key, None)
        self._pending.pop(key, None)

    def admissible(self) -> list[MarketKey]:
        """Markets that wait and could go now: look at them again."""
        if self._late() is not None:
            return []
        room = self._max_concurrent - len(self._rolling)
        return list(self._pending)[: max(0, room)]

    @property
    def pending(self) -> list[MarketKey]:
        return list(self._pending)

    def _late(self) -> MarketKey | None:
        now = self._clock()
        return next(
            (key for key, since in self._rolling.items() if now - since > self._deadline), None
        )

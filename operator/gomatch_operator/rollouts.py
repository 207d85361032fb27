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

_PENDING, _BLOCKED = "RolloutPending", "RolloutBlocked"


class Rollouts:
    """``deadline`` in seconds: a Market that is not ready for so long with the new image stops the
    rollout. After a restart it counts anew, but for one whose Deployment has passed its own."""

    def __init__(
        self,
        *,
        target: str,
        max_concurrent: int,
        deadline: float,
        wake: Callable[[MarketKey], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wake`` is called with a Market whose turn it is."""
        self._target = target
        self._max_concurrent = max_concurrent
        self._deadline = deadline
        self._wake = wake
        self._clock = clock
        self._rolling: dict[MarketKey, float] = {}
        self._pending: dict[MarketKey, str] = {}
        self._held: dict[MarketKey, dict[str, str]] = {}

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
        fault = self._obstacle()
        if fault is not None:
            self._pending[key] = fault.reason
            return fault
        self._pending.pop(key, None)
        self._held.pop(key, None)
        self._rolling[key] = self._clock()
        return None

    def held(self, key: MarketKey, kind: str, actual_hash: str) -> bool:
        """Whether the object of a Market that waits is still as it was when it began to wait:
        what somebody changes meanwhile must not wait, too."""
        return self._held.setdefault(key, {}).setdefault(kind, actual_hash) == actual_hash

    def resume(self, key: MarketKey, deployment: DeploymentStatus) -> None:
        """Note one that was rolling before this process began, before any other is admitted."""
        # What it says of its pods may be of before it was given the image.
        rolls = deployment.stale or deployment.total > deployment.updated
        if deployment.image == self._target and rolls:
            self._rolling[key] = float("-inf") if deployment.overdue else self._clock()

    def look(self, key: MarketKey, deployment: DeploymentStatus | None) -> None:
        """Note how far the Market is."""
        if key not in self._rolling:
            return
        if deployment is None:
            self._leave(key)
            return
        settled = deployment.ready >= deployment.desired <= deployment.updated
        if settled and not deployment.stale and deployment.total <= deployment.updated:
            self._leave(key)

    def withdraw(self, key: MarketKey) -> None:
        """It waits no more, as nobody carries its spec out now: others go before it."""
        self._pending.pop(key, None)
        self._held.pop(key, None)

    def forget(self, key: MarketKey) -> None:
        """It is gone, or about to be."""
        self.withdraw(key)
        if key in self._rolling:
            self._leave(key)

    def admissible(self) -> list[MarketKey]:
        """Markets that wait and could go now, or have to be told another reason why not: look at
        them again."""
        if self._late() is not None:
            return self._told_other_than(_BLOCKED)
        room = max(0, self._max_concurrent - len(self._rolling))
        first = list(self._pending)[:room]
        return first + [key for key in self._told_other_than(_PENDING) if key not in first]

    def _leave(self, key: MarketKey) -> None:
        del self._rolling[key]
        for waiting in self.admissible():
            self._wake(waiting)

    def _obstacle(self) -> Fault | None:
        late = self._late()
        if late is not None:
            return Fault(
                _BLOCKED, f"{late} is not ready with what is new; this Market stays as it is."
            )
        if len(self._rolling) >= self._max_concurrent:
            return Fault(_PENDING, f"{len(self._rolling)} other Markets take what is new first.")
        return None

    def _told_other_than(self, reason: str) -> list[MarketKey]:
        return [key for key, told in self._pending.items() if told != reason]

    def _late(self) -> MarketKey | None:
        now = self._clock()
        return next(
            (key for key, since in self._rolling.items() if now - since > self._deadline), None
        )

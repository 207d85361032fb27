"""Whether the watches still hear: a Lease is changed now and then, and that must be heard.

The API server being away is no reason to restart, nor is a right that is missing; a change that a
direct read shows and the watch has not brought in a long time is. It is a Lease, as those are what
everybody leaves out when they look who writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from gomatch.observability import logs
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterError, ObjectMissing

_log = logs.get(__name__)
_KIND = "Lease"


class Canary:
    """``run`` beats until it is cancelled; ``deaf`` is True once the watch must be taken for
    dead."""

    def __init__(
        self,
        api: ClusterApi,
        *,
        namespace: str,
        name: str,
        limit: float,
        watched: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limit`` in seconds: how long a change may go unheard. ``watched``: whether a watch
        should hear it, which none can before the kind is there and the rights are."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._limit = limit
        self._watched = watched
        self._clock = clock
        self._heard = 0
        self._unheard_since: float | None = None

    def heard(self, beat: int) -> None:
        """The watch has brought this change."""
        self._heard = beat
        self._unheard_since = None

    @property
    def deaf(self) -> bool:
        since = self._unheard_since
        return since is not None and self._clock() - since > self._limit

    async def run(self) -> None:
        while True:
            try:
                await self.beat()
            except ClusterError as error:
                # Nobody can say that a change went unheard while none can be read.
                self._unheard_since = None
                _log.info("canary_silent", why=str(error))
            await asyncio.sleep(self._limit / 3)

    async def beat(self) -> None:
        """Look at the change of before and, when it was heard, make the next."""
        if not self._watched():
            self._unheard_since = None
            return
        try:
            lease = await self._api.get(_KIND, self._namespace, self._name)
        except ObjectMissing:
            await self._api.create(_KIND, self._namespace, _lease(self._namespace, self._name))
            return
        spec = lease.setdefault("spec", {})
        beat = int(spec.get("leaseTransitions") or 0)
        if beat != self._heard:
            if self._unheard_since is None:
                self._unheard_since = self._clock()
            return
        spec["leaseTransitions"] = beat + 1
        await self._api.replace(_KIND, self._namespace, self._name, lease)


def _lease(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": _KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"holderIdentity": "canary", "leaseTransitions": 1},
    }

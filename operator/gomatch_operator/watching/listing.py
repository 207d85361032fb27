"""Lists of everything that is watched: at the start, so that no reconcile takes for missing what
was only not heard of yet; and after a watch began anew, which says nothing of what went meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gomatch.concurrency import Backoff
from gomatch.observability import logs
from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.projection import KINDS
from gomatch_operator.cluster.reading import read_owned, read_pod
from gomatch_operator.errors import ClusterError, Forbidden, ObjectMissing
from gomatch_operator.market import MarketKey, read_market
from gomatch_operator.watched import ObjectKey, Watched
from gomatch_operator.watching.arrivals import Arrivals
from gomatch_operator.watching.watch import Heard

_log = logs.get(__name__)
_OURS = f"{names.LABEL_MANAGED_BY}={names.FIELD_MANAGER}"
_SETTLE = 2.0
"""Seconds without an event of a new list, after which no more are awaited."""
_SETTLED_BY_THEN = 30
"""So often that is waited for; many objects come for longer, and each look is at all of them."""
_IDLE = 600.0
_REFUSED = 10.0
"""Seconds between two tries of a namespace that is not served."""


class Listing:
    """``namespaces``: empty for all. ``problem`` says why the first list is not there yet, or which
    namespaces are not served as a right is missing there."""

    def __init__(
        self,
        api: ClusterApi,
        watched: Watched,
        arrivals: Arrivals,
        *,
        namespaces: tuple[str, ...],
    ) -> None:
        self._api = api
        self._watched = watched
        self._arrivals = arrivals
        self._namespaces = namespaces or ("",)
        self._refused: dict[str, str] = {}
        self._beginning = True
        self.complete = asyncio.Event()
        self.changed = asyncio.Event()
        """A namespace that was not served can be: begin again."""
        self.problem = ""

    async def begin(self) -> tuple[str, ...]:
        """Hand all to the arrivals; returns the namespaces that can be watched, none for all.

        Waits for a CRD or a right that is missing, and until discovery tells of the CRD, as kopf
        would for ever leave out what it does not find there. One namespace of several, which may
        be gone with the rights in it, does not hold the others up.
        """
        backoff = Backoff(first=0.5, limit=10.0)
        self._beginning = True
        while True:
            self.changed.clear()
            try:
                await self._hand_over()
                if await self._api.discoverable(names.KIND):
                    break
                self.problem = f"the API server does not tell of the kind {names.KIND} yet"
            except ClusterError as error:
                self.problem = str(error)
            _log.warning("not_listed", why=self.problem)
            await asyncio.sleep(backoff.next_delay())
        self.problem = "; ".join(self._refused.values())
        if self.problem:
            _log.warning("namespaces_not_served", why=self.problem)
        self._arrivals.relisted.clear()
        self._beginning = False
        self.complete.set()
        return tuple(filter(None, self._served))

    def watched(self, namespace: str) -> bool:
        """Whether watches should hear of what changes there."""
        return not self._beginning and (self._namespaces == ("",) or namespace in self._served)

    async def run(self) -> None:
        """Look for what is gone, whenever a watch began anew and now and then."""
        await self.complete.wait()
        while True:
            try:
                async with asyncio.timeout(_REFUSED if self._refused else _IDLE):
                    await self._arrivals.relisted.wait()
            except TimeoutError:
                pass
            await self._settled()
            try:
                await self.forget_gone()
                await self._try_refused()
            except ClusterError as error:
                _log.info("not_compared", why=str(error))

    async def _settled(self) -> None:
        for _ in range(_SETTLED_BY_THEN):
            self._arrivals.relisted.clear()
            await asyncio.sleep(_SETTLE)
            if not self._arrivals.relisted.is_set():
                return

    async def _try_refused(self) -> None:
        """All of it: a watch that is opened for some of the rights only would be for nothing, and
        cost all other namespaces theirs."""
        for namespace in list(self._refused):
            try:
                for kind in (*KINDS, "Pod", names.KIND):
                    async for _ in self._api.list(kind, namespace, label_selector=_selector(kind)):
                        break
            except Forbidden:
                continue
            self.changed.set()

    async def forget_gone(self) -> None:
        """Drop what the watches know and the API server does not, unless it was made anew while
        that was found out. Raises ClusterError."""
        for key in await self._gone_markets():
            market = self._watched.markets.get(key)
            missing = await self._missing(names.KIND, key.namespace, key.name)
            now = self._watched.markets.get(key)
            if missing and market is not None and now is not None and now.uid == market.uid:
                self._arrivals.forget_market(key)
        for object_key in await self._gone_objects():
            known = self._watched.owned.get(object_key)
            if known is not None and await self._missing(*object_key):
                self._arrivals.forget_owned(object_key, known.uid)
        for key, name in await self._gone_pods():
            if await self._missing("Pod", key.namespace, name):
                self._arrivals.forget_pod(key, name)

    @property
    def _served(self) -> list[str]:
        return [each for each in self._namespaces if each not in self._refused]

    async def _hand_over(self) -> None:
        """Raises the refusal when no namespace is served."""
        self._refused.clear()
        refusal: Forbidden | None = None
        for namespace in self._namespaces:
            try:
                await self._hand_over_one(namespace)
            except Forbidden as error:
                refusal = error
                self._refused[namespace] = str(error)
        if refusal is not None and not self._served:
            self._refused.clear()
            raise refusal

    async def _hand_over_one(self, namespace: str) -> None:
        # Objects before Markets: then a Market's first look finds all that it has.
        for kind in KINDS:
            async for body in self._api.list(kind, namespace, label_selector=_selector(kind)):
                self._arrivals(Heard(read_owned({**body, "kind": kind}), listed=True, gone=False))
        async for body in self._api.list("Pod", namespace, label_selector=_OURS):
            pod = read_pod(body)
            if pod is not None:
                self._arrivals(Heard(pod, listed=True, gone=False))
        async for body in self._api.list(names.KIND, namespace):
            self._arrivals(Heard(read_market(body), listed=True, gone=False))

    async def _gone_markets(self) -> list[MarketKey]:
        known = list(self._watched.markets)
        there = {MarketKey(*_name(body)) async for body in self._list(names.KIND)}
        return [key for key in known if key not in there]

    async def _gone_objects(self) -> list[ObjectKey]:
        known = list(self._watched.owned)
        there = {
            ObjectKey(kind, *_name(body))
            for kind in KINDS
            async for body in self._list(kind, _OURS)
        }
        return [key for key in known if key not in there]

    async def _gone_pods(self) -> list[tuple[MarketKey, str]]:
        known = [(key, name) for key, pods in self._watched.pods.items() for name in pods]
        there = {_name(body) async for body in self._list("Pod", _OURS)}
        return [(key, name) for key, name in known if (key.namespace, name) not in there]

    async def _list(self, kind: str, selector: str = "") -> AsyncIterator[dict[str, object]]:
        for namespace in self._served:
            async for body in self._api.list(kind, namespace, label_selector=selector):
                yield body

    async def _missing(self, kind: str, namespace: str, name: str) -> bool:
        try:
            await self._api.get(kind, namespace, name)
        except ObjectMissing:
            return True
        except Forbidden:
            # In a namespace that is not served, of which only Markets can be read.
            return False
        return False


def _selector(kind: str) -> str:
    return "" if kind == names.KIND else _OURS


def _name(body: dict[str, object]) -> tuple[str, str]:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return metadata["namespace"], metadata["name"]

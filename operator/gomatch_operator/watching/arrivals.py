"""What an event means: `Watched` is brought up to date, and the Market concerned is queued if
anything changed that a reconcile would look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from gomatch_operator.market import Market, MarketKey
from gomatch_operator.watched import ObjectKey, OwnedObject, PodSummary, Watched, is_older
from gomatch_operator.watching.watch import CanaryBeat, Heard
from gomatch_operator.work import KeyedQueue


class Arrivals:
    def __init__(self, watched: Watched, queue: KeyedQueue, *, beat: Callable[[int], None]) -> None:
        """``beat`` is told of each change of the canary that the watch sees."""
        self._watched = watched
        self._queue = queue
        self._beat = beat
        self.relisted = asyncio.Event()
        """A watch has begun anew, with a list: of what went meanwhile it says nothing."""

    def __call__(self, heard: Heard) -> None:
        found = heard.object
        if heard.listed:
            self.relisted.set()
        if isinstance(found, Market):
            self._market(found, listed=heard.listed, gone=heard.gone)
        elif isinstance(found, OwnedObject):
            self._owned(found, listed=heard.listed, gone=heard.gone)
        elif isinstance(found, PodSummary):
            self._pod(found, gone=heard.gone)
        elif isinstance(found, CanaryBeat):
            self._beat(found.beat)

    def forget_market(self, key: MarketKey) -> None:
        """It is gone; those that waited for its symbol are looked at."""
        market = self._watched.markets.get(key)
        self._watched.drop_market(key)
        self._queue.add(key, urgent=True)
        if market is not None and market.spec is not None:
            for rival in self._watched.rivals(market.spec.symbol):
                self._queue.add(rival.key, urgent=True)

    def forget_owned(self, key: ObjectKey, uid: str) -> None:
        """The object with this uid is gone. Nothing happens when it was made anew meanwhile."""
        owned = self._watched.owned.get(key)
        self._watched.drop_owned(key, uid)
        if owned is not None and owned.uid == uid:
            self._queue.add(MarketKey(key.namespace, owned.market), urgent=True)

    def forget_pod(self, key: MarketKey, name: str) -> None:
        pods = self._watched.pods.get(key, {})
        if pods.pop(name, None) is not None:
            self._queue.add(key, urgent=True)
        if not pods:
            self._watched.pods.pop(key, None)

    def _market(self, market: Market, *, listed: bool, gone: bool) -> None:
        before = self._watched.markets.get(market.key)
        if gone:
            if before is None or before.uid == market.uid:
                self.forget_market(market.key)
            return
        if before is not None:
            if not listed and _is_of_before(market, before):
                return
            if before.uid != market.uid:
                self._watched.drop_market(market.key)
            elif not listed and is_older(market.resource_version, before.status_version):
                market = replace(market, status=before.status, status_version=before.status_version)
        self._watched.markets[market.key] = market
        if before is None or _asked(before) != _asked(market):
            self._queue.add(market.key, urgent=not listed)

    def _owned(self, owned: OwnedObject, *, listed: bool, gone: bool) -> None:
        before = self._watched.owned.get(owned.key)
        if gone:
            self._watched.note_gone(owned)
            self.forget_owned(owned.key, owned.uid)
            if before is None:
                # It may have been made just now, and the answer to that not be here yet.
                self._queue.add(MarketKey(owned.key.namespace, owned.market), urgent=True)
            return
        self._watched.keep_owned(owned, listed=listed)
        now = self._watched.owned.get(owned.key)
        if now is None:
            return  # of before the watch lost it
        if before is None or _told(before) != _told(now):
            # Somebody may have given it the label of another.
            for market in {now.market, (before or now).market}:
                self._queue.add(MarketKey(owned.key.namespace, market), urgent=not listed)

    def _pod(self, pod: PodSummary, *, gone: bool) -> None:
        key = MarketKey(pod.namespace, pod.market)
        before = self._watched.pods.get(key, {}).get(pod.name)
        if gone:
            if before is not None and before.uid == pod.uid:
                self.forget_pod(key, pod.name)
            return
        if before is not None and is_older(pod.resource_version, before.resource_version):
            return
        self._watched.pods.setdefault(key, {})[pod.name] = pod
        if before is None or _told(before) != _told(pod):
            self._queue.add(key, urgent=True)


def _is_of_before(market: Market, known: Market) -> bool:
    """Older than what is known, be it of one of the name that has gone: what the watch tells of
    one Market comes in order, and of two it may come in any."""
    if market.uid != known.uid and market.created_at != known.created_at:
        # Versions do not count between them, as a restored etcd starts from older ones.
        return market.created_at < known.created_at
    return is_older(market.resource_version, known.resource_version)


def _asked(market: Market) -> tuple[object, ...]:
    """What somebody wants of it: all but its status and what changes with it."""
    return (
        market.uid,
        market.generation,
        market.deleting,
        market.finalizers,
        tuple(sorted(market.annotations.items())),
        market.problem,
    )


def _told(found: OwnedObject | PodSummary) -> object:
    if isinstance(found, OwnedObject):
        return (
            found.uid,
            found.owner_uid,
            found.desired_hash,
            found.actual_hash,
            found.deleting,
            found.replicas,
        )
    return (
        found.uid,
        found.role,
        found.deletion_cost,
        found.ready,
        found.deleting,
        found.phase,
        found.node,
        found.waiting_reason,
        found.unschedulable,
        found.restarts,
    )

"""Keeps the objects of Markets as they are desired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import structlog

from gomatch_operator import names
from gomatch_operator.actions import Action
from gomatch_operator.actions import Verb as ActionVerb
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.ownership import Standing, foreign_message, standing
from gomatch_operator.cluster.projection import KINDS, difference, restored
from gomatch_operator.cluster.reading import read_owned
from gomatch_operator.cluster.writes import Creation, Removal, Restoration, Write
from gomatch_operator.desired.values import Desired, DesiredObject
from gomatch_operator.errors import (
    ForeignObject,
    ObjectChanged,
    ObjectExists,
    ObjectInvalid,
    ObjectMissing,
)
from gomatch_operator.watched import ObjectKey, OwnedObject, Settled, Watched

_LOG = structlog.get_logger(__name__)
_ATTEMPTS = 5


class ClusterReconciler:
    """What it writes it notes in ``watched`` at once, so that the next plan is right before the
    watch has seen it."""

    def __init__(self, api: ClusterApi, watched: Watched) -> None:
        self._api = api
        self._watched = watched

    async def observe(self) -> Watched:
        """Asks nobody: the watches have done it."""
        return self._watched

    def plan(self, desired: Desired, observed: Watched) -> Sequence[Action]:
        """While an object of our name is foreign, nothing new is made: a pod could read somebody
        else's configuration. What is being deleted is waited for."""
        blocked = bool(foreign(desired, observed))
        actions = []
        for wanted in desired.objects:
            known = observed.owned.get(wanted.key)
            if known is None:
                if not blocked:
                    actions.append(_creation(desired, wanted, wanted.key in observed.vanished))
            elif _is_ours(known, desired):
                actions += _restoration(wanted, known, observed.settled.get(wanted.key))
        wanted_keys = {wanted.key for wanted in desired.objects}
        actions += [
            _action("delete", known.key, "it is not wanted any more", Removal(known=known))
            for known in _known(desired, observed)
            if known.key not in wanted_keys and _is_ours(known, desired)
        ]
        return actions

    async def apply(self, action: Action) -> None:
        """Raises ForeignObject, ObjectChanged when it has to be planned again, or another
        ClusterError as the API server refuses."""
        write: Write = action.body
        match write:
            case Creation():
                await self._create(write)
            case Restoration():
                await self._restore(write)
            case Removal(known=known):
                await self._remove(known.key, known.uid)

    async def _create(self, write: Creation) -> None:
        wanted = write.wanted
        kind, namespace, name = wanted.key
        try:
            live = await self._api.create(kind, namespace, _annotated(wanted))
        except ObjectExists:
            live = await self._api.get(kind, namespace, name)
            known = read_owned(live)
            match standing(known, write.market, write.market_uid):
                case Standing.FOREIGN:
                    raise ForeignObject(foreign_message(known), status=409) from None
                case Standing.LEAVING:
                    self._watched.keep_owned(known)
                    raise ObjectChanged(f"{kind} {namespace}/{name} is being deleted") from None
                case Standing.OURS:
                    await self._restore(Restoration(wanted=wanted, uid=known.uid))
            return
        self._settle(wanted, live)

    async def _restore(self, write: Restoration) -> None:
        """Server-side apply removes neither what others put into lists and maps that are all
        ours, nor what we once created: that takes an update of the whole object."""
        wanted = write.wanted
        kind, namespace, name = wanted.key
        try:
            live = await self._api.apply(kind, namespace, name, _annotated(wanted, uid=write.uid))
            live = await self._make_exact(wanted, live)
        except ObjectInvalid:
            if kind == "Deployment":
                raise
            await self._make_anew(write)
            return
        self._settle(wanted, live)

    async def _make_exact(self, wanted: DesiredObject, live: dict[str, Any]) -> dict[str, Any]:
        """The controller of a Deployment writes its status while we look."""
        kind, namespace, name = wanted.key
        uid = live["metadata"]["uid"]
        for attempt in range(_ATTEMPTS):
            exact = restored(live, wanted.body)
            if exact == live:
                break
            try:
                return await self._api.replace(kind, namespace, name, exact)
            except ObjectChanged:
                live = await self._api.get(kind, namespace, name)
                if attempt == _ATTEMPTS - 1 or live["metadata"]["uid"] != uid:
                    raise
        return live

    async def _make_anew(self, write: Restoration) -> None:
        """It has what nobody can change back, as a ConfigMap's ``immutable``."""
        kind, namespace, _ = write.wanted.key
        await self._remove(write.wanted.key, write.uid)
        live = await self._api.create(kind, namespace, _annotated(write.wanted))
        self._settle(write.wanted, live)

    async def _remove(self, key: ObjectKey, uid: str) -> None:
        with suppress(ObjectMissing):
            await self._api.delete(key.kind, key.namespace, key.name, uid=uid)
        self._watched.drop_owned(key, uid, wanted=False)

    def _settle(self, wanted: DesiredObject, live: dict[str, Any]) -> None:
        """Writing the same again could not make it right: that would go on for ever."""
        owned = read_owned(live)
        self._watched.keep_owned(owned)
        if owned.actual_hash == wanted.hash:
            self._watched.settled.pop(wanted.key, None)
            return
        self._watched.settled[wanted.key] = Settled(wanted.hash, owned.actual_hash)
        _LOG.warning(
            "object_not_as_written",
            kind=wanted.key.kind,
            namespace=wanted.key.namespace,
            name=wanted.key.name,
            fields=difference(live, wanted.body),
            cause="the API server or an admission webhook changes what is written",
        )


def foreign(desired: Desired, observed: Watched) -> Sequence[str]:
    """For each watched object of our name that is somebody else's, what to do about it. One
    without our labels is not watched: making it raises ForeignObject."""
    return [
        foreign_message(known)
        for known in _known(desired, observed)
        if _standing(known, desired) is Standing.FOREIGN
    ]


def leaving(desired: Desired, observed: Watched) -> Sequence[ObjectKey]:
    """Objects of our name that are being deleted; when they are gone they are made anew."""
    return [
        known.key
        for known in _known(desired, observed)
        if _standing(known, desired) is Standing.LEAVING
    ]


def _known(desired: Desired, observed: Watched) -> Iterator[OwnedObject]:
    """Of all kinds, desired or not."""
    namespace, market = desired.market
    for kind in KINDS:
        known = observed.owned.get(ObjectKey(kind, namespace, names.matcher_name(market)))
        if known is not None:
            yield known


def _standing(known: OwnedObject, desired: Desired) -> Standing:
    return standing(known, desired.market, desired.uid)


def _is_ours(known: OwnedObject, desired: Desired) -> bool:
    return _standing(known, desired) is Standing.OURS


def _creation(desired: Desired, wanted: DesiredObject, vanished: bool) -> Action:
    write = Creation(market=desired.market, market_uid=desired.uid, wanted=wanted)
    why = "it was deleted" if vanished else "it is missing"
    return _action("create", wanted.key, why, write, drift=vanished)


def _restoration(
    wanted: DesiredObject, known: OwnedObject, settled: Settled | None
) -> Iterator[Action]:
    write = Restoration(wanted=wanted, uid=known.uid)
    if known.desired_hash != wanted.hash:
        yield _action("apply", wanted.key, "it shall be another", write)
    elif known.actual_hash not in (wanted.hash, _became(settled, wanted)):
        yield _action("apply", wanted.key, "somebody changed it", write, drift=True)


def _became(settled: Settled | None, wanted: DesiredObject) -> str:
    if settled is None or settled.desired_hash != wanted.hash:
        return wanted.hash
    return settled.actual_hash


def _action(
    verb: ActionVerb, key: ObjectKey, why: str, write: Write, *, drift: bool = False
) -> Action:
    return Action(
        layer="cluster",
        verb=verb,
        kind=key.kind,
        name=key.name,
        why=why,
        drift=drift,
        body=write,
    )


def _annotated(wanted: DesiredObject, *, uid: str = "") -> dict[str, Any]:
    metadata = {
        **wanted.body["metadata"],
        "annotations": {names.ANNOTATION_HASH: wanted.hash},
    }
    if uid:
        metadata["uid"] = uid
    return {**wanted.body, "metadata": metadata}

"""Keeps the objects of Markets as they are desired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from gomatch.observability import logs
from gomatch_operator import names
from gomatch_operator.actions import Action
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.ownership import Standing, foreign_message, standing
from gomatch_operator.cluster.planning import plan
from gomatch_operator.cluster.projection import difference, restored
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
from gomatch_operator.watched import ObjectKey, Settled, Watched

_log = logs.get(__name__)
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
        return plan(desired, observed)

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
            try:
                body = _annotated(wanted, uid=write.uid)
                live = await self._api.apply(kind, namespace, name, body)
            except ObjectInvalid:
                # What others put beside ours may contradict it, as a second handler of a probe.
                live = await self._api.get(kind, namespace, name)
                if live["metadata"]["uid"] != write.uid:
                    raise
            live = await self._make_exact(wanted, live)
        except ObjectInvalid as error:
            if kind == "Deployment" or "immutable" not in str(error):
                raise
            await self._make_anew(write)
            return
        self._settle(wanted, live)

    async def _make_exact(self, wanted: DesiredObject, live: dict[str, Any]) -> dict[str, Any]:
        """The controller of a Deployment writes its status while we look."""
        kind, namespace, name = wanted.key
        uid = live["metadata"]["uid"]
        for attempt in range(_ATTEMPTS):
            exact = _with_hash(restored(live, wanted.body), wanted)
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
        _log.warning(
            "object_not_as_written",
            kind=wanted.key.kind,
            namespace=wanted.key.namespace,
            name=wanted.key.name,
            fields=difference(live, wanted.body),
            why="the API server or an admission webhook changes what is written",
        )


def _annotated(wanted: DesiredObject, *, uid: str = "") -> dict[str, Any]:
    body = _with_hash(wanted.body, wanted)
    if uid:
        body["metadata"]["uid"] = uid
    return body


def _with_hash(body: Mapping[str, Any], wanted: DesiredObject) -> dict[str, Any]:
    metadata = body["metadata"]
    annotations = {**metadata.get("annotations", {}), names.ANNOTATION_HASH: wanted.hash}
    return {**body, "metadata": {**metadata, "annotations": annotations}}

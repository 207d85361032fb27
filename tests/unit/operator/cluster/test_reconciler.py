"""What the reconciler does with the answers of the API server that a real one seldom gives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gomatch_operator.cluster.reading import read_owned
from gomatch_operator.cluster.reconciler import ClusterReconciler
from gomatch_operator.desired import Desired, desired
from gomatch_operator.errors import ForeignObject, ObjectChanged, ObjectInvalid
from gomatch_operator.watched import ObjectKey, Watched
from gomatch_operator.watching import Arrivals, Heard
from gomatch_operator.work import KeyedQueue
from tests.fixtures.example_markets import PLAIN_SPEC, example_market, example_settings
from tests.fixtures.memory_cluster import MemoryApi

MARKET = example_market()
WANTED = desired(MARKET, example_settings(), image="gomatch-matcher:1")


DEPLOYMENT = ObjectKey("Deployment", "venue", "btc-usdt-matcher")
SERVICE = ObjectKey("Service", "venue", "btc-usdt-matcher")


class Setting:
    def __init__(self) -> None:
        self.api = MemoryApi()
        self.watched = Watched(markets={MARKET.key: MARKET})
        self.reconciler = ClusterReconciler(self.api, self.watched)

    async def reconcile(self, wanted: Desired = WANTED) -> list[str]:
        """Writes that it took."""
        self.api.writes.clear()
        for action in self.reconciler.plan(wanted, self.watched):
            await self.reconciler.apply(action)
        return self.api.writes


@pytest.fixture
def setting() -> Setting:
    return Setting()


def with_standby() -> Desired:
    market = example_market({**PLAIN_SPEC, "standbys": 1})
    return desired(market, example_settings(), image="gomatch-matcher:1")


async def test_what_a_webhook_changes_is_written_once_and_then_left(setting: Setting) -> None:
    setting.api.webhook = {"publishNotReadyAddresses": False}

    assert await setting.reconcile() == ["create"] * 5
    assert await setting.reconcile() == []


async def test_an_update_is_tried_again_when_the_object_was_changed_meanwhile(
    setting: Setting,
) -> None:
    await setting.reconcile()
    setting.api.objects[DEPLOYMENT]["spec"]["paused"] = True
    setting.api.conflicts = 2

    writes = await setting.reconcile(with_standby())

    assert writes == ["apply", "refused", "refused", "replace"]
    assert "paused" not in setting.api.objects[DEPLOYMENT]["spec"]


async def test_an_object_that_changes_all_the_time_is_left_for_later(setting: Setting) -> None:
    await setting.reconcile()
    setting.api.objects[DEPLOYMENT]["spec"]["paused"] = True
    setting.api.conflicts = 1_000

    with pytest.raises(ObjectChanged):
        await asyncio.wait_for(setting.reconcile(with_standby()), timeout=10)

    assert len(setting.api.writes) < 10


async def test_an_object_is_not_deleted_because_what_is_wanted_is_refused(
    setting: Setting,
) -> None:
    await setting.reconcile()
    setting.api.refusal = ObjectInvalid("spec.ports[0].port: must be 1 to 65535", status=422)
    moved = example_settings().model_copy(update={"namespace": "elsewhere"})

    with pytest.raises(ObjectInvalid):
        await setting.reconcile(desired(MARKET, moved, image="gomatch-matcher:1"))

    assert "delete" not in setting.api.writes


async def test_an_object_that_was_made_anew_meanwhile_is_not_written_over(
    setting: Setting,
) -> None:
    await setting.reconcile()
    theirs = setting.api.objects[DEPLOYMENT]
    theirs["metadata"] = {**theirs["metadata"], "uid": "another"}
    before = dict(theirs)

    with pytest.raises(ObjectChanged):
        await setting.reconcile(with_standby())
    assert setting.api.objects[DEPLOYMENT] == before


async def test_an_object_of_somebody_else_is_neither_adopted_nor_changed(
    setting: Setting,
) -> None:
    theirs = {"metadata": {"name": "btc-usdt-matcher", "namespace": "venue", "uid": "u"}}
    setting.api.objects[SERVICE] = {"kind": "Service", **theirs, "spec": {}}
    before = dict(setting.api.objects[SERVICE])

    with pytest.raises(ForeignObject, match="Service venue/btc-usdt-matcher"):
        await setting.reconcile()
    assert setting.api.objects[SERVICE] == before
    assert DEPLOYMENT not in setting.api.objects


async def test_an_object_that_the_watch_has_not_told_of_yet_is_put_right(
    setting: Setting,
) -> None:
    await setting.reconcile()
    setting.watched.owned.clear()
    await setting.reconcile(with_standby())

    assert setting.api.objects[DEPLOYMENT]["spec"]["replicas"] == 2


@pytest.mark.parametrize("verb", ["create", "apply"])
async def test_an_object_that_is_gone_before_the_answer_to_its_last_write_is_made_again(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The watch tells that it is gone before the answer tells that it is there."""
    if verb == "apply":
        await setting.reconcile()
    queue = KeyedQueue(limit=10)
    arrivals = Arrivals(setting.watched, queue, beat=lambda _: None)
    write = getattr(setting.api, verb)

    async def answered_late(kind: str, *arguments: Any) -> dict[str, Any]:
        live: dict[str, Any] = await write(kind, *arguments)
        if kind == "Deployment":
            del setting.api.objects[DEPLOYMENT]
            last = {**live, "metadata": {**live["metadata"], "resourceVersion": "99"}}
            arrivals(Heard(read_owned(last), listed=False, gone=True))
        return live

    with monkeypatch.context() as patch:
        patch.setattr(setting.api, verb, answered_late)
        await setting.reconcile(with_standby())

    assert queue.length == 1
    [creation] = setting.reconciler.plan(with_standby(), setting.watched)
    assert (creation.kind, creation.drift) == ("Deployment", True)
    assert await setting.reconcile(with_standby()) == ["create"]


async def test_an_object_that_lost_the_label_by_which_it_is_watched_is_known_once_put_back(
    setting: Setting,
) -> None:
    await setting.reconcile()
    arrivals = Arrivals(setting.watched, KeyedQueue(limit=10), beat=lambda _: None)
    live = setting.api.objects[DEPLOYMENT]
    lost = {**live, "metadata": {**live["metadata"], "resourceVersion": "5"}}
    arrivals(Heard(read_owned(lost), listed=False, gone=True))
    assert DEPLOYMENT not in setting.watched.owned
    setting.api.writes = ["other"] * 5
    for action in setting.reconciler.plan(WANTED, setting.watched):
        await setting.reconciler.apply(action)

    assert DEPLOYMENT in setting.watched.owned


async def test_an_object_that_is_being_deleted_is_waited_for(setting: Setting) -> None:
    await setting.reconcile()
    setting.watched.owned.clear()
    metadata = setting.api.objects[SERVICE]["metadata"]
    metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    with pytest.raises(ObjectChanged, match="is being deleted"):
        await setting.reconcile(with_standby())

"""A Market that is deleted, with each server away for a while."""

from __future__ import annotations

from gomatch.transport.rabbitmq import topology
from gomatch_operator import conditions as c
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.story import Story

_DELETING = Saying(c.READY, "False", "Deleting")
_NO_STORE = Saying(c.DRAINING, "True", "StoreUnavailable")
_CLOSING = Saying(c.DRAINING, "True", "Closing")
_WAITING = Saying(c.DRAINING, "True", "WaitingForMatcher", "commands wait")
_IMAGE = Saying(c.DRAINING, "True", "WritingImage")
_CLEANING = Saying(c.DRAINING, "True", "CleaningUp", "RabbitMQ")
_STEPS = (_NO_STORE, _CLOSING, _WAITING, _IMAGE, _CLEANING)


async def _tell(stage: Stage) -> None:
    market = stage.market(deletionPolicy="Delete")
    await market.bind_pod("a-node")
    pod = await market.make_pods_ready()
    await market.says(Saying(c.QUEUE_READY, "True", "InStep"))

    before = market.read()["metadata"]["resourceVersion"]
    stage.proxies["postgres"].cut()
    market.delete()
    await market.says(_NO_STORE)
    stage.proxies["postgres"].restore()
    await market.says(_WAITING)
    assert market.told(_CLOSING) == 1

    stage.proxies["management"].cut()
    async with market.matcher(pod=pod):
        # What a kubelet does: it ends the matcher, and then says that the pod is gone.
        await market.says(_IMAGE)
    stage.delete(stage.path("pods", pod), gracePeriodSeconds=0)
    await market.says(_CLEANING)
    stage.proxies["management"].restore()
    await market.stage_until(market.gone, "gone")

    broker = stage.site.broker
    assert broker.get(broker.at("queues", topology.queue_name(market.symbol))) is None
    rows = await stage.site.sql("SELECT 1 FROM markets WHERE symbol = $1", market.symbol)
    assert not rows
    ready = _ready_at_each_step(market, since=before)
    assert ready == {step.reason: {(_DELETING.status, _DELETING.reason)} for step in _STEPS}


def _ready_at_each_step(market: StagedMarket, *, since: str) -> dict[str, set[tuple[str, str]]]:
    """What Ready said, by the reason of Draining."""
    found: dict[str, set[tuple[str, str]]] = {}
    for version in market.versions(since):
        said = {each["type"]: each for each in version["status"]["conditions"]}
        draining, ready = said[c.DRAINING], said[c.READY]
        if draining["status"] == "True":
            told = found.setdefault(draining["reason"], set())
            told.add((ready["status"], ready["reason"]))
    return found


LEAVING = Story(tell=_tell, says=(_DELETING, *_STEPS))

"""Specs that are sound, that cannot work, or that this operator cannot read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from gomatch_operator import conditions as c
from gomatch_operator import names
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.situation import Situation

_CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.CRD_NAME}"
_SCHEMA = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
VALID = Saying(c.SPEC_VALID, "True", "Valid")
IN_STEP = Saying(c.STORE_READY, "True", "InStep")
STARTING = Saying(c.MATCHER_AVAILABLE, "False", "Starting")


async def nothing_wrong(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.pod()
    yield market


async def another_image(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.make_pods_ready()
    market.change(matcher={"image": "registry.example/another:1"})
    yield market


async def no_multiple_of_the_lot(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market(minQuantity="0.0005")
    yield market
    market.change(minQuantity="0.001")


async def transport_kafka(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market(transport="Kafka")
    yield market
    market.change(transport="RabbitMQ")


async def newer_definition(stage: Stage) -> AsyncIterator[StagedMarket]:
    """It lets a state through that this operator does not know."""
    with _definition(stage, [{"op": "add", "path": f"{_SCHEMA}/state/enum/-", "value": "Frozen"}]):
        market = stage.market()
        await market.says(STARTING)
        await market.stage_until(lambda: _accepts(market, "Frozen"), "may be Frozen")
        yield market
        market.change(state="Running")


async def older_definition(stage: Stage) -> AsyncIterator[StagedMarket]:
    """It drops a field that this operator serves."""
    market = stage.market()
    await market.says(STARTING)
    with _definition(stage, [{"op": "remove", "path": f"{_SCHEMA}/snapshot"}]):
        yield market


async def paused(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market(annotations={names.ANNOTATION_PAUSED: "true"})
    yield market
    market.annotate(paused=None)


def _accepts(market: StagedMarket, state: str) -> bool:
    answer = market.stage.kube.patch(
        market.path,
        json={"spec": {"state": state}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    return answer.status_code == 200


@contextmanager
def _definition(stage: Stage, patch: list[dict[str, Any]]) -> Iterator[None]:
    """The CRD changed so, and as it was afterwards."""
    before = stage.get(_CRD)
    assert before is not None
    stage.patch(_CRD, patch, kind="json")
    try:
        yield
    finally:
        stage.patch(_CRD, {"spec": before["spec"]})


SITUATIONS = (
    Situation(
        name="nothing is wrong and no pod runs yet",
        arrange=nothing_wrong,
        says=(
            VALID,
            IN_STEP,
            STARTING,
            Saying(c.READY, "False", "MatcherNotAvailable"),
            Saying(c.QUEUE_READY, "True", "InStep"),
            Saying(c.CACHE_READY, "False", "NotStarted"),
            Saying(c.PROGRESSING, "True", "Reconciling", "0 of 1 pods"),
            Saying(c.HALTED, "False", "NotHalted"),
            Saying(c.DRAINING, "False", "NotDeleting"),
            Saying(c.CONFLICT, "False", "NoConflict"),
            Saying(c.RECONCILIATION_PAUSED, "False", "Active"),
        ),
    ),
    Situation(
        name="another image is asked for",
        arrange=another_image,
        says=(Saying(c.PROGRESSING, "True", "RollingOut", "1 of 1 pods"),),
    ),
    Situation(
        name="a quantity is no multiple of the lot size",
        arrange=no_multiple_of_the_lot,
        says=(
            Saying(c.SPEC_VALID, "False", "OutOfRange", "min_quantity"),
            Saying(c.READY, "False", "SpecInvalid", "min_quantity"),
            Saying(c.STORE_READY, "False", "SpecInvalid"),
            Saying(c.MATCHER_AVAILABLE, "False", "NotStarted"),
            Saying(c.QUEUE_READY, "False", "NotStarted"),
            Saying(c.PROGRESSING, "False", "Blocked"),
        ),
        afterwards=(VALID, IN_STEP, STARTING),
    ),
    Situation(
        name="the transport is Kafka",
        arrange=transport_kafka,
        says=(Saying(c.SPEC_VALID, "False", "TransportUnavailable", "Kafka"),),
        afterwards=(VALID, IN_STEP, STARTING),
    ),
    Situation(
        name="the CRD is newer than the operator",
        arrange=newer_definition,
        says=(Saying(c.SPEC_VALID, "False", "Unreadable", "Frozen"),),
        afterwards=(VALID, IN_STEP),
    ),
    Situation(
        name="the CRD is older than the operator",
        on_operator="CrdTooOld",
        arrange=older_definition,
        says=(Saying(c.SPEC_VALID, "False", "CrdTooOld", "snapshot"),),
        afterwards=(VALID, IN_STEP),
    ),
    Situation(
        name="reconciliation is paused",
        arrange=paused,
        says=(
            Saying(c.RECONCILIATION_PAUSED, "True", "Paused"),
            Saying(c.STORE_READY, "False", "NotClaimed"),
            Saying(c.MATCHER_AVAILABLE, "False", "NotStarted"),
        ),
        afterwards=(Saying(c.RECONCILIATION_PAUSED, "False", "Active"), IN_STEP, STARTING),
    ),
)

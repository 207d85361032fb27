"""A new default image reaches one Market after the other, and stops where one fails with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from gomatch_operator import names
from tests.fixtures.operator_process import IMAGE, Document, until
from tests.fixtures.operator_stage import Stage
from tests.fixtures.owned_objects import OwnedObjects
from tests.fixtures.staged_market import Saying, StagedMarket

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEW = "registry.example/gomatch-matcher:2"
OWN = "registry.example/gomatch-matcher:own"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def markets(empty_stage: Stage) -> Sequence[StagedMarket]:
    """Four, which run the first image and are ready."""
    empty_stage.start()
    made = [empty_stage.market() for _ in range(4)]
    for market in made:
        await market.stage_until(partial(ready_with, market, IMAGE), "ready")
        await market.says(Saying("Progressing", "False", "Settled"))
    return made


async def test_markets_take_a_new_image_one_by_one_until_one_fails_and_after_it_is_mended(
    empty_stage: Stage, markets: Sequence[StagedMarket]
) -> None:
    await roll_out(empty_stage, deadline=300)
    await until(lambda: with_image(markets, NEW))
    [first] = with_image(markets, NEW)
    others = [market for market in markets if market is not first]
    for market in others:
        await market.says(Saying("Progressing", "True", "RolloutPending"))
    assert with_image(markets, NEW) == [first]

    await first.stage_until(partial(ready_with, first, NEW), "ready with the new image")
    await until(lambda: with_image(others, NEW))
    [second] = with_image(others, NEW)
    third, fourth = (market for market in others if market is not second)

    # It is not ready in time, counted anew after a restart.
    await roll_out(empty_stage, deadline=5)
    for market in (third, fourth):
        await market.says(Saying("Progressing", "True", "RolloutBlocked", words=second.name))
    assert with_image(others, NEW) == [second]

    # What is done by hand gains nothing, what a Market itself asks for waits for nobody.
    by_hand = {"spec": {"template": {"spec": {"containers": [_container("theirs:1")]}}}}
    OwnedObjects(empty_stage, third).edit("Deployment", by_hand)
    await third.stage_until(lambda: image(third) == IMAGE, "the image of before")
    third.change(standbys=1)
    await third.stage_until(lambda: deployment(third)["spec"]["replicas"] == 2, "two replicas")
    assert image(third) == IMAGE
    third.change(matcher={"image": OWN})
    await third.stage_until(lambda: image(third) == OWN, "its own image")
    await fourth.says(Saying("Progressing", "True", "RolloutBlocked"))

    await second.stage_until(partial(ready_with, second, NEW), "ready after all")
    await fourth.stage_until(partial(ready_with, fourth, NEW), "ready with the new image")
    for market in (first, second, fourth):
        await market.says(Saying("Progressing", "False", "Settled"))


async def roll_out(stage: Stage, *, deadline: int) -> None:
    """Run an operator with the new image in place of the one that runs."""
    await stage.stop()
    matcher = {**stage.site.settings["matcher"], "image": NEW}
    stage.start(matcher=matcher, rollout={"maxConcurrent": 1, "deadlineSeconds": deadline})


def deployment(market: StagedMarket) -> Document:
    found = market.stage.get(market.deployment_path)
    assert found is not None
    return found


def image(market: StagedMarket) -> str:
    return _image_of(deployment(market)["spec"]["template"])


def with_image(markets: Sequence[StagedMarket], wanted: str) -> list[StagedMarket]:
    return [market for market in markets if image(market) == wanted]


def ready_with(market: StagedMarket, wanted: str) -> bool:
    """Make its pods of this image ready, as a kubelet would; whether there are no others left."""
    found = market.stage.get(market.deployment_path)
    if found is None or _image_of(found["spec"]["template"]) != wanted:
        return False
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for pod in market.pods():
        if _image_of(pod) == wanted and pod["status"].get("phase") != "Running":
            path = market.stage.path("pods", f"{pod['metadata']['name']}/status")
            market.stage.patch(path, {"status": ready}, may_be_gone=True)
    status: dict[str, Any] = found.get("status", {})
    figures = {status.get(name) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    observed = status.get("observedGeneration") == found["metadata"]["generation"]
    return observed and figures == {found["spec"]["replicas"]}


def _image_of(pod: Document) -> str:
    containers = pod["spec"]["containers"]
    return next(str(each["image"]) for each in containers if each["name"] == names.CONTAINER)


def _container(wanted: str) -> Document:
    return {"name": names.CONTAINER, "image": wanted}

"""What somebody deletes or edits of a Market's objects comes back at once, by the watches alone:
the sweep, which would find more, does not run here."""

from __future__ import annotations

import pytest
import pytest_asyncio

from gomatch_operator import names
from gomatch_operator.cluster.projection import projection_hash
from tests.fixtures.example_markets import FULL_SETTINGS
from tests.fixtures.object_edits import KEPT, UNDONE, Edit, meaning
from tests.fixtures.operator_process import IMAGE
from tests.fixtures.operator_stage import Stage
from tests.fixtures.owned_objects import PLURALS, OwnedObjects
from tests.fixtures.staged_market import Saying

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def objects(empty_stage: Stage) -> OwnedObjects:
    """Of one Market, for all tests."""
    matcher = {**FULL_SETTINGS["matcher"], "image": IMAGE, "priorityClassName": ""}
    empty_stage.start(sweepSeconds=3600, matcher=matcher, network=FULL_SETTINGS["network"])
    market = empty_stage.market()
    await market.says(Saying("MatcherAvailable", "False", "Starting"))
    return OwnedObjects(empty_stage, market)


@pytest.mark.parametrize("kind", PLURALS)
async def test_a_deleted_object_comes_back_and_is_counted_and_told(
    objects: OwnedObjects, kind: str
) -> None:
    before = objects.get(kind)
    assert before is not None
    counted = objects.repaired(kind)

    objects.delete(kind)

    def is_back() -> bool:
        found = objects.get(kind)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await objects.market.stage_until(is_back, f"another {kind}")
    assert objects.ours(kind) == projection_hash(before)
    await objects.market.stage_until(
        lambda: objects.told(f"{kind} {objects.market.owned}: it was deleted"), "told"
    )
    assert objects.repaired(kind) == counted + 1


@pytest.mark.parametrize("edit", UNDONE, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_an_edit_of_what_is_ours_is_undone(objects: OwnedObjects, edit: Edit) -> None:
    before, counted = objects.ours(edit.kind), objects.repaired(edit.kind)
    hash_before = _hash(objects, edit.kind)

    edited = objects.edit(edit.kind, edit.patch)

    foreign_hash = edited["metadata"]["annotations"].get(names.ANNOTATION_HASH) != hash_before
    assert projection_hash(edited) != before or foreign_hash
    await objects.market.stage_until(
        lambda: objects.ours(edit.kind) == before and _hash(objects, edit.kind) == hash_before,
        f"{edit.kind} as before",
    )
    if not foreign_hash:
        await objects.market.stage_until(
            lambda: objects.repaired(edit.kind) > counted, "a repair that is counted"
        )


@pytest.mark.parametrize("edit", KEPT, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_an_edit_of_what_is_not_ours_stays(objects: OwnedObjects, edit: Edit) -> None:
    hash_before = _hash(objects, edit.kind)
    edited = objects.edit(edit.kind, edit.patch)

    # The operator writes the object now, as its hash is wrong.
    objects.edit(edit.kind, {"metadata": {"annotations": {names.ANNOTATION_HASH: "0"}}})
    await objects.market.stage_until(
        lambda: _hash(objects, edit.kind) == hash_before, f"{edit.kind} written"
    )

    found = objects.get(edit.kind)
    assert found is not None
    assert meaning(found) == meaning(edited)


async def test_an_object_without_our_labels_gets_them_again(objects: OwnedObjects) -> None:
    before = objects.ours("ConfigMap")
    labels = dict.fromkeys((names.LABEL_MANAGED_BY, names.LABEL_MARKET), None)

    objects.edit("ConfigMap", {"metadata": {"labels": labels}})

    await objects.market.stage_until(
        lambda: objects.ours("ConfigMap") == before, "a ConfigMap with its labels"
    )


async def test_scaling_the_deployment_by_hand_is_undone(objects: OwnedObjects) -> None:
    owned, counted = objects.market.owned, objects.repaired("Deployment")

    objects.stage.site.kubectl("scale", "deployment", owned, "--replicas=0")

    def undone() -> bool:
        found = objects.get("Deployment")
        return (
            found is not None
            and found["spec"]["replicas"] == 1
            and objects.repaired("Deployment") > counted
        )

    await objects.market.stage_until(undone, "one replica again")


def _hash(objects: OwnedObjects, kind: str) -> str:
    found = objects.get(kind)
    assert found is not None
    return str(found["metadata"]["annotations"].get(names.ANNOTATION_HASH, ""))

"""What somebody changes in a Market's objects is undone if it is ours, and stays if it is not."""

from __future__ import annotations

import pytest

from gomatch_operator import names
from gomatch_operator.cluster.projection import difference
from gomatch_operator.desired import Desired
from tests.fixtures.cluster_layer import ClusterLayer
from tests.fixtures.example_markets import FULL_SETTINGS, FULL_SPEC, example_settings
from tests.fixtures.object_edits import KEPT, UNDONE, Edit, meaning


@pytest.mark.parametrize("edit", UNDONE, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_it_is_undone(lasting_layer: ClusterLayer, edit: Edit) -> None:
    layer = lasting_layer
    wanted = await _reconciled(layer)
    layer.edit(edit.kind, edit.patch)
    await layer.look()

    done = await layer.reconcile(wanted)

    body = next(each.body for each in wanted.objects if each.key.kind == edit.kind)
    assert [action.kind for action in done] == [edit.kind]
    assert difference(await layer.get(edit.kind), body) == []
    assert await layer.reconcile(wanted) == []


@pytest.mark.parametrize("edit", KEPT, ids=lambda edit: f"{edit.kind}: {edit.name}")
async def test_it_stays(lasting_layer: ClusterLayer, edit: Edit) -> None:
    layer = lasting_layer
    wanted = await _reconciled(layer)
    layer.edit(edit.kind, edit.patch)
    edited = await layer.get(edit.kind)
    await layer.look()

    assert await layer.reconcile(wanted) == []

    layer.edit(edit.kind, {"metadata": {"annotations": {names.ANNOTATION_HASH: "0"}}})
    await layer.look()
    assert [action.kind for action in await layer.reconcile(wanted)] == [edit.kind]
    assert meaning(await layer.get(edit.kind)) == meaning(edited)


async def _reconciled(layer: ClusterLayer) -> Desired:
    if not await layer.exists():
        layer.make_market(FULL_SPEC)
    await layer.look()
    wanted = await layer.desired(example_settings(FULL_SETTINGS))
    await layer.reconcile(wanted)
    return wanted

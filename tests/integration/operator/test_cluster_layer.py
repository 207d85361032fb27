"""A Market's objects on a real API server: made, left alone, changed."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from gomatch_operator import names
from gomatch_operator.cluster.planning import foreign
from gomatch_operator.cluster.projection import KINDS, difference
from gomatch_operator.errors import (
    ForeignObject,
    NamespaceTerminating,
    ObjectChanged,
    ObjectInvalid,
    ObjectMissing,
    QuotaExceeded,
)
from gomatch_operator.watched import ObjectKey
from tests.fixtures.cluster_layer import NAME, OBJECT, ClusterLayer
from tests.fixtures.example_markets import (
    FULL_SETTINGS,
    FULL_SPEC,
    PLAIN_SETTINGS,
    PLAIN_SPEC,
    example_settings,
)
from tests.fixtures.waiting import wait_for


@pytest.mark.parametrize(
    ("spec", "settings"),
    [(PLAIN_SPEC, PLAIN_SETTINGS), (FULL_SPEC, FULL_SETTINGS)],
    ids=["plain", "full"],
)
async def test_what_was_made_is_as_desired_and_nothing_is_written_again(
    layer: ClusterLayer, calls: Counter[str], spec: dict[str, object], settings: dict[str, object]
) -> None:
    layer.make_market(spec)
    wanted = await layer.desired(example_settings(settings))

    made = await layer.reconcile(wanted)
    live = {each.key.kind: await layer.get(each.key.kind) for each in wanted.objects}
    after_writes = await layer.reconcile(wanted)
    await layer.look()
    after_watching = await layer.reconcile(wanted)

    assert {(action.verb, action.kind) for action in made} == {("create", kind) for kind in KINDS}
    assert {
        each.key.kind: difference(live[each.key.kind], each.body) for each in wanted.objects
    } == {kind: [] for kind in KINDS}
    assert after_writes == []
    assert after_watching == []
    assert calls["create"] == len(KINDS)
    assert not calls.keys() & {"patch", "update", "delete"}


async def test_a_changed_market_changes_only_what_it_concerns(
    layer: ClusterLayer, calls: Counter[str]
) -> None:
    layer.make_market()
    await layer.reconcile(await layer.desired())
    layer.make_market({**PLAIN_SPEC, "standbys": 1})

    changed = await layer.reconcile(await layer.desired())
    again = await layer.reconcile(await layer.desired())

    assert [(action.verb, action.kind, action.drift) for action in changed] == [
        ("apply", "Deployment", False)
    ]
    assert (await layer.get("Deployment"))["spec"]["replicas"] == 2
    assert again == []
    assert calls["patch"] == 1
    assert calls["update"] == 0


async def test_what_a_market_no_longer_names_goes_away(layer: ClusterLayer) -> None:
    layer.make_market(FULL_SPEC)
    await layer.reconcile(await layer.desired(example_settings(FULL_SETTINGS)))
    layer.make_market({**FULL_SPEC, "matcher": {}})

    await layer.reconcile(await layer.desired())

    pod = (await layer.get("Deployment"))["spec"]["template"]
    assert "team" not in pod["metadata"]["labels"]
    assert "example.com/owner" not in pod["metadata"]["annotations"]
    assert "nodeSelector" not in pod["spec"]
    assert "imagePullSecrets" not in pod["spec"]
    assert not [each["name"] for each in pod["spec"]["volumes"] if each["name"].endswith("-ca")]
    assert "GOMATCH_LOG_LEVEL" not in (await layer.get("ConfigMap"))["data"]


async def test_a_changed_configuration_replaces_the_pods(layer: ClusterLayer) -> None:
    layer.make_market()
    await layer.reconcile(await layer.desired())
    before = await layer.get("Deployment")
    layer.make_market({**PLAIN_SPEC, "snapshot": {"interval": "1m"}})

    await layer.reconcile(await layer.desired())

    after = await layer.get("Deployment")
    assert (await layer.get("ConfigMap"))["data"]["GOMATCH_SNAPSHOT_INTERVAL"] == "60"
    assert before["spec"]["template"] != after["spec"]["template"]


async def test_a_policy_that_is_switched_off_is_deleted(layer: ClusterLayer) -> None:
    layer.make_market()
    await layer.reconcile(await layer.desired())
    settings = example_settings({**PLAIN_SETTINGS, "network": {"enabled": False}})

    done = await layer.reconcile(await layer.desired(settings))

    assert [(action.verb, action.kind) for action in done] == [("delete", "NetworkPolicy")]
    with pytest.raises(ObjectMissing):
        await layer.get("NetworkPolicy")
    assert await layer.reconcile(await layer.desired(settings)) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_deleted_by_hand_is_made_again(layer: ClusterLayer, kind: str) -> None:
    layer.make_market()
    wanted = await layer.desired()
    await layer.reconcile(wanted)
    key = ObjectKey(kind, layer.namespace, OBJECT)
    deleted = layer.watched.owned[key]

    layer.kubectl("delete", kind.lower(), OBJECT)
    layer.watched.drop_owned(key, deleted.uid)
    done = await layer.reconcile(wanted)

    assert [(action.verb, action.kind, action.drift) for action in done] == [("create", kind, True)]
    assert (await layer.get(kind))["metadata"]["uid"] != deleted.uid
    assert await layer.reconcile(wanted) == []


async def test_an_object_whose_labels_were_removed_is_found_again(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    await layer.reconcile(wanted)
    layer.edit("Service", [{"op": "remove", "path": "/metadata/labels"}])
    await layer.look()

    await layer.reconcile(wanted)

    assert (await layer.get("Service"))["metadata"]["labels"] == names.labels(NAME)
    await layer.look()
    assert await layer.reconcile(wanted) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_object_of_somebody_else_is_named_and_left_alone(
    layer: ClusterLayer, kind: str
) -> None:
    layer.make_market()
    wanted = await layer.desired()
    theirs = next(each.body for each in wanted.objects if each.key.kind == kind)
    body = {**theirs, "metadata": {"name": OBJECT, "namespace": layer.namespace}}
    before = await layer.api.create(kind, layer.namespace, body)

    action = next(
        action for action in layer.reconciler.plan(wanted, layer.watched) if action.kind == kind
    )
    with pytest.raises(ForeignObject, match=f"{kind} {layer.namespace}/{OBJECT} exists"):
        await layer.reconciler.apply(action)

    after = await layer.get(kind)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert not after["metadata"].keys() & {"labels", "ownerReferences"}
    assert names.ANNOTATION_HASH not in after["metadata"].get("annotations", {})


async def test_a_foreign_object_with_our_labels_stops_what_is_new(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    await layer.api.create(
        "ConfigMap",
        layer.namespace,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": OBJECT, "labels": names.labels(NAME)},
        },
    )
    await layer.look()

    assert await layer.reconcile(wanted) == []
    (message,) = foreign(wanted, layer.watched)
    assert message.startswith(f"ConfigMap {layer.namespace}/{OBJECT} exists and belongs to")


async def test_an_object_that_is_being_deleted_is_waited_for(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    await layer.reconcile(wanted)
    layer.edit("Service", {"metadata": {"finalizers": ["example.com/theirs"]}})
    layer.kubectl("delete", "service", OBJECT, "--wait=false")
    await layer.look()

    assert await layer.reconcile(wanted) == []

    layer.edit("Service", [{"op": "remove", "path": "/metadata/finalizers"}])
    await layer.look()
    assert [action.kind for action in await layer.reconcile(wanted)] == ["Service"]


async def test_objects_that_a_deleted_market_left_are_taken_over_by_the_next(
    layer: ClusterLayer,
) -> None:
    layer.make_market()
    await layer.reconcile(await layer.desired())
    uid = (await layer.get("Deployment"))["metadata"]["uid"]
    for kind in KINDS:
        layer.edit(kind, [{"op": "remove", "path": "/metadata/ownerReferences"}])
    layer.kubectl("delete", "market", NAME)
    layer.make_market()
    wanted = await layer.desired()
    await layer.look()

    await layer.reconcile(wanted)

    deployment = await layer.get("Deployment")
    assert deployment["metadata"]["uid"] == uid
    assert [each["uid"] for each in deployment["metadata"]["ownerReferences"]] == [wanted.uid]
    assert await layer.reconcile(wanted) == []


async def test_another_object_of_the_name_is_not_written_over(layer: ClusterLayer) -> None:
    layer.make_market()
    await layer.reconcile(await layer.desired())
    layer.make_market({**PLAIN_SPEC, "snapshot": {"interval": "1m"}})
    planned = layer.reconciler.plan(await layer.desired(), layer.watched)
    layer.kubectl("delete", "configmap", OBJECT)
    layer.kubectl("create", "configmap", OBJECT, "--from-literal=theirs=1")

    with pytest.raises(ObjectChanged):
        await layer.reconciler.apply(planned[0])

    assert (await layer.get("ConfigMap"))["data"] == {"theirs": "1"}


async def test_a_configuration_made_immutable_is_made_anew(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    await layer.reconcile(wanted)
    layer.edit("ConfigMap", {"immutable": True})
    await layer.look()

    await layer.reconcile(wanted)

    assert "immutable" not in await layer.get("ConfigMap")
    assert await layer.reconcile(wanted) == []


async def test_an_exceeded_quota_is_told_apart(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    layer.kubectl("create", "quota", "none", "--hard=count/services=0,count/secrets=0")

    def holds() -> bool:
        """The API server goes by it, of which it hears a moment after others do."""
        try:
            layer.kubectl("create", "secret", "generic", "one-more", "--dry-run=server")
        except subprocess.CalledProcessError as refused:
            return "exceeded quota" in refused.stderr
        return False

    wait_for(holds, what="the quota in force", every=0.1)
    action = next(
        action
        for action in layer.reconciler.plan(wanted, layer.watched)
        if action.kind == "Service"
    )

    with pytest.raises(QuotaExceeded, match="exceeded quota: none"):
        await layer.reconciler.apply(action)


async def test_a_namespace_that_is_being_deleted_is_told_apart(layer: ClusterLayer) -> None:
    layer.make_market()
    wanted = await layer.desired()
    layer.kubectl(
        "patch", "market", NAME, "--type=merge", '--patch={"metadata":{"finalizers":["a.b/c"]}}'
    )
    layer.kubectl("delete", "namespace", layer.namespace, "--wait=false")

    with pytest.raises(NamespaceTerminating):
        await layer.reconcile(wanted)

    layer.kubectl("patch", "market", NAME, "--type=merge", '--patch={"metadata":{"finalizers":[]}}')


async def test_a_field_that_the_api_server_does_not_know_is_named(layer: ClusterLayer) -> None:
    layer.make_market()
    market_of = await layer.desired()
    settings = example_settings(
        {
            **PLAIN_SETTINGS,
            "matcher": {**PLAIN_SETTINGS["matcher"], "affinity": {"nodeAfinity": {}}},
        }
    )
    await layer.reconcile(market_of)

    with pytest.raises(ObjectInvalid, match="nodeAfinity"):
        await layer.reconcile(await layer.desired(settings))

"""Calls to a real API server: pages, preconditions, status, events, and what fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gomatch.cli.servers.ports import free_port
from gomatch.errors import ConfigurationError
from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.connection import connect
from gomatch_operator.errors import (
    ClusterError,
    ClusterUnavailable,
    Forbidden,
    ObjectChanged,
    ObjectExists,
    ObjectInvalid,
    ObjectMissing,
)
from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.cluster_layer import NAME, ClusterLayer
from tests.fixtures.proxy import TcpProxy


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"made": "here"}},
        "data": data,
    }


async def test_a_list_is_read_page_by_page(
    control_plane: ControlPlane, layer: ClusterLayer, calls: Counter[str]
) -> None:
    api = ClusterApi(await connect(control_plane.kubeconfig), timeout=10, page=2)
    for name in "abcde":
        await api.create("ConfigMap", layer.namespace, config_map(name))

    found = [
        body["metadata"]["name"]
        async for body in api.list("ConfigMap", layer.namespace, label_selector="made=here")
    ]
    one = [
        body["metadata"]["name"]
        async for body in api.list("ConfigMap", field_selector="metadata.name=c")
    ]
    await api.close()

    assert found == list("abcde")
    assert "c" in one


async def test_each_call_is_counted_by_its_verb(layer: ClusterLayer, calls: Counter[str]) -> None:
    body = await layer.api.create("ConfigMap", layer.namespace, config_map("a", x="1"))
    await layer.api.merge_patch("ConfigMap", layer.namespace, "a", {"data": {"x": "2"}})
    await layer.api.merge_patch("ConfigMap", layer.namespace, "a", {"data": {"y": "3"}})
    last = await layer.api.get("ConfigMap", layer.namespace, "a")
    await layer.api.replace("ConfigMap", layer.namespace, "a", {**last, "data": {"z": "4"}})
    after = [
        each["data"]
        async for each in layer.api.list("ConfigMap", layer.namespace, label_selector="made=here")
    ]
    await layer.api.delete("ConfigMap", layer.namespace, "a", uid=body["metadata"]["uid"])

    assert last["data"] == {"x": "2", "y": "3"}
    assert after == [{"z": "4"}]
    assert calls == {"create": 1, "patch": 2, "get": 1, "update": 1, "list": 1, "delete": 1}


async def test_only_the_object_that_is_meant_is_written(layer: ClusterLayer) -> None:
    first = await layer.api.create("ConfigMap", layer.namespace, config_map("a"))
    await layer.api.merge_patch("ConfigMap", layer.namespace, "a", {"data": {"x": "1"}})

    with pytest.raises(ObjectChanged):
        await layer.api.replace("ConfigMap", layer.namespace, "a", first)
    with pytest.raises(ObjectChanged):
        await layer.api.delete("ConfigMap", layer.namespace, "a", uid="another")
    with pytest.raises(ObjectExists):
        await layer.api.create("ConfigMap", layer.namespace, config_map("a"))
    with pytest.raises(ObjectMissing):
        await layer.api.get("ConfigMap", layer.namespace, "b")
    with pytest.raises(ObjectInvalid, match="nonsense"):
        await layer.api.create("ConfigMap", layer.namespace, {**config_map("b"), "nonsense": 1})
    with pytest.raises(ObjectChanged):
        await layer.api.apply(
            "ConfigMap",
            layer.namespace,
            "gone",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "gone", "uid": first["metadata"]["uid"]},
            },
        )


async def test_a_status_is_merged_and_one_of_another_market_is_told(layer: ClusterLayer) -> None:
    layer.make_market()
    market = await layer.api.get(names.KIND, layer.namespace, NAME)
    uid = market["metadata"]["uid"]

    written = await layer.api.patch_status(
        names.KIND, layer.namespace, NAME, {"standbys": 1, "leader": "a"}, uid=uid
    )
    cleared = await layer.api.patch_status(
        names.KIND, layer.namespace, NAME, {"leader": None}, uid=uid
    )

    assert (written["status"]["standbys"], written["status"]["leader"]) == (1, "a")
    assert "leader" not in cleared["status"]
    assert cleared["metadata"]["generation"] == market["metadata"]["generation"]
    with pytest.raises(ObjectChanged):
        await layer.api.patch_status(names.KIND, layer.namespace, NAME, {}, uid="another")


async def test_an_event_is_seen_with_its_object(layer: ClusterLayer) -> None:
    layer.make_market()
    market = await layer.api.get(names.KIND, layer.namespace, NAME)
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": NAME,
        "namespace": layer.namespace,
        "uid": market["metadata"]["uid"],
    }

    await layer.api.create_event(
        layer.namespace,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "btc-usdt."},
            "involvedObject": reference,
            "type": "Normal",
            "reason": "Trading",
            "message": "It trades",
        },
    )

    shown = layer.kubectl("events", f"--for=market/{NAME}")
    assert "It trades" in shown


async def test_a_right_that_is_missing_is_named(
    control_plane: ControlPlane, layer: ClusterLayer
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig("default", namespace=layer.namespace)
    api = ClusterApi(await connect(kubeconfig), timeout=10)

    with pytest.raises(Forbidden, match='cannot create resource "configmaps"'):
        await api.create("ConfigMap", layer.namespace, config_map("a"))
    await api.close()


async def test_an_api_server_that_is_away_is_unavailable(
    control_plane: ControlPlane, layer: ClusterLayer
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(
        "default", namespace=layer.namespace, server=f"https://127.0.0.1:{free_port()}"
    )
    api = ClusterApi(await connect(kubeconfig), timeout=10)

    with pytest.raises(ClusterUnavailable, match="get ConfigMap default/a"):
        await api.get("ConfigMap", "default", "a")
    await api.close()


async def test_a_silent_api_server_is_waited_for_no_longer_than_allowed(
    control_plane: ControlPlane, layer: ClusterLayer
) -> None:
    proxy = TcpProxy(("127.0.0.1", control_plane.apiserver.port))
    await proxy.start()
    kubeconfig = control_plane.service_account_kubeconfig(
        "default", namespace=layer.namespace, server=f"https://127.0.0.1:{proxy.port}"
    )
    client = await connect(kubeconfig)
    api, patient = ClusterApi(client, timeout=1), ClusterApi(client, timeout=30)
    with pytest.raises(Forbidden):
        await patient.get("ConfigMap", "default", "a")
    proxy.stall()

    with pytest.raises(ClusterUnavailable):
        await asyncio.wait_for(api.get("ConfigMap", "default", "a"), timeout=20)

    proxy.restore()
    with pytest.raises(Forbidden):
        await patient.get("ConfigMap", "default", "a")
    await api.close()
    await proxy.close()


async def test_a_revoked_identity_is_tried_again(
    control_plane: ControlPlane, layer: ClusterLayer
) -> None:
    layer.kubectl("create", "serviceaccount", "short")
    kubeconfig = control_plane.service_account_kubeconfig("short", namespace=layer.namespace)
    api = ClusterApi(await connect(kubeconfig), timeout=10)
    layer.kubectl("delete", "serviceaccount", "short")

    async with asyncio.timeout(60):
        while isinstance(refused := await refusal(api), Forbidden):
            # The API server still knows it, and remembers that for some seconds.
            await asyncio.sleep(0.5)
    await api.close()

    assert isinstance(refused, ClusterUnavailable)
    assert refused.status == 401


async def refusal(api: ClusterApi) -> ClusterError:
    with pytest.raises(ClusterError) as refused:
        await api.get("ConfigMap", "default", "a")
    return refused.value


@pytest.mark.parametrize("content", [None, "not: a kubeconfig", "{"])
async def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match=str(file)):
        await connect(file)


async def test_outside_of_a_pod_there_is_no_account_to_act_as(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ConfigurationError, match="ServiceAccount"):
        await connect()

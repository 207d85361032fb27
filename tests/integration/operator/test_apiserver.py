"""The API server that the operator's tests stand on is a real one."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.waiting import wait_for


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(
    control_plane: ControlPlane, namespace: str
) -> None:
    account = _reader_of_config_maps(control_plane, namespace)
    kubeconfig = control_plane.service_account_kubeconfig(account, namespace=namespace)

    listed = control_plane.kubectl_as(kubeconfig, "get", "configmaps", "-o", "name")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        control_plane.kubectl_as(kubeconfig, "create", "configmap", "mine")

    assert listed == "configmap/kube-root-ca.crt\n"
    assert f'User "system:serviceaccount:{namespace}:{account}" cannot create' in (
        refused.value.stderr
    )


async def test_a_service_account_can_come_through_a_proxy(
    control_plane: ControlPlane, namespace: str
) -> None:
    account = _reader_of_config_maps(control_plane, namespace)
    proxy = TcpProxy(("127.0.0.1", control_plane.apiserver.port))
    await proxy.start()
    try:
        kubeconfig = control_plane.service_account_kubeconfig(
            account, namespace=namespace, server=f"https://127.0.0.1:{proxy.port}"
        )
        listed = await asyncio.to_thread(
            control_plane.kubectl_as, kubeconfig, "get", "configmaps", "-o", "name"
        )
    finally:
        await proxy.close()

    assert listed == "configmap/kube-root-ca.crt\n"
    assert proxy.accepted > 0


def test_the_audit_log_lists_each_write_with_its_user(
    control_plane: ControlPlane, namespace: str
) -> None:
    start = control_plane.audit.position()
    control_plane.kubectl("create", "configmap", "book", f"--namespace={namespace}")
    control_plane.kubectl("get", "configmap", "book", f"--namespace={namespace}")

    writes = control_plane.audit.writes(start, user="admin")

    assert [(write.verb, write.resource, write.name, write.code) for write in writes] == [
        ("create", "configmaps", "book", 201)
    ]
    assert writes[0].namespace == namespace
    assert any(event.verb == "get" for event in control_plane.audit.events(start))
    assert control_plane.audit.writes(control_plane.audit.position(), user="admin") == []


def test_objects_outlast_a_restart(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "configmap", "kept", f"--namespace={namespace}")
    kubeconfig = control_plane.kubeconfig.read_text()

    control_plane.apiserver.kill_now()
    with pytest.raises(subprocess.CalledProcessError):
        control_plane.kubectl("get", "configmap", "kept", f"--namespace={namespace}")
    control_plane.restart_now()

    assert control_plane.kubeconfig.read_text() == kubeconfig
    found = control_plane.kubectl(
        "get", "configmap", "kept", f"--namespace={namespace}", "-o", "name"
    )
    assert found == "configmap/kept\n"


def test_what_an_owner_leaves_behind_is_collected(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("create", "configmap", "owner", f"--namespace={namespace}")
    uid = control_plane.kubectl(
        "get", "configmap", "owner", f"--namespace={namespace}", "-o", "jsonpath={.metadata.uid}"
    )
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "owned",
            "namespace": namespace,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
            ],
        },
    }
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(owned))

    control_plane.kubectl("delete", "configmap", "owner", f"--namespace={namespace}")

    control_plane.kubectl(
        "wait", "--for=delete", "configmap/owned", f"--namespace={namespace}", "--timeout=60s"
    )


def _reader_of_config_maps(control_plane: ControlPlane, namespace: str) -> str:
    account = "reader"
    in_namespace = f"--namespace={namespace}"
    control_plane.kubectl("create", "serviceaccount", account, in_namespace)
    control_plane.kubectl(
        "create", "role", account, "--verb=get,list", "--resource=configmaps", in_namespace
    )
    control_plane.kubectl(
        "create",
        "rolebinding",
        account,
        f"--role={account}",
        f"--serviceaccount={namespace}:{account}",
        in_namespace,
    )
    control_plane.kubectl(
        "wait", "--for=create", "configmap/kube-root-ca.crt", in_namespace, "--timeout=30s"
    )
    rights = ("auth", "can-i", "--list", f"--as=system:serviceaccount:{namespace}:{account}")
    wait_for(
        lambda: "configmaps" in control_plane.kubectl(*rights, in_namespace),
        what="its rights known to the API server",
        timeout=30,
        every=0.1,
    )
    return account

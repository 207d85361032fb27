"""The cluster that all other tests here stand on has what they take for granted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.kind import Cluster
from tests.fixtures.waiting import wait_for

_SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["NODE"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""
_CLIENT = """
import sys, urllib.request
seen = set()
for _ in range(200):
    with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
        seen.add(answer.read().decode())
    if len(seen) == 2:
        break
print(*sorted(seen))
"""
_RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


def test_the_control_plane_and_two_workers_are_ready(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]

    ready = {node["metadata"]["name"]: _is_ready(node) for node in nodes}
    assert ready == {
        f"{cluster.name}-control-plane": True,
        cluster.node("servers"): True,
        cluster.node("trading"): True,
    }


def test_a_pod_of_each_worker_reaches_both_workers_through_a_service_by_its_name(
    cluster: Cluster, echo: dict[str, str]
) -> None:
    workers = sorted([cluster.node("servers"), cluster.node("trading")])
    assert sorted(echo) == workers

    for pod in echo.values():
        url = "http://echo.default.svc.cluster.local"
        _wait_until_printed(" ".join(workers), cluster, pod, _CLIENT, url)


def test_names_of_services_resolve_to_their_addresses(
    cluster: Cluster, echo: dict[str, str]
) -> None:
    address = cluster.kubectl("get", "service", "echo", "--output=jsonpath={.spec.clusterIP}")

    for pod in echo.values():
        _wait_until_printed(address, cluster, pod, _RESOLVE, "echo")


@pytest.fixture(scope="module")
def echo(cluster: Cluster, python_image: str) -> dict[str, str]:
    """Pods that answer with the name of their node, by that name, behind the Service `echo`."""
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    container = {
        "name": "echo",
        "image": python_image,
        "command": ["python", "-c", _SERVER],
        "env": [node],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    labels = {"app": "echo"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "echo"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "echo"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    cluster.kubectl("rollout", "status", "daemonset/echo", "--timeout=120s", timeout=150)
    pods = json.loads(cluster.kubectl("get", "pods", "--selector=app=echo", "--output=json"))
    return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in pods["items"]}


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    return bool(conditions["Ready"] == "True")


def _wait_until_printed(text: str, cluster: Cluster, pod: str, program: str, argument: str) -> None:
    """Every node and the DNS hear of a Service a moment after its pods are ready."""

    def look() -> bool:
        printed = cluster.kubectl("exec", pod, "--", "python", "-c", program, argument).strip()
        assert printed == text, printed
        return True

    wait_for(look, what=f"{pod} prints {text}")

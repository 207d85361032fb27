"""The kind Market, installed from the repository's file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from kubernetes.config import new_client_from_config

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.market_schema import CRD_FILE, market_schema
from tests.integration.operator.crd.market_kind import MarketKind


@pytest.fixture(scope="module")
def installed(control_plane_session: ControlPlane) -> ControlPlane:
    """The control plane with the definition, served and published."""
    plane = control_plane_session
    plane.start_now()
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD_FILE))
    plane.wait_for_kind(CRD_FILE.stem)
    wanted = market_schema()["description"]
    deadline = time.monotonic() + 30
    while _published_description(plane) != wanted:
        assert time.monotonic() < deadline, "the API server does not publish the schema"
        time.sleep(0.05)
    return plane


@pytest.fixture(scope="module")
def markets(installed: ControlPlane, numbers: Iterator[int]) -> Iterator[MarketKind]:
    """Markets of a namespace of the module's own."""
    namespace = f"markets-{next(numbers)}"
    installed.kubectl("create", "namespace", namespace)
    client = new_client_from_config(str(installed.kubeconfig))
    try:
        yield MarketKind(client, namespace)
    finally:
        client.close()
        installed.start_now()
        installed.kubectl("delete", "namespace", namespace, "--wait=false")


def _published_description(plane: ControlPlane) -> str | None:
    """What `kubectl explain` would say."""
    try:
        document = json.loads(plane.apiserver.get("/openapi/v3/apis/gomatch.io/v1alpha1"))
    except OSError:
        return None
    for name, schema in document["components"]["schemas"].items():
        if name.endswith(".Market"):
            return str(schema["description"])
    return None

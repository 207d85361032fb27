"""A kind or a right that is not there, at the start or later: the operator says so, waits, and
works once it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.operator_pair import PATIENT, market, role, until_leads
from tests.fixtures.operator_process import RELEASE, REPOSITORY, OperatorSite, let_go, until

CRD = "markets.gomatch.io"
ROLE = f"{RELEASE}-operator-markets"


def install(plane: ControlPlane) -> None:
    """And wait until it is served."""
    plane.kubectl(
        *("apply", "--server-side", "--force-conflicts"),
        *("-f", str(REPOSITORY / "crds" / f"{CRD}.yaml")),
    )
    plane.wait_for_kind(CRD)


@pytest.fixture
def removable_kind(control_plane: ControlPlane, market_kind: None) -> Iterator[ControlPlane]:
    """The kind is there again afterwards."""
    yield control_plane
    control_plane.start_now()
    install(control_plane)


def remove(plane: ControlPlane) -> None:
    """With all Markets that earlier tests left in namespaces that are being deleted."""
    let_go(plane)
    plane.kubectl("delete", "crd", CRD, "--timeout=100s", timeout=110)


async def test_an_operator_without_its_kind_waits_for_it(
    removable_kind: ControlPlane, operator_site: OperatorSite
) -> None:
    site, plane = operator_site, removable_kind
    remove(plane)
    operator = site.start(**PATIENT)
    await until(lambda: role(operator) == "leader")
    await until(lambda: "Market" in operator.get("/readyz").json()["problem"])
    assert operator.get("/readyz").status_code == 503
    assert operator.get("/healthz").status_code == 200

    install(plane)
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")


async def test_a_kind_that_is_removed_and_installed_again_is_served_again(
    removable_kind: ControlPlane, operator_site: OperatorSite
) -> None:
    site, plane = operator_site, removable_kind
    operator = site.start(**PATIENT)
    await until_leads(operator)
    remove(plane)
    await until(lambda: operator.events("watch_ended"), timeout=80)
    await until(lambda: operator.get("/readyz").json()["problem"])
    assert operator.get("/healthz").status_code == 200

    install(plane)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep", timeout=80)
    assert operator.running


async def test_a_right_that_is_missing_is_named_and_waited_for(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    rights = site.kubectl("get", "role", ROLE, "-o", "json")
    site.kubectl("delete", "role", ROLE)
    asked = {"group": CRD.partition(".")[2], "namespace": site.namespace}
    await until(lambda: not site.plane.allows(site.user, "list", "markets", **asked))
    operator = site.start(**PATIENT)
    await until(lambda: role(operator) == "leader")
    await until(lambda: "forbidden" in operator.get("/readyz").json()["problem"])
    assert operator.get("/healthz").status_code == 200

    site.kubectl("create", "-f", "-", stdin=_anew(rights))
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")


async def test_a_right_that_is_taken_and_given_back_is_used_again(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    operator = site.start(**PATIENT)
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    rights = site.kubectl("get", "role", ROLE, "-o", "json")
    site.kubectl("delete", "role", ROLE)
    # Open watches go on; those of after the restart are refused.
    site.plane.restart_apiserver_now()
    await until(lambda: operator.events("watch_ended"), timeout=80)
    assert operator.get("/healthz").status_code == 200

    site.kubectl("create", "-f", "-", stdin=_anew(rights))
    before = site.get("service", "btc-usdt-matcher")
    assert before is not None
    site.kubectl("delete", "service", "btc-usdt-matcher")
    await until(lambda: site.get("service", "btc-usdt-matcher"), timeout=80)
    assert operator.running


def _anew(text: str) -> str:
    body = json.loads(text)
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        body["metadata"].pop(name, None)
    return json.dumps(body)

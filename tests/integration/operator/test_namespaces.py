"""Several namespaces with a Role in each: one that goes takes its rights along and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.fixtures.operator_process import OperatorSite, chart_documents, until
from tests.integration.operator.test_reconcile import market

_RIGHTS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture
def second_namespace(operator_site: OperatorSite, numbers: Iterator[int]) -> str:
    """Served too, by a Role of its own."""
    site = operator_site
    name = f"second-{next(numbers)}"
    site.plane.kubectl("create", "namespace", name)
    documents = chart_documents(site.namespace, f"watchNamespaces={{{site.namespace},{name}}}")
    rights = [each for each in documents if each["kind"] in _RIGHTS]
    site.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
    return name


async def test_a_namespace_is_deleted_with_its_market_and_the_others_are_served_on(
    operator_site: OperatorSite, second_namespace: str
) -> None:
    site = operator_site
    operator = site.start(watchNamespaces=[site.namespace, second_namespace])
    there = market("eth-usdt", symbol="ETH-USDT", base="ETH", drainTimeoutSeconds=5)
    site.plane.kubectl("-n", second_namespace, "apply", "-f", "-", stdin=yaml.safe_dump(there))
    site.apply(market())
    await site.until_condition("btc-usdt", "StoreReady", "True", "InStep")
    await until(
        lambda: (
            "eth-usdt-matcher"
            in site.plane.kubectl("-n", second_namespace, "get", "deployments", "-oname")
        )
    )
    site.plane.kubectl("delete", "namespace", second_namespace, "--wait=false")
    await until(
        lambda: (
            not site.plane.kubectl(
                "get", "namespace", second_namespace, "--ignore-not-found=true", "-oname"
            )
        ),
        timeout=90,
    )
    assert [
        row["held"] for row in await site.sql("SELECT held FROM claims WHERE symbol = 'ETH-USDT'")
    ] == [False]

    site.kubectl("delete", "configmap", "btc-usdt-matcher")
    await until(lambda: site.get("configmap", "btc-usdt-matcher") is not None, timeout=90)
    assert operator.running
    assert operator.get("/readyz").status_code == 200

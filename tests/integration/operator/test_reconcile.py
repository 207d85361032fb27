"""A Market becomes what it asks for, on real servers and a real API server."""

from __future__ import annotations

import yaml

from tests.fixtures.operator_process import REPOSITORY, OperatorSite, until


def market(name: str = "btc-usdt", **spec: object) -> dict[str, object]:
    document = yaml.safe_load((REPOSITORY / "examples" / "btc-usdt.yaml").read_text())
    document["metadata"]["name"] = name
    document["spec"].update(spec)
    return dict(document)


async def test_a_market_gets_claim_queue_and_objects(operator_site: OperatorSite) -> None:
    site = operator_site
    operator = site.start()
    site.apply(market())
    await site.until_condition("btc-usdt", "StoreReady", "True", "InStep")
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    await site.until_condition("btc-usdt", "MatcherAvailable", "False", "Starting")
    for kind in ("deployment", "configmap", "service", "poddisruptionbudget", "networkpolicy"):
        assert site.get(kind, "btc-usdt-matcher") is not None, kind
    assert await site.sql("SELECT held FROM claims WHERE symbol = 'BTC-USDT'")
    assert site.broker.get(site.broker.at("queues", "gomatch.orders.BTC-USDT")) is not None
    await until(lambda: operator.get("/readyz").status_code == 200)

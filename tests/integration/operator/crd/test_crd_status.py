"""The status of a Market: its own subresource, and what may be written to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.market_schema import MINIMAL, fields_given, fields_of, market_schema
from tests.integration.operator.crd.market_kind import MarketKind, Refused

_SINCE = "2026-01-02T03:04:05Z"


def _condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Trading",
        "message": "All is well.",
        "lastTransitionTime": _SINCE,
        "observedGeneration": 1,
    }


FULL: Mapping[str, Any] = {
    "observedGeneration": 1,
    "conditions": [_condition("Ready"), _condition("Halted", "False")],
    "state": "Running",
    "epoch": 3,
    "leader": "btc-usdt-matcher-7d9c5b6f4-x2x7q",
    "image": "registry.example.com/gomatch-matcher:1.2.3",
    "lastSequence": 4_611_686_018_427_387_904,
    "claim": {"installation": "trading", "since": _SINCE},
    "queue": {"name": "gomatch.orders.BTC-USDT", "depth": 7, "consumers": 2},
    "standbys": 1,
    "readyReplicas": 2,
    "selector": "gomatch.io/market=btc-usdt,gomatch.io/role=standby",
}


def test_every_field_of_the_status_is_kept(markets: MarketKind) -> None:
    schema = market_schema()["properties"]["status"]

    written = markets.status_written(markets.created(MINIMAL), FULL)

    assert written["status"] == FULL
    assert set(fields_given(FULL, schema)) == {path for path, _ in fields_of(schema)}


def test_spec_and_status_are_written_apart(markets: MarketKind) -> None:
    stored = markets.created(MINIMAL, status=FULL)
    assert "status" not in stored

    written = markets.status_written(stored, FULL, spec={**MINIMAL, "state": "Halted"})
    assert written["spec"]["state"] == "Running"
    assert written["metadata"]["generation"] == 1

    changed = markets.changed({**written, "status": {}}, {**MINIMAL, "state": "Halted"})
    assert changed["status"] == FULL
    assert changed["metadata"]["generation"] == 2


def test_a_condition_is_there_once(markets: MarketKind) -> None:
    stored = markets.created(MINIMAL)

    with pytest.raises(Refused) as refused:
        markets.status_written(stored, {"conditions": [_condition("Ready"), _condition("Ready")]})

    assert refused.value.lines == ['status.conditions[1]: Duplicate value: {"type":"Ready"}']


@pytest.mark.parametrize("part", ["type", "status", "reason", "message", "lastTransitionTime"])
def test_a_condition_is_written_whole(markets: MarketKind, part: str) -> None:
    stored = markets.created(MINIMAL)
    torn = _condition("Ready")
    del torn[part]

    with pytest.raises(Refused) as refused:
        markets.status_written(stored, {"conditions": [torn]})

    assert f"status.conditions[0].{part}: Required value" in refused.value.lines

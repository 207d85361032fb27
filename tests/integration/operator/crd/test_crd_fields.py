"""Each field of a Market: what is taken, and what a user reads when it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.market_schema import MINIMAL, fields_given, fields_of, market_schema
from tests.integration.operator.crd.market_kind import MarketKind, Refused
from tests.integration.operator.crd.sound_values import TAKEN, matcher, toleration
from tests.integration.operator.crd.wrong_values import QUANTITIES, WRONG, Wrong

_QUANTITY = r"'^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$'"
_WRONG_QUANTITIES = ["1e9", "1e999999999", "", "-1", "1.5GB", "half"]


def _id(case: object) -> str:
    given = case.given if isinstance(case, Wrong) else case
    return json.dumps(given)[:70]


@pytest.mark.parametrize("given", TAKEN, ids=_id)
def test_a_sound_value_is_taken_as_it_is_written(
    markets: MarketKind, given: Mapping[str, Any]
) -> None:
    stored = markets.tried({**MINIMAL, **given})["spec"]

    for field, value in given.items():
        kept = {**stored[field], **value} if isinstance(value, dict) else value
        assert stored[field] == kept


@pytest.mark.parametrize("case", WRONG, ids=_id)
def test_a_wrong_value_is_refused_with_what_to_write(markets: MarketKind, case: Wrong) -> None:
    with pytest.raises(Refused) as refused:
        markets.tried({**MINIMAL, **case.given})

    assert f"{case.field}: {case.says}" in refused.value.lines
    assert refused.value.blamed == {case.field}


@pytest.mark.parametrize("kind", ["requests", "limits"])
@pytest.mark.parametrize("text", _WRONG_QUANTITIES)
def test_a_wrong_quantity_of_a_resource_is_refused(
    markets: MarketKind, kind: str, text: str
) -> None:
    given = {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    given[kind] = {"memory": text}

    with pytest.raises(Refused) as refused:
        markets.tried({**MINIMAL, **matcher(resources=given)})

    field = f"spec.matcher.resources.{kind}"
    assert set(refused.value.lines) == {
        f'{field}.memory: Invalid value: "{text}": {field}.memory in body should match {_QUANTITY}',
        f"{field}: {QUANTITIES}",
    }


@pytest.mark.parametrize("field", MINIMAL)
def test_identity_is_required(markets: MarketKind, field: str) -> None:
    spec = {name: value for name, value in MINIMAL.items() if name != field}

    for attempt in (spec, {**spec, field: None}):
        with pytest.raises(Refused) as refused:
            markets.tried(attempt)
        assert refused.value.lines[0] == f"spec.{field}: Required value"


def test_what_is_left_out_has_its_documented_default(markets: MarketKind) -> None:
    assert markets.tried(MINIMAL)["spec"] == {
        **MINIMAL,
        "state": "Running",
        "transport": "RabbitMQ",
        "selfTradePrevention": "CancelNewest",
        "fees": {"maker": "0", "taker": "0"},
        "maxOpenOrders": 0,
        "standbys": 0,
        "queue": {"maxLength": 100_000},
        "snapshot": {"interval": "15m"},
        "deletionPolicy": "Retain",
        "drainTimeoutSeconds": 300,
    }


def test_a_price_band_refuses_unless_it_says_otherwise(markets: MarketKind) -> None:
    stored = markets.tried({**MINIMAL, "priceBand": {"fraction": "0.1"}})["spec"]

    assert stored["priceBand"] == {"mode": "Refuse", "fraction": "0.1"}


def test_a_toleration_compares_the_value_unless_it_says_otherwise(markets: MarketKind) -> None:
    stored = markets.tried({**MINIMAL, **toleration(key="gpu", value="yes")})["spec"]

    assert stored["matcher"]["tolerations"] == [{"key": "gpu", "operator": "Equal", "value": "yes"}]


@pytest.mark.parametrize("field", ["fees", "queue", "snapshot", "state", "standbys"])
def test_null_is_the_default(markets: MarketKind, field: str) -> None:
    assert markets.tried({**MINIMAL, field: None})["spec"] == markets.tried(MINIMAL)["spec"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tickSzie": "1"}, "spec.tickSzie"),
        ({"fees": {"makre": "0"}}, "spec.fees.makre"),
        ({"matcher": {"replicas": 1}}, "spec.matcher.replicas"),
        ({"matcher": {"affinity": {"nodeAffinty": {}}}}, "spec.matcher.affinity.nodeAffinty"),
    ],
)
def test_a_field_that_is_not_there_is_named(
    markets: MarketKind, given: Mapping[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        markets.tried({**MINIMAL, **given})

    assert f'unknown field "{field}"' in str(refused.value)


def test_the_tables_have_a_sound_and_a_wrong_value_of_every_field() -> None:
    spec = market_schema()["properties"]["spec"]
    every = {path for path, _ in fields_of(spec, "spec")}
    leaves = {path for path, node in fields_of(spec, "spec") if "properties" not in node}
    sound = {path for given in TAKEN for path in fields_given(given, spec, "spec")}
    blamed = {case.field for case in WRONG}
    quantities = {f"spec.matcher.resources.{kind}{{}}" for kind in ("requests", "limits")}

    assert every - sound == {f"spec.{name}" for name in MINIMAL} - sound
    assert {
        path
        for path in leaves - quantities
        if not any(_names(path).fullmatch(field) for field in blamed)
    } == set()


def _names(path: str) -> re.Pattern[str]:
    """What the API server calls the field: an item has its number, a value of a map its key."""
    return re.compile(re.escape(path).replace(r"\{\}", r"\.[^.]+").replace(r"\[\]", r"\[\d+\]"))

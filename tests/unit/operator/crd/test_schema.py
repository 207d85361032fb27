"""crds/markets.gomatch.io.yaml by itself: documented, bounded, and the same as the programs'."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gomatch_operator import names
from gomatch_operator.conditions import TYPES
from gomatch_operator.market import MarketSpec
from tests.fixtures.market_schema import (
    CRD_FILE,
    MINIMAL,
    fields_of,
    market_definition,
    market_schema,
    market_version,
)

SPEC = market_schema()["properties"]["spec"]


def _rules() -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Path of a field, its schema, and one of its rules."""
    for path, node in [("", market_schema()), *fields_of(market_schema())]:
        for rule in node.get("x-kubernetes-validations", []):
            yield path, node, rule


def test_it_is_the_kind_that_the_operator_serves() -> None:
    definition = market_definition()

    assert definition["metadata"]["name"] == CRD_FILE.stem == names.CRD_NAME
    assert definition["spec"]["group"] == names.GROUP
    assert definition["spec"]["names"] == {
        "kind": names.KIND,
        "listKind": f"{names.KIND}List",
        "plural": names.PLURAL,
        "singular": "market",
        "shortNames": ["mkt"],
    }
    assert market_version()["name"] == names.VERSION


def test_every_field_and_column_has_a_sentence_about_it() -> None:
    columns = {column["name"]: column for column in market_version()["additionalPrinterColumns"]}

    for path, node in [*fields_of(market_schema()), *columns.items()]:
        if not path.startswith("metadata"):  # Kubernetes describes it
            assert re.fullmatch(r"[A-Za-z].*[.]", node["description"], re.DOTALL), path


def test_everything_that_can_grow_has_a_limit() -> None:
    """Else rules may cost more than the API server allows, or one Market fill its database."""
    for path, node in fields_of(market_schema()):
        if node.get("type") == "string" and not path.startswith(("apiVersion", "kind", "metadata")):
            limited = {"maxLength", "enum"} & set(node) or node.get("format") == "date-time"
            assert limited, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_every_rule_has_words_of_its_own() -> None:
    for path, _, rule in _rules():
        assert 10 < len(rule["message"]) < 200, path
        assert "\n" not in rule["message"], path


def test_numbers_are_compared_only_when_they_are_written_as_decimals() -> None:
    """A comparison with quantity('1e999999999') keeps the API server busy past any time limit."""
    for path, _, rule in _rules():
        if (compared := rule["rule"].find("quantity(")) >= 0:
            assert 0 <= rule["rule"].find("matches(r'^") < compared, path


def test_a_rule_about_the_form_is_the_pattern_that_editors_see() -> None:
    found = 0
    for path, node, rule in _rules():
        if (form := re.match(r"!?self\.matches\(r'(\^[^']*\$)'\)", rule["rule"])) and (
            "pattern" in node
        ):
            assert node["pattern"] == form[1], path
            found += 1
    assert found > 10


def test_the_operator_reads_every_field_with_the_default_that_is_stored() -> None:
    stored: dict[str, Any] = dict(MINIMAL)
    for name, node in SPEC["properties"].items():
        if "default" in node:
            stored[name] = {
                inner: child["default"] for inner, child in node.get("properties", {}).items()
            } or node["default"]

    read = msgspec.to_builtins(msgspec.convert(stored, MarketSpec))

    assert set(read) == set(SPEC["properties"])
    assert read == msgspec.to_builtins(msgspec.convert(dict(MINIMAL), MarketSpec))


def test_the_operator_knows_every_choice_and_no_other() -> None:
    for name, node in SPEC["properties"].items():
        for choice in node.get("enum", []):
            msgspec.convert({**MINIMAL, name: choice}, MarketSpec)
    offered = {
        name: set(node["enum"]) for name, node in SPEC["properties"].items() if "enum" in node
    }
    known = {
        field.encode_name: set(field.type.__args__)
        for field in msgspec.structs.fields(MarketSpec)
        if getattr(field.type, "__origin__", None) is not None
        and all(isinstance(choice, str) for choice in field.type.__args__)
    }
    assert offered == known


def test_the_conditions_are_named() -> None:
    conditions = market_schema()["properties"]["status"]["properties"]["conditions"]

    for kind in TYPES:
        assert kind in conditions["description"]

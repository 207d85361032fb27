"""values.yaml, its comments and its schema say the same, and nothing else is accepted."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.integration.chart.helm import CHART, REPOSITORY, VALUE_SETS, Helm

Path = tuple[str | int, ...]
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEXT = (CHART / "values.yaml").read_text()
DEFAULTS = yaml.safe_load(TEXT)
# Maps whose keys are the user's, and what the API server checks.
FREE_MAPS = {"labels", "annotations"}
VOLUMES = SCHEMA["definitions"]["volume"]["properties"]


def test_every_value_has_a_comment() -> None:
    """Its own, or that of a section around it which is one thing, as an image."""
    lines = TEXT.splitlines()
    root = yaml.compose(TEXT)
    assert isinstance(root, yaml.MappingNode)
    without = []
    for path, chain in _leaves(root):
        keys = chain[1:] or chain
        if not any(lines[key - 1].lstrip().startswith("#") for key in keys):
            without.append(".".join(path))
    assert without == []


def test_the_schema_has_every_value_and_values_yaml_every_one_of_the_schema() -> None:
    assert set(_paths_of(DEFAULTS)) == set(_paths_of_schema(SCHEMA, DEFAULTS))


@pytest.mark.parametrize("value_set", ["defaults", *VALUE_SETS])
def test_an_unknown_key_is_refused_at_every_level(value_set: str) -> None:
    values = _defaults_with(value_set)
    validator = jsonschema.Draft7Validator(SCHEMA)
    validator.validate(values)
    accepted = []
    for path in _sections(values):
        changed = copy.deepcopy(values)
        place: Any = changed
        for step in path:
            place = place[step]
        place["Un known"] = {"x": 1}
        if validator.is_valid(changed):
            accepted.append(path)
    assert accepted == []


def test_every_object_of_the_schema_is_closed_or_a_map_of_the_users() -> None:
    for name, part in [("", SCHEMA), *SCHEMA["definitions"].items()]:
        if name in FREE_MAPS:
            continue
        for where, schema in _objects(part):
            if name == "volume" and where.rpartition("/")[2] in VOLUMES:
                continue
            assert schema.get("additionalProperties") is False, f"{name} {where}"


def test_the_documentation_speaks_of_values_that_there_are() -> None:
    text = (REPOSITORY / "docs" / "install.md").read_text()
    known = {".".join(map(str, path)) for path in _paths_of(DEFAULTS)}
    spoken = {
        word
        for word in re.findall(r"`(\w+(?:\.\w+)+)(?:=[^`]*)?`", text)
        if word.partition(".")[0] in DEFAULTS
    }
    assert spoken
    assert spoken <= known


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"api": {"replcas": 3}}, "additional properties 'replcas' not allowed"),
        ({"surprise": True}, "additional properties 'surprise' not allowed"),
        ({"api": {"replicas": "3"}}, "/api/replicas"),
        ({"postgresql": {"port": 0}}, "/postgresql/port"),
        ({"logLevel": "loud"}, "/logLevel"),
        ({"matcher": {"environment": {"PATH": "/"}}}, "/matcher/environment"),
        ({"api": {"environment": {"GOMATCH_SERVER_KEY": "ab"}}}, "/api/environment"),
        ({"api": {"image": {"digest": "latest"}}}, "/api/image/digest"),
        ({"postgresql": {"host": "postgresql://db"}}, "/postgresql/host"),
        ({"api": {"extraVolumes": [{"name": "x", "hostPath": {"path": "/"}}]}}, "hostPath"),
    ],
)
def test_helm_names_what_it_refuses(helm: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm.refusal(values=values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dev": {"enabled": False}}, ".host is missing: say where the server is, or set dev"),
        ({"dev": {"postgresql": {"enabled": False}}}, "postgresql.host is missing"),
        (
            {"dev": {"valkey": {"enabled": False}}, "redis": {"host": "redis"}},
            "redis.existingSecret is missing",
        ),
        ({"rabbitmq": {"host": "broker"}}, "set dev.rabbitmq.enabled to false"),
        ({"rabbitmq": {"tls": True}}, "dev.rabbitmq has no TLS"),
        ({"redis": {"tls": True}}, "dev.valkey has no TLS"),
        ({"postgresql": {"sslMode": "require"}}, "dev.postgresql has no TLS"),
        (
            {
                "dev": {"postgresql": {"enabled": False}},
                "postgresql": {"host": "db", "existingSecret": "db"},
            },
            "postgresql.caConfigMap is missing: with sslMode verify-full",
        ),
        ({"clusterScope": True, "watchNamespaces": ["a"]}, "not both"),
        ({"api": {"ingress": {"enabled": True}}}, "api.ingress.hosts is empty"),
        (
            {"api": {"autoscaling": {"enabled": True, "minReplicas": 11}}},
            "api.autoscaling.minReplicas is above maxReplicas",
        ),
    ],
)
def test_values_that_cannot_work_together_are_refused(
    helm: Helm, values: dict[str, Any], message: str
) -> None:
    assert message in helm.refusal(values=values)


def _defaults_with(value_set: str) -> dict[str, Any]:
    values: dict[str, Any] = copy.deepcopy(DEFAULTS)
    if value_set in VALUE_SETS:
        _lay_over(values, yaml.safe_load(VALUE_SETS[value_set].read_text()))
    return values


def _lay_over(values: dict[str, Any], upper: dict[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _lay_over(values[key], value)
        else:
            values[key] = copy.deepcopy(value)


def _leaves(
    node: yaml.MappingNode, path: tuple[str, ...] = (), chain: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Each value's path, and the lines of its key and of the sections around it."""
    for key, value in node.value:
        here, lines = (*path, key.value), (*chain, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _leaves(value, here, lines)
        else:
            yield here, lines


def _paths_of(values: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict) and not _is_free(path, key):
            yield from _paths_of(value, (*path, key))


def _is_free(path: Path, key: str) -> bool:
    return key in ("requests", "limits", "behavior", "affinity", "environment")


def _paths_of_schema(schema: dict[str, Any], defaults: Any, path: Path = ()) -> Iterator[Path]:
    for key, part in schema.get("properties", {}).items():
        yield (*path, key)
        value = defaults.get(key) if isinstance(defaults, dict) else None
        if isinstance(value, dict) and not _is_free(path, key):
            yield from _paths_of_schema(_resolved(part), value, (*path, key))


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = SCHEMA["definitions"][reference.removeprefix("#/definitions/")]
    return found


def _sections(values: Any, path: Path = ()) -> Iterator[Path]:
    """Every map in ``values`` whose keys the chart knows."""
    if isinstance(values, dict):
        yield path
        for key, value in values.items():
            if key not in ("annotations", "podAnnotations", *VOLUMES):
                yield from _sections(value, (*path, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _sections(value, (*path, index))


def _objects(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield where, schema
        for key, part in schema.items():
            if key != "definitions":
                yield from _objects(part, f"{where}/{key}")
    elif isinstance(schema, list):
        for part in schema:
            yield from _objects(part, where)

"""docs/market.md has every field of the definition, with its default, choices and limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gomatch_operator import names
from tests.fixtures.market_schema import MINIMAL, fields_of, market_schema

PAGE = (Path(__file__).parents[4] / "docs" / "market.md").read_text(encoding="utf-8")
SCHEMA = market_schema()["properties"]


def _rows() -> dict[str, list[str]]:
    """Field -> the other cells of its row."""
    rows = [re.split(r" *\| *", line.strip("| ")) for line in PAGE.splitlines() if "|" in line]
    return {cells[0].strip("`"): cells[1:] for cells in rows if cells[0].startswith("`")}


def _fields(part: str, prefix: str = "") -> set[str]:
    """Values of maps and items of lists stand in the row of what holds them."""
    paths = {path.replace("[]", "") for path, _ in fields_of(SCHEMA[part], prefix)}
    return {path for path in paths if not path.endswith("{}")}


def test_the_page_has_every_field_and_no_other() -> None:
    rows = {name for name in _rows() if not name.startswith(f"{names.GROUP}/")}

    assert rows == _fields("spec") | _fields("status", "status")


def test_the_page_has_each_default_and_what_is_required() -> None:
    rows = _rows()
    for path, node in fields_of(SCHEMA["spec"]):
        default = node.get("default", {})
        if default != {}:
            text = json.dumps(default) if node.get("maxLength") == 32 else default
            assert rows[path.replace("[]", "")][1] == f"`{text}`", path

    required = {name for name, cells in rows.items() if cells[1:2] == ["required"]}
    assert required == set(SCHEMA["spec"]["required"])


def test_the_page_has_the_choices_in_their_order() -> None:
    for path, node in fields_of(SCHEMA["spec"]):
        if "enum" in node:
            choices = ", ".join(f"`{choice}`" for choice in node["enum"])
            assert _rows()[path.replace("[]", "")][0] == choices, path


def test_the_page_has_the_limits() -> None:
    for path, node in fields_of(SCHEMA["spec"]):
        if "maximum" in node:
            assert _rows()[path][0] == f"{node['minimum']} to {node['maximum']}", path
        for limit in ("maxItems", "maxProperties"):
            if limit in node:
                assert _rows()[path][0].startswith(f"up to {node[limit]}"), path


def test_the_page_says_what_never_changes() -> None:
    never = {name for name, cells in _rows().items() if cells[-1].startswith("never")}

    assert never == set(MINIMAL)


def test_the_page_and_the_definition_have_the_annotations() -> None:
    annotations = {
        names.ANNOTATION_PAUSED,
        names.ANNOTATION_RESUME,
        names.ANNOTATION_ADOPT,
        names.ANNOTATION_ABANDON,
    }

    assert {name for name in _rows() if name.startswith(f"{names.GROUP}/")} == annotations
    assert set(re.findall(r"gomatch\.io/[a-z]+", market_schema()["description"])) == annotations

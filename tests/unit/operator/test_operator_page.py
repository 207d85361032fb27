"""docs/operator.md has every condition, every reason and every setting, as the code has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gomatch_operator import names
from gomatch_operator.conditions import REASONS, TYPES
from gomatch_operator.settings import OperatorSettings

PAGE = (Path(__file__).parents[3] / "docs" / "operator.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands below a heading, to the next of its rank."""
    mark = f"\n{title}\n"
    assert PAGE.count(mark) == 1, title
    rank = title.partition(" ")[0]
    return re.split(rf"\n#{{1,{len(rank)}}} ", PAGE.partition(mark)[2])[0]


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> the others, of all tables in ``text``."""
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in found}


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name in the file, and field."""
    for field in model.model_fields.values():
        name = f"{prefix}{field.alias}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{name}.")
        else:
            yield name, field


def default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else f"`{json.dumps(value)}`"


def test_the_page_has_each_condition_in_its_order() -> None:
    headings = re.findall(r"^### (\w+)$", section("## Conditions"), re.MULTILINE)
    assert tuple(headings) == TYPES


def test_the_page_has_each_reason_and_what_to_do() -> None:
    for type_ in TYPES:
        told = {reason: cells[0] for reason, cells in rows(section(f"### {type_}")).items()}
        assert told == dict(REASONS[type_]), type_


def test_the_page_has_each_setting_with_default_and_meaning() -> None:
    wanted = {name: [default(field), field.description] for name, field in fields(OperatorSettings)}
    assert rows(section("## Settings")) == wanted


def test_the_page_has_each_annotation() -> None:
    told = {name.partition(":")[0] for name in rows(section("## Annotations"))}
    ours = {
        value
        for name, value in vars(names).items()
        if name.startswith("ANNOTATION_") and value.startswith(names.GROUP)
    }
    assert told == ours

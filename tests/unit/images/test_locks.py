"""Every image gets its dependencies from `requirements.lock`, all that it needs and no more."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_REPOSITORY = Path(__file__).resolve().parents[3]
_PROJECT = tomllib.loads((_REPOSITORY / "pyproject.toml").read_text())
_BUILDER = "images/builder/requirements.lock"
_COMMON = "images/common/requirements.lock"
_EXTRAS = {
    "images/api/requirements.lock": ("api", "tracing"),
    "images/matcher/requirements.lock": ("matcher", "tracing"),
    "operator/requirements.lock": ("operator",),
}


def pins(lock: str) -> dict[str, str]:
    """The text of each package's entry, with its version and hashes."""
    text = re.sub(r"^ *#.*\n", "", (_REPOSITORY / lock).read_text(), flags=re.MULTILINE)
    entries = [entry.strip() for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)]
    return {re.split(r"[=\[]", entry)[0]: entry for entry in entries if entry}


def needed(asked: list[str]) -> set[str]:
    """The packages that ``asked`` install on this Python, whatever they need in turn included."""
    found: set[str] = set()
    waiting = [(Requirement(each), "") for each in asked]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, wanted))
            waiting += [(Requirement(each), wanted) for each in requires(name) or []]
    return found


@pytest.mark.parametrize("lock", [_BUILDER, _COMMON, *_EXTRAS])
def test_an_image_gets_the_versions_and_files_that_are_tested(lock: str) -> None:
    everything = pins("requirements.lock")
    assert {name: everything.get(name) for name in pins(lock)} == pins(lock)


@pytest.mark.parametrize("lock", _EXTRAS)
def test_what_all_images_share_is_in_none_of_them_again(lock: str) -> None:
    assert pins(lock).keys().isdisjoint(pins(_COMMON))


@pytest.mark.parametrize("lock", _EXTRAS)
def test_an_image_gets_all_that_its_program_needs_and_nothing_else(lock: str) -> None:
    project = _PROJECT["project"]
    asked = list(project["dependencies"])
    for extra in _EXTRAS[lock]:
        asked += project["optional-dependencies"][extra]
    elsewhere = {name for name, entry in pins("requirements.lock").items() if "; " in entry}
    installed = {*pins(_COMMON), *pins(lock)}
    assert needed(asked) <= installed
    assert installed - elsewhere <= needed(asked)


def test_the_builder_has_what_makes_the_wheel() -> None:
    assert pins(_BUILDER).keys() == needed(_PROJECT["build-system"]["requires"])

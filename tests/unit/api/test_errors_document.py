import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomatch.cli.session import exit_code_of
from gomatch.engine import Reason
from gomatch.errors import ClaimRefused, EngineFault, ForeignCommands, GomatchError
from gomatch_api import codes
from gomatch_api.codes import ProblemCode
from gomatch_api.stream import codes as stream_codes

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<status>[0-9]{3}) \| (?P<title>[^|]+) \|", re.M)
_REASON_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<kind>[A-Z][A-Za-z, ]+) \|", re.M)
_PROGRAM_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<exit>[0-9]) \|", re.M)


def problems() -> tuple[ProblemCode, ...]:
    return (*codes.ALL, *stream_codes.ALL)


def test_codes_are_unique() -> None:
    names = [code.code for code in problems()]
    assert len(names) == len(set(names))


def test_the_table_lists_every_problem_with_its_status_and_title() -> None:
    rows = {row["code"]: row for row in _ROW.finditer(DOCUMENT.read_text())}
    assert set(rows) == {code.code for code in problems()}
    for code in problems():
        assert int(rows[code.code]["status"]) == code.status
        assert rows[code.code]["title"].strip() == code.title


def test_the_table_lists_every_reason_of_the_engine() -> None:
    listed = [row["code"] for row in _REASON_ROW.finditer(DOCUMENT.read_text())]
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(reason) for reason in Reason}


def test_every_error_of_the_programs_is_listed_with_its_exit_code() -> None:
    text = DOCUMENT.read_text()
    listed = {row["code"]: int(row["exit"]) for row in _PROGRAM_ROW.finditer(text)}
    above = {code.code for code in problems()}
    assert listed == {
        error.code: exit_code_of(error) for error in errors() if error.code not in above
    }


def errors() -> Iterator[GomatchError]:
    """One of each kind."""
    left: list[type[GomatchError]] = [GomatchError]
    while left:
        kind = left.pop()
        left += [each for each in kind.__subclasses__() if each.__module__ == "gomatch.errors"]
        if issubclass(kind, EngineFault):
            yield kind("", number=1, last=1)
        elif issubclass(kind, ForeignCommands):
            yield kind("", first=1)
        elif issubclass(kind, ClaimRefused):
            yield kind("", installation="", namespace="", name="")
        else:
            yield kind("")


@pytest.mark.parametrize("code", problems(), ids=lambda code: code.code)
def test_every_code_is_a_client_or_server_error(code: ProblemCode) -> None:
    assert 400 <= code.status < 600
    assert code.type == f"urn:gomatch:problem:{code.code}"

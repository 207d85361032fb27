import re
from pathlib import Path

import pytest

from gomatch.engine import Reason
from gomatch_api import codes
from gomatch_api.codes import ProblemCode
from gomatch_api.stream import codes as stream_codes

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<status>[0-9]{3}) \| (?P<title>[^|]+) \|", re.M)
_REASON_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<kind>[A-Z][A-Za-z, ]+) \|", re.M)


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


@pytest.mark.parametrize("code", problems(), ids=lambda code: code.code)
def test_every_code_is_a_client_or_server_error(code: ProblemCode) -> None:
    assert 400 <= code.status < 600
    assert code.type == f"urn:gomatch:problem:{code.code}"

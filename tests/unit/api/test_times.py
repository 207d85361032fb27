import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomatch_api.times import format_time, parse_time


@given(st.integers(0, 253_402_300_799_999_999))
def test_times_survive_the_round_trip(microseconds: int) -> None:
    assert parse_time(format_time(microseconds)) == microseconds


def test_times_have_microseconds_and_utc() -> None:
    assert format_time(0) == "1970-01-01T00:00:00.000000Z"
    assert format_time(1_700_000_000_000_001) == "2023-11-14T22:13:20.000001Z"


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T12:00:00Z",
        "2030-01-31t12:00:00z",
        "2030-01-31T12:00:00.0Z",
        "2030-01-31T14:00:00+02:00",
        "2030-01-31T12:00:00.000000-00:00",
    ],
)
def test_forms_of_one_moment(text: str) -> None:
    assert parse_time(text) == 1_896_091_200_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00Z",
        "2030-02-30T12:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T12:00:60Z",
        "2030-01-31T12:00:00.0000000Z",
        "2030-01-31T12:00:00+24:00",
        "2030-W05-4T12:00:00Z",
        "1896091200",
        "２０30-01-31T12:00:00Z",
        "2030-01-31T12:00:00Z\n",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)

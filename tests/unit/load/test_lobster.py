from __future__ import annotations

from pathlib import Path

import pytest

from gomatch.errors import LoadError
from gomatch.load.lobster import (
    RecordedAmend,
    RecordedCancel,
    RecordedPlace,
    Recording,
    convert,
    parse_messages,
    read_recording,
)


def recording(*lines: str) -> Recording:
    return convert(list(parse_messages(lines)))


def test_a_new_order_becomes_a_limit_order() -> None:
    steps = recording("34200.017459617,1,5,100,1180100,-1").steps
    assert steps == (
        RecordedPlace(time=34_200_017_459, buy=False, price=118_010_000_000, size=100, order=5),
    )


def test_an_execution_becomes_the_aggressive_order_from_the_other_side() -> None:
    steps = recording("1.0,1,5,100,1180100,-1", "2.5,4,5,40,1180100,-1").steps
    assert steps[1] == RecordedPlace(
        time=2_500_000, buy=True, price=118_010_000_000, size=40, order=0, aggressive=True
    )


def test_partial_cancels_add_up_to_smaller_totals_and_a_deletion_is_a_cancel() -> None:
    steps = recording(
        "1.0,1,5,100,1180100,1",
        "2.0,2,5,30,1180100,1",
        "3.0,4,5,10,1180100,1",
        "4.0,2,5,20,1180100,1",
        "5.0,3,5,40,1180100,1",
    ).steps
    assert steps[1] == RecordedAmend(time=2_000_000, order=5, quantity=70)
    assert steps[3] == RecordedAmend(time=4_000_000, order=5, quantity=50)
    assert steps[4] == RecordedCancel(time=5_000_000, order=5)


def test_orders_that_stood_before_the_file_began_are_entered_first() -> None:
    result = recording(
        "1.0,4,9,10,1000000,1",
        "2.0,2,7,5,1010000,-1",
        "3.0,3,7,20,1010000,-1",
        "4.0,3,9,15,1000000,1",
    )
    assert result.opening == (
        RecordedPlace(time=0, buy=False, price=101_000_000_000, size=25, order=7),
        RecordedPlace(time=0, buy=True, price=100_000_000_000, size=25, order=9),
    )
    assert result.steps[1] == RecordedAmend(time=2_000_000, order=7, quantity=20)


def test_hidden_executions_cross_trades_and_halts_are_skipped_and_counted() -> None:
    result = recording("1.0,5,0,10,1000000,1", "2.0,6,-1,5,1010000,-1", "3.0,7,0,0,-1,-1")
    assert result.steps == ()
    assert result.skipped == {"hidden_execution": 1, "cross_trade": 1, "halt": 1}


@pytest.mark.parametrize(
    "line",
    [
        "1.0,1,5,100",
        "x,1,5,100,1180100,1",
        "NaN,1,5,100,1180100,1",
        "1.0,8,5,100,1180100,1",
        "1.0,1,5,0,1180100,1",
        "1.0,1,5,100,-1,1",
        "1.0,1,5,100,1180100,0",
        "1.0,1,5,1e2,1180100,1",
    ],
)
def test_a_line_that_is_no_message_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(LoadError, match="line 2"):
        recording("1.0,1,5,100,1180100,1", line)


def test_the_sample_that_comes_with_gomatch_can_be_read() -> None:
    sample = read_recording(Path("examples/lobster-sample-message.csv"))
    assert len(sample.steps) > 1_000
    assert sample.opening


def test_a_file_that_is_not_there_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot read"):
        read_recording(tmp_path / "missing.csv")

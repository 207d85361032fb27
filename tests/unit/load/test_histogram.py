from __future__ import annotations

import random

import pytest

from gomatch.load.histogram import LatencyHistogram


def test_an_empty_histogram_says_zero() -> None:
    summary = LatencyHistogram().summary()
    assert summary.count == 0
    assert summary.p99 == 0
    assert summary.maximum == 0


def test_quantiles_are_within_one_percent_of_the_exact_ones() -> None:
    source = random.Random(1)
    values = sorted(source.lognormvariate(-6, 1) for _ in range(20_000))
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    for share in (0.5, 0.9, 0.99, 0.999):
        exact = values[int(share * len(values)) - 1]
        assert histogram.quantile(share) == pytest.approx(exact, rel=0.011)
    assert histogram.quantile(1.0) == values[-1]


def test_a_value_recorded_many_times_counts_as_often() -> None:
    histogram = LatencyHistogram()
    histogram.record(0.001, times=99)
    histogram.record(1.0)
    assert histogram.count == 100
    assert histogram.quantile(0.99) == pytest.approx(0.001, rel=0.011)
    assert histogram.summary().maximum == 1000
    assert histogram.summary().mean == pytest.approx(10.99)


def test_values_out_of_range_are_kept_in_the_outer_buckets() -> None:
    histogram = LatencyHistogram()
    histogram.record(0.0)
    histogram.record(1e7)
    assert histogram.count == 2
    assert histogram.quantile(0.5) <= 1e-6
    assert histogram.summary().maximum == 1e10

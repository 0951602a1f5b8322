"""The histogram errs by at most a bucket, upwards, and never past the largest duration seen."""

import math

from hypothesis import given
from hypothesis import strategies as st

from base.histogram import LogHistogram


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=200),
    st.sampled_from([1, 50, 90, 99, 99.9, 100]),
    st.sampled_from([1, 2, 4]),
)
def test_percentiles_are_near_the_exact_ones(durations: list[int], percent: float, bits: int) -> None:
    histogram = LogHistogram(bits)
    for ns in durations:
        histogram.add(ns)
    exact = sorted(durations)[max(math.ceil(len(durations) * percent / 100) - 1, 0)]
    found = histogram.percentile(percent)
    assert exact <= found <= max(exact * (1.01 + 1 / 2**bits), exact + 1)
    assert found <= max(durations)
    assert histogram.count == len(durations)


def test_nothing_counted_is_zero_and_negative_counts_as_zero() -> None:
    histogram = LogHistogram()
    assert histogram.percentile(99) == 0
    histogram.add(-5)
    assert (histogram.count, histogram.percentile(50), histogram.largest) == (1, 0, 0)
    histogram.add(1000)
    histogram.clear()
    assert histogram.count == 0

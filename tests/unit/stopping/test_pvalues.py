from __future__ import annotations

from math import comb

import numpy as np
import pytest

from stopping.errors import LevelError
from stopping.pvalues import (
    critical_counts,
    exceeds,
    p_value,
    p_value_above,
    streams_needed,
)


def binomial_sum(losses, n, alpha):
    return sum(comb(n, k) * alpha**k * (1 - alpha) ** (n - k) for k in range(losses + 1))


@pytest.mark.parametrize(("losses", "n", "alpha"), [(0, 1, 0.5), (2, 40, 0.1), (9, 60, 0.2)])
def test_the_p_value_is_the_binomial_sum(losses, n, alpha):
    assert p_value(losses, n, alpha) == pytest.approx(binomial_sum(losses, n, alpha), rel=1e-12)
    above = 1 - (binomial_sum(losses - 1, n, alpha) if losses else 0)
    assert p_value_above(losses, n, alpha) == pytest.approx(above, rel=1e-12)


def test_without_a_stream_there_is_no_p_value():
    assert np.isnan(p_value(0, 0, 0.1))
    assert np.isnan(p_value_above(0, 0, 0.1))
    assert not exceeds(0, 0, 0.1)


@pytest.mark.parametrize(
    ("alpha", "delta", "needed"),
    [
        (0.1, 0.01, [44, 64, 81, 97, 113, 127]),
        (0.05, 0.01, [90, 130, 165, 198, 229, 259]),
        (0.01, 0.01, [459, 662, 838, 1001, 1157, 1307]),
        (0.1, 0.05, [29, 46, 61, 76]),
        (0.05, 0.05, [59]),
    ],
)
def test_the_published_sample_size_rule(alpha, delta, needed):
    assert [streams_needed(alpha, delta, losses) for losses in range(len(needed))] == needed


@pytest.mark.parametrize("delta", [0.5, 0.25, 0.125, 1e-9, 0.999])
@pytest.mark.parametrize("alpha", [0.5, 0.001, 0.3, 0.999])
def test_the_sample_size_is_the_least_that_passes_the_test_itself(alpha, delta):
    for losses in (0, 3):
        n = streams_needed(alpha, delta, losses)
        assert p_value(losses, n, alpha) <= delta
        assert n == losses + 1 or p_value(losses, n - 1, alpha) > delta


@pytest.mark.parametrize("delta", [0.01, 0.5, 0.9])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 0.9])
def test_comparing_with_the_critical_count_is_the_test(alpha, delta):
    limits = critical_counts(90, alpha, delta)
    assert limits[0] == -1
    for m in range(1, 91):
        losses = np.arange(m + 1)
        assert (losses <= limits[m]).tolist() == (p_value(losses, m, alpha) <= delta).tolist()


def test_critical_counts_hold_where_a_p_value_is_delta_exactly():
    """One stream, no loss, alpha = delta = 1/2: p = 1/2 exactly, which is accepted."""
    assert critical_counts(1, 0.5, 0.5).tolist() == [-1, 0]


def test_largest_accepted_gaps_are_the_published_ones():
    limits = critical_counts(5000, 0.1, 0.01)
    shares = [round(float(limits[m] / m), 3) for m in (100, 500, 1000, 5000)]
    assert shares == [0.03, 0.068, 0.078, 0.09]


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), float("inf"), True, "0.1", None])
def test_what_is_no_level_is_refused_with_advice(value):
    with pytest.raises(LevelError, match=r"alpha is .* above 0 and below 1"):
        streams_needed(value, 0.1)
    with pytest.raises(LevelError, match=r"delta is .* above 0 and below 1"):
        streams_needed(0.1, value)

from __future__ import annotations

import numpy as np
import pytest

from stopping.errors import ReadinessError, ShapeError, ThresholdsError
from stopping.scores import checked
from stopping.thresholds import conditional_grid, halt_steps, marginal_grid

FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]


def halted(readiness, thresholds, lengths=None):
    readiness = np.asarray(readiness, float)
    lengths = np.full(len(readiness), readiness.shape[1]) if lengths is None else lengths
    return halt_steps(readiness, thresholds, np.asarray(lengths)).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_conditional_grid_is_the_hundredths_from_0_to_1(dtype):
    grid = conditional_grid(dtype)
    assert grid.dtype == dtype
    assert (grid[0], grid[-1], len(grid)) == (0, 1, 101)
    assert np.array_equal(grid, np.arange(0, 1.00001, 0.01).astype(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_marginal_grid_descends_and_never_reaches_0(dtype):
    grid = marginal_grid(dtype)
    assert grid.dtype == dtype
    assert (grid[0], len(grid)) == (1, 100)
    assert (np.diff(grid) < 0).all()
    assert grid[-1] == pytest.approx(0.01)


def test_the_marginal_grid_drifts_below_the_decimals_as_repeated_subtraction_does():
    grid = marginal_grid(np.dtype(float))
    assert 0.8999 < grid[10] < 0.9
    assert 0.00999 < grid[-1] < 0.01


def test_a_stream_halts_at_the_first_step_that_reaches_its_threshold():
    assert halted([[0.1, 0.5, 0.9], [0.7, 0.5, 0.9]], [0.6, 0.5, 0.0]) == [2, 1]


def test_a_threshold_equal_to_the_readiness_is_reached():
    assert halted([[0.5, 0.0]], 0.5) == [1]


def test_without_a_reached_threshold_a_stream_halts_at_its_own_end():
    nan = np.nan
    assert halted([[0.1, 0.2, 0.3], [0.1, nan, nan]], np.inf, [3, 1]) == [3, 1]


def test_what_stands_past_the_end_never_halts_a_stream():
    assert halted([[0.1, 0.2, 9.0]], 0.5, [2]) == [2]


def test_a_step_that_is_not_eligible_never_halts_a_stream():
    assert halted([[-np.inf, 0.3]], 0.0) == [2]


def test_thresholds_are_compared_in_the_type_of_the_readiness():
    """0.9 as float32 is below 0.9, so as float64 the threshold would not be reached."""
    assert halt_steps(np.array([[0.9, 1]], np.float32), [0.9, 1], np.array([2])).tolist() == [1]


def test_thresholds_for_another_horizon_are_refused():
    with pytest.raises(ThresholdsError, match="2 thresholds for streams of up to 3 steps"):
        halted([[0.1, 0.2, 0.3]], [0.5, 0.5])


def loss_for(readiness):
    return np.zeros(np.shape(readiness), bool)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_readiness_that_nothing_can_be_compared_with_is_refused_inside_a_stream(value):
    readiness = np.array([[0.1, 0.2], [0.3, value], [0.5, value]])
    with pytest.raises(ReadinessError, match="step 2 of stream 1") as caught:
        checked(readiness, loss_for(readiness))
    assert (caught.value.stream, caught.value.step) == (1, 2)
    assert "2 such values" in str(caught.value)
    checked(readiness, loss_for(readiness), [2, 1, 1])  # past the end it may stand


@pytest.mark.parametrize("value", [-0.001, 1.001, -1e300])
def test_readiness_outside_0_to_1_is_refused_only_where_a_fixed_grid_needs_it(value):
    readiness = np.array([[0.1, value]])
    assert checked(readiness, loss_for(readiness)).n == 1
    with pytest.raises(ReadinessError, match=r"thresholds from 0 to 1"):
        checked(readiness, loss_for(readiness), unit_interval=True)


def test_minus_infinity_and_both_bounds_are_fine_for_a_fixed_grid():
    readiness = np.array([[-np.inf, 0.0, 1.0]])
    assert checked(readiness, loss_for(readiness), unit_interval=True).horizon == 3


@pytest.mark.parametrize(
    ("readiness", "loss", "message"),
    [
        (np.zeros(3), np.zeros(3, bool), r"readiness is float64 \[3\]"),
        (np.zeros((2, 0)), np.zeros((2, 0), bool), "T >= 1"),
        (np.zeros((2, 2), int), np.zeros((2, 2), bool), "readiness is int64.*float32 or float64"),
        (np.zeros((2, 2), np.float16), np.zeros((2, 2), bool), "readiness is float16"),
        (np.zeros((2, 2)), np.zeros((2, 3), bool), r"loss is bool \[2, 3\].*bool \[2, 2\]"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "loss is float64.*must be bool"),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused_by_name(readiness, loss, message):
    with pytest.raises(ShapeError, match=message):
        checked(readiness, loss)

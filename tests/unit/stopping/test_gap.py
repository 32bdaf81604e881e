from __future__ import annotations

import json

import numpy as np
import pytest

from stopping.errors import ShapeError
from stopping.gap import gap_among_earliest, report_gap
from stopping.tallies import Tally, WorstStep, tally_halted, tally_stopped_early

R, W = 1, 0  # right and wrong answers; every label is 1


def report(steps, predicted, lengths=None):
    predicted = np.array(predicted)
    return report_gap(steps, predicted, np.ones(len(predicted), int), lengths)


def test_accuracies_gap_and_time_used_of_a_worked_example():
    got = report(
        [1, 2, 3, 1],
        [[W, R, R], [W, R, W], [R, W, R], [W, W, W]],
    )
    assert got.accuracy == 0.5
    assert got.late_accuracy == 0.5
    assert (got.losses, got.gap) == (1, 0.25)
    assert got.time_used == pytest.approx((1 / 3 + 2 / 3 + 1 + 1 / 3) / 4)


def test_the_gap_is_never_below_the_difference_of_the_accuracies():
    rng = np.random.default_rng(1)
    for _ in range(50):
        predicted = rng.integers(0, 2, (30, 4))
        got = report(rng.integers(1, 5, 30), predicted)
        assert got.gap >= got.late_accuracy - got.accuracy - 1e-12


def test_time_used_is_measured_against_each_streams_own_length():
    assert report([1, 2], [[R, R, R, R], [R, R, 9, 9]], [4, 2]).time_used == (0.25 + 1) / 2


def test_the_late_answer_is_that_of_each_streams_own_end():
    got = report([1, 1], [[W, R, W], [W, R, R]], [2, 3])
    assert (got.late_accuracy, got.gap) == (1, 1)


def test_the_earliest_share_takes_in_all_that_tie_at_its_border():
    steps = np.array([1, 2, 2, 2, 3, 3, 4, 4, 4, 4])
    lost = np.array([True, False, False, True, False, False, True, True, False, False])
    counts = [
        (at.n, at.losses)
        for at in (gap_among_earliest(steps, lost, q) for q in (0.1, 0.2, 0.5, 1))
    ]
    assert counts == [(1, 1), (4, 2), (6, 2), (10, 4)]


@pytest.mark.parametrize("n", range(1, 61))
def test_the_share_is_the_least_number_that_covers_it(n):
    steps = np.arange(1, n + 1)  # no ties
    for tenths in (2, 5, 7, 10):
        at = gap_among_earliest(steps, np.zeros(n, bool), tenths / 10)
        assert at.n == -(-n * tenths // 10)


def test_the_report_as_json_has_the_contracts_names():
    document = report([1, 2], [[W, R], [R, R]]).to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["gap_at"] == {"0.2": 1.0, "0.5": 1.0, "1.0": 0.5}
    assert document["gap_n"] == {"0.2": 1, "0.5": 1, "1.0": 2}
    assert document["max_conditional_gap"] == {"step": 1, "halted": 1, "gap": 1.0}
    assert {"n", "accuracy", "late_accuracy", "gap", "time_used"} <= set(document)


def test_the_worst_step_is_told_for_both_sets_with_its_count():
    # At step 1 one stream is stopped at a loss while three end by themselves.
    got = report([1, 1, 1, 1], [[W, R], [R, 9], [R, 9], [R, 9]], [2, 1, 1, 1])
    assert got.halted.worst() == WorstStep(1, 4, 0.25)
    assert got.stopped_early.worst() == WorstStep(1, 1, 1.0)


def test_where_nothing_stops_early_there_is_no_worst_step_of_early_stops():
    got = report([2, 2], [[W, R], [W, R]])
    assert got.stopped_early.worst() is None
    assert got.to_json()["max_conditional_gap_early"] is None


def test_tallies_accumulate_and_leave_gaps_unknown_before_the_first_halt():
    steps, lost = np.array([2, 3, 3]), np.array([True, False, True])
    tally = tally_halted(steps, lost, 4)
    assert tally == Tally((0, 1, 3, 3), (0, 1, 2, 2))
    assert tally.gaps == (None, 1.0, 2 / 3, 2 / 3)
    assert tally_stopped_early(steps, lost, np.array([2, 4, 4]), 4) == Tally(
        (0, 0, 2, 2), (0, 0, 1, 1)
    )


@pytest.mark.parametrize("steps", [[0, 1], [1, 3], [1], [1.0, 2.0]])
def test_halt_steps_that_streams_do_not_have_are_refused(steps):
    with pytest.raises(ShapeError, match="steps is"):
        report(steps, [[R, R], [R, R]])


def test_an_empty_set_cannot_be_evaluated():
    with pytest.raises(ShapeError, match="at least one stream"):
        report_gap(np.zeros(0, int), np.zeros((0, 2), int), np.zeros(0, int))

from __future__ import annotations

import numpy as np
import pytest

from stopping.metrics.comparison import compare_at_equal_false_alarms

POSITIVE = np.array([1, 1, 1, 1, 0, 0, 0, 0])
RAISED = np.array([1, 1, 1, 0, 1, 0, 0, 0])  # sensitivity 3/4 at a rate of 1/4
READINESS = np.array([0.9, 0.6, 0.3, 0.2, 0.8, 0.5, 0.4, 0.1])[:, None]


def test_the_other_model_may_raise_as_many_negatives():
    found = compare_at_equal_false_alarms(RAISED, READINESS, POSITIVE)
    # By falling readiness: +, -, +, -, ... The threshold .6 raises one negative and two positives.
    assert found.false_alarm_rate == 0.25
    assert (found.sensitivity, found.other_sensitivity, found.difference) == (0.75, 0.5, 0.25)


def test_between_two_thresholds_ties_are_broken_by_a_coin():
    tied = np.array([0.9, 0.5, 0.5, 0.2, 0.5, 0.5, 0.1, 0.1])[:, None]
    # .9 raises one positive; at .5 two of each come together, of which one negative is allowed.
    assert compare_at_equal_false_alarms(RAISED, tied, POSITIVE).other_sensitivity == 0.5
    blind = np.full((8, 1), 0.5)
    assert compare_at_equal_false_alarms(RAISED, blind, POSITIVE).other_sensitivity == 0.25


def test_without_a_false_alarm_only_positives_above_all_negatives_count():
    none = np.array([1, 0, 0, 0, 0, 0, 0, 0])
    assert compare_at_equal_false_alarms(none, READINESS, POSITIVE).other_sensitivity == 0.25
    every = np.ones(8, int)
    assert compare_at_equal_false_alarms(every, READINESS, POSITIVE).other_sensitivity == 1.0


def test_steps_past_a_streams_end_do_not_count():
    readiness = np.hstack([READINESS, np.full((8, 1), 0.99)])
    found = compare_at_equal_false_alarms(RAISED, readiness, POSITIVE, np.ones(8, int))
    assert found.other_sensitivity == 0.5


def test_a_model_does_not_differ_from_itself():
    rng = np.random.default_rng(3)
    positive = rng.random(500) < 0.3
    readiness = np.clip(rng.random((500, 4)) * 0.7 + positive[:, None] * 0.2, 0, 1)
    raised = readiness.max(axis=1) >= 0.7
    found = compare_at_equal_false_alarms(raised, readiness, positive)
    # Nearly: the threshold that is read off may go down to just above the next negative.
    assert -0.02 < found.difference <= 1e-12
    assert found.difference_interval == pytest.approx([0, 0], abs=0.03)
    assert found.other_interval[0] < found.other_sensitivity < found.other_interval[1]


def test_a_difference_that_is_there_is_found_with_its_interval():
    rng = np.random.default_rng(4)
    positive = rng.random(800) < 0.25
    good = np.clip(rng.random(800) * 0.6 + positive * 0.3, 0, 1)
    raised = good >= 0.55
    found = compare_at_equal_false_alarms(raised, rng.random((800, 3)), positive, seed=1)
    again = compare_at_equal_false_alarms(raised, rng.random((800, 3)), positive, seed=1)
    assert found.difference > 0.3
    assert found.difference_interval[0] > 0.2
    assert again.sensitivity == found.sensitivity


@pytest.mark.parametrize("positive", [np.zeros(8, int), np.ones(8, int)])
def test_with_one_kind_of_streams_there_is_nothing_to_compare(positive):
    assert compare_at_equal_false_alarms(RAISED, READINESS, positive) is None

from __future__ import annotations

import numpy as np
import pytest

from stopping.errors import LabelError, ShapeError
from stopping.losses import accuracy_gap_loss, majority_class, majority_loss


def test_a_loss_is_a_right_late_and_a_wrong_early_answer_and_nothing_else():
    right, wrong = 1, 0
    predicted = [[wrong, right], [right, wrong], [wrong, wrong], [right, right]]
    assert accuracy_gap_loss(predicted, [1, 1, 1, 1]).tolist() == [
        [True, False],
        [False, False],
        [False, False],
        [False, False],
    ]


def test_the_late_answer_is_that_of_the_streams_own_last_step():
    predicted = [[0, 1, 0], [0, 1, 1]]
    assert accuracy_gap_loss(predicted, [1, 1], [2, 3]).tolist() == [
        [True, False, False],
        [True, False, False],
    ]


def test_what_stands_past_the_end_changes_nothing():
    some, other = [[0, 1, -9]], [[0, 1, 1]]
    assert (accuracy_gap_loss(some, [1], [2]) == accuracy_gap_loss(other, [1], [2])).all()


def test_the_majority_answer_loses_where_the_late_answer_is_right_and_the_label_another():
    label = [0, 0, 1, 1, 0]
    predicted = [[0], [1], [1], [0], [0]]
    assert majority_loss(predicted, label).tolist() == [False, False, True, False, False]


def test_of_majority_classes_that_tie_the_lowest_counts():
    assert majority_class([1, 2, 2, 1]) == 1


def test_no_streams_have_no_losses():
    empty = np.zeros((0, 3), int)
    assert accuracy_gap_loss(empty, np.zeros(0, int)).shape == (0, 3)
    assert majority_loss(empty, np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize(
    ("predicted", "label", "lengths", "message"),
    [
        ([0, 1], [0, 1], None, r"predicted is int64 \[2\].*integers \[n, T\]"),
        ([[0.0, 1.0]], [0], None, r"predicted is float64 \[1, 2\].*integers \[1, 2\]"),
        ([[0, 1]], [0, 1], None, r"label is int64 \[2\].*integers \[1\]"),
        ([[0, 1]], [0.0], None, r"label is float64 \[1\].*integers \[1\]"),
        ([[0, 1]], [0], [1, 2], r"lengths is int64 \[2\].*integers \[1\]"),
        ([[0, 1]], [0], [3], "lengths is between 3 and 3.*between 1 and 2"),
        ([[0, 1]], [0], [0], "lengths is between 0 and 0.*between 1 and 2"),
        (np.zeros((2, 0), int), [0, 1], None, "T >= 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(predicted, label, lengths, message):
    with pytest.raises(ShapeError, match=message):
        accuracy_gap_loss(predicted, label, lengths)


def test_a_class_index_below_zero_is_refused_inside_a_stream():
    with pytest.raises(LabelError, match=r"label holds -1 for stream 1 .*Leave out streams"):
        accuracy_gap_loss([[0], [0]], [0, -1])
    with pytest.raises(LabelError, match="predicted holds -1 for stream 0"):
        accuracy_gap_loss([[0, -1]], [0])

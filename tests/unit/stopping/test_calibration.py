"""Small calibration sets whose answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stopping.conditional import accept, calibrate_conditional, screen, split
from stopping.errors import LevelError, ModeError, ReadinessError
from stopping.issue import find_shortfall, statement
from stopping.losses import accuracy_gap_loss, majority_loss
from stopping.marginal import calibrate_marginal
from stopping.scores import checked
from stopping.thresholds import conditional_grid

GRID = conditional_grid(np.dtype(float))
INF = np.inf


def ready(n, *rows):
    """n streams for each row, without any loss."""
    readiness = np.repeat(np.array(rows, float), n, axis=0)
    return readiness, np.zeros(readiness.shape, bool)


def test_screening_takes_the_smallest_threshold_whose_mean_loss_is_within_alpha():
    # By falling readiness: no loss, no loss, loss, loss. At most one loss in three is allowed.
    readiness = np.array([[0.9, 1], [0.8, 1], [0.7, 1], [0.6, 1]])
    loss = np.array([[False, False], [False, False], [True, False], [True, False]])
    candidates = screen(checked(readiness, loss), GRID, 1 / 3)
    assert candidates.tolist() == [0.61, 0.0]


def test_screening_gives_no_candidate_where_every_threshold_with_a_halt_is_too_dear():
    readiness = np.array([[0.9, 1], [0.8, 1]])
    loss = np.array([[True, False], [False, False]])
    assert screen(checked(readiness, loss), GRID, 0.4).tolist() == [INF, 0.0]


def test_screening_counts_streams_that_halted_or_ended_before():
    # Stream 0 ends at step 1 without loss, so one loss among two is within one half at step 2.
    readiness = np.array([[0.0, np.nan, np.nan], [-INF, 0.5, 1.0], [-INF, -INF, 1.0]])
    loss = np.array([[False, False, False], [False, True, False], [False, False, False]])
    candidates = screen(checked(readiness, loss, [1, 3, 3]), GRID, 0.5)
    assert candidates.tolist() == [0.0, 0.0, 0.0]


def test_screening_gives_up_a_step_at_which_nobody_is_eligible():
    readiness, loss = ready(3, [-INF, 0.5, 0.5])
    assert screen(checked(readiness, loss), GRID, 0.1).tolist() == [INF, 0.0, 0.0]


def test_the_published_worked_example_of_testing():
    """100 streams: 60 halt by step 2 with one loss; another 20 at step 1 are too few to tell."""
    readiness = np.array(
        [[1.0, 1.0, 0]] * 20 + [[0, 1.0, 0]] * 40 + [[0, 0, 1.0]] * 40,
    )
    loss = np.zeros((100, 3), bool)
    loss[20, 1] = True
    accepted = accept(checked(readiness, loss), np.array([0.5, 0.5, 0.5]), 0.1, 0.05)
    assert accepted.tolist() == [INF, 0.5, 0.5]


def test_testing_stops_for_good_at_the_first_failure():
    readiness, loss = ready(50, [1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    loss[50:, 1] = True  # step 2 is hopeless, step 1 would be free
    accepted = accept(checked(readiness, loss), np.array([0.5, 0.5, 0.5]), 0.1, 0.05)
    assert accepted.tolist() == [INF, INF, 0.5]


def test_testing_stops_at_a_step_by_which_no_stream_halts():
    readiness, loss = ready(100, [1.0, -INF, 1.0])
    accepted = accept(checked(readiness, loss), np.array([0.5, INF, 0.5]), 0.1, 0.05)
    assert accepted.tolist() == [INF, INF, 0.5]


def test_streams_that_ended_by_themselves_keep_testing_going():
    """The published set counts them: with 50 of them the empty step 2 passes."""
    readiness, loss = ready(50, [1.0, -INF, 1.0], [0.0, np.nan, np.nan])
    scores = checked(readiness, loss, [3] * 50 + [1] * 50)
    accepted = accept(scores, np.array([0.5, INF, 0.5]), 0.1, 0.05)
    assert accepted.tolist() == [0.5, INF, 0.5]


def test_the_screening_part_is_the_first_half_of_the_seeded_permutation():
    readiness, loss = ready(9, [0.5, 1.0])
    certificate = calibrate_conditional(readiness, loss, None, 0.5, 0.5, seed=3)
    expected = np.random.default_rng(3).permutation(9)[:4]
    assert certificate.screening_indices == tuple(expected)
    assert (certificate.n_screening, certificate.n_testing, certificate.seed) == (4, 5, 3)
    assert calibrate_conditional(readiness, loss, None, 0.5, 0.5).seed == 0


def test_without_shuffling_the_screening_part_is_the_first_half_as_given():
    readiness, loss = ready(9, [0.5, 1.0])
    certificate = calibrate_conditional(readiness, loss, None, 0.5, 0.5, shuffle=False)
    assert certificate.screening_indices == (0, 1, 2, 3)
    assert certificate.seed is None


def test_the_parts_share_no_stream_and_leave_none_out():
    first, second = split(101, 5)
    assert sorted([*first, *second]) == list(range(101))


def test_the_testing_part_alone_decides_and_is_what_the_certificate_counts():
    """Screening on streams that never lose, testing on streams that always do: nothing opens."""
    readiness, loss = ready(200, [0.9, 1.0])
    loss[100:, 0] = True
    certificate = calibrate_conditional(readiness, loss, None, 0.1, 0.05, shuffle=False)
    assert certificate.thresholds == (None, None)
    assert certificate.halted.halted == (0, 100)


@pytest.mark.parametrize("calibrate", [calibrate_marginal, calibrate_conditional])
def test_the_last_step_has_no_threshold(calibrate):
    readiness, loss = ready(200, [0.9, 0.9, 0.9])
    thresholds = calibrate(readiness, loss, None, 0.1, 0.05).thresholds
    assert thresholds[-1] is None
    assert thresholds[0] is not None


@pytest.mark.parametrize("calibrate", [calibrate_marginal, calibrate_conditional])
def test_streams_of_one_step_are_a_certificate_without_thresholds(calibrate):
    readiness, loss = ready(200, [0.9])
    certificate = calibrate(readiness, loss, None, 0.1, 0.05)
    assert certificate.thresholds == (None,)
    assert certificate.shortfall is None


@pytest.mark.parametrize(
    ("control", "calibrate", "needed"),
    [("marginal", calibrate_marginal, 44), ("conditional", calibrate_conditional, 87)],
)
def test_below_the_sample_size_nothing_opens_and_the_missing_streams_are_named(
    control, calibrate, needed
):
    readiness, loss = ready(needed - 1, [0.9, 1.0])
    certificate = calibrate(readiness, loss, None, 0.1, 0.01)
    assert not certificate.certifies
    assert (certificate.shortfall.needed, certificate.shortfall.missing) == (needed, 1)
    text = statement(certificate)
    assert text.startswith("Nothing can be certified")
    assert f"needs {needed} calibration streams, {needed - 1} are there, 1 are missing" in text


@pytest.mark.parametrize(
    ("calibrate", "needed"), [(calibrate_marginal, 44), (calibrate_conditional, 87)]
)
def test_at_the_sample_size_streams_without_any_loss_open_the_threshold(calibrate, needed):
    readiness, loss = ready(needed, [0.9, 1.0])
    certificate = calibrate(readiness, loss, None, 0.1, 0.01)
    assert certificate.certifies
    assert certificate.shortfall is None


def test_the_published_88_for_equal_halves_is_enough_and_86_is_not():
    assert find_shortfall("conditional", 88, 0.1, 0.01) is None
    assert find_shortfall("conditional", 86, 0.1, 0.01).missing == 1


@pytest.mark.parametrize("calibrate", [calibrate_marginal, calibrate_conditional])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_stream_is_a_certificate_that_certifies_nothing(calibrate, n):
    readiness, loss = ready(n, [0.9, 1.0])
    certificate = calibrate(readiness, loss, None, 0.1, 0.01)
    assert certificate.thresholds == (None, None)
    assert certificate.n == n
    assert certificate.p_values[0] is None


def test_enough_streams_but_no_threshold_is_said_so():
    readiness, loss = ready(100, [1.0, 1.0])
    loss[:, 0] = True
    certificate = calibrate_marginal(readiness, loss, None, 0.1, 0.01)
    assert certificate.shortfall is None
    assert statement(certificate).startswith("No early stop could be certified")


def labelled(shares):
    label = np.repeat(np.arange(len(shares)), shares)
    predicted = np.repeat(label[:, None], 2, axis=1)
    return {
        "loss": accuracy_gap_loss(predicted, label),
        "baseline_loss": majority_loss(predicted, label),
        "label": label,
    }


@pytest.mark.parametrize(
    ("shares", "vacuous", "gap"),
    [([95, 5], True, 0.05), ([90, 10], True, 0.1), ([80, 20], False, 0.2)],
)
def test_a_level_that_the_majority_answer_keeps_too_is_called_vacuous(shares, vacuous, gap):
    arrays = labelled(shares)
    readiness = np.full((100, 2), 0.5)
    for calibrate in (calibrate_marginal, calibrate_conditional):
        certificate = calibrate(
            readiness, arrays["loss"], None, 0.1, 0.05,
            baseline_loss=arrays["baseline_loss"], label=arrays["label"],
        )  # fmt: skip
        assert certificate.vacuous is vacuous
        assert certificate.baseline.gap == gap
        assert ("vacuous" in statement(certificate)) is vacuous
        assert (f"{gap:.4f}" in statement(certificate)) is vacuous


def test_without_labels_nothing_is_said_of_the_majority_answer():
    certificate = calibrate_marginal(*ready(50, [0.5, 0.5]), None, 0.1, 0.05)
    assert certificate.vacuous is None
    assert certificate.baseline is None


@pytest.mark.parametrize("calibrate", [calibrate_marginal, calibrate_conditional])
def test_wrong_use_is_refused_before_any_work(calibrate):
    readiness, loss = ready(5, [0.5, 0.5])
    with pytest.raises(LevelError, match="alpha"):
        calibrate(readiness, loss, None, 1.0, 0.1)
    with pytest.raises(LevelError, match="delta"):
        calibrate(readiness, loss, None, 0.1, 0.0)
    with pytest.raises(ModeError, match="'improved' is not available; choose one of: reference"):
        calibrate(readiness, loss, None, 0.1, 0.1, mode="improved")
    with pytest.raises(ReadinessError, match="reference mode"):
        calibrate(readiness + 1, loss, None, 0.1, 0.1)


@pytest.mark.parametrize("calibrate", [calibrate_marginal, calibrate_conditional])
def test_calibration_changes_none_of_its_arguments(calibrate):
    rng = np.random.default_rng(0)
    arrays = (rng.random((200, 4)), rng.random((200, 4)) < 0.05, rng.integers(1, 5, 200))
    copies = [array.copy() for array in arrays]
    calibrate(*arrays, 0.2, 0.2)
    for array, copy in zip(arrays, copies, strict=True):
        assert np.array_equal(array, copy)

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from detectors.errors import ScoringError
from detectors.evaluate import CONFIDENCE, auroc, check_fit, evaluation, interval
from detectors.scoring import Scored, StreamSet


def streams(labels, lengths):
    n = len(labels)
    return StreamSet(
        name="d", split="test", modality="frames", ids=np.arange(n),
        inputs=np.zeros((sum(lengths), 1), np.float32),
        offsets=np.concatenate(([0], np.cumsum(lengths))), labels=np.array(labels),
        subjects=np.arange(n),
        classes=("a", "b"), channels=("x",),
    )  # fmt: skip


def scored(predicted, halt_step, lengths, probability=0.75):
    predicted = np.array(predicted)
    rows, halts, lengths = np.arange(len(predicted)), np.array(halt_step), np.array(lengths)
    return Scored(
        readiness=np.zeros(predicted.shape), predicted=predicted,
        probability=np.full(predicted.shape, probability), halt_step=halts,
        label=predicted[rows, halts - 1], late_label=predicted[rows, lengths - 1],
        late_probability=np.full(len(rows), probability), length=lengths,
        reasons=["threshold" if h < k else "end" for h, k in zip(halts, lengths, strict=True)],
        decisions=(),
    )  # fmt: skip


@pytest.fixture
def example():
    """Four streams: early wrong and late right; both right; both wrong; right only early."""
    lengths = [4, 4, 2, 4]
    predicted = [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, -1, -1], [1, 0, 0, 0]]
    return scored(predicted, [2, 3, 2, 1], lengths), streams([1, 1, 1, 1], lengths)


def test_the_numbers_are_those_one_counts_by_hand(example):
    numbers = evaluation(*example)
    assert numbers["n"] == 4
    assert numbers["accuracy"] == 2 / 4
    assert numbers["late_accuracy"] == 2 / 4
    assert numbers["gap"] == 1 / 4  # the stream right only early earns no credit
    assert numbers["time_used"] == (2 / 4 + 3 / 4 + 2 / 2 + 1 / 4) / 4
    assert numbers["gap_n"] == {"0.2": 1, "0.5": 3, "1.0": 4}  # two streams tie at step 2
    assert numbers["gap_at"] == {"0.2": 0.0, "0.5": 1 / 3, "1.0": 1 / 4}


def test_both_conditional_sets_are_told_by_step(example):
    by_step = evaluation(*example)["metrics"]["by_step"]
    assert by_step["halted"]["halted"] == [1, 3, 4, 4]
    assert by_step["halted"]["losses"] == [0, 1, 1, 1]
    # The stream that ended by itself at step 2 was not stopped early.
    assert by_step["stopped_early"]["halted"] == [1, 2, 3, 3]
    assert by_step["stopped_early"]["losses"] == [0, 1, 1, 1]


def test_reasons_and_halts_are_counted(example):
    metrics = evaluation(*example)["metrics"]
    assert metrics["reasons"] == {"end": 1, "threshold": 3}
    assert metrics["stopped_early"] == 3
    assert metrics["mean_halt_step"] == 2.0


def test_everything_is_json(example):
    numbers = evaluation(*example)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 11), (50, 1749)])
def test_an_interval_ends_where_the_count_becomes_implausible(k, n):
    low, high = interval(k, n)
    tail = (1 - CONFIDENCE) / 2
    assert low <= k / n <= high
    assert low == 0.0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(tail)
    assert high == 1.0 if k == n else binom.cdf(k, n, high) == pytest.approx(tail)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(0)
    score = random.integers(0, 6, 60) / 6
    positive = random.random(60) < 0.4
    pairs = score[positive][:, None] - score[~positive]
    assert auroc(score, positive) == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())


def test_auroc_of_one_kind_only_is_not_made_up():
    assert auroc(np.ones(3), np.zeros(3, bool)) is None


def test_auroc_is_told_for_two_classes_only_and_from_the_early_answer():
    answers = scored([[0, 1], [1, 0]], [1, 1], [2, 2])
    two = streams([0, 1], [2, 2])
    assert evaluation(answers, two)["metrics"]["auroc"] == 1.0
    three = replace(two, classes=("a", "b", "c"))
    assert "auroc" not in evaluation(answers, three)["metrics"]


@pytest.mark.parametrize("change", [{"classes": ("b", "a")}, {"channels": ("y",)}])
def test_a_set_that_does_not_fit_the_detector_is_refused(toy_run, change):
    test = toy_run.parts.test
    check_fit(toy_run.detector, test)
    with pytest.raises(ScoringError, match="train a detector on this one"):
        check_fit(toy_run.detector, replace(test, **change))


def test_an_empty_part_is_refused(toy_run):
    nothing = toy_run.parts.test.subset(np.zeros(0, np.int64))
    with pytest.raises(ScoringError, match="has no streams"):
        check_fit(toy_run.detector, nothing)

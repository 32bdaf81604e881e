"""Trees scored by bits, against walking each tree for each row."""

from __future__ import annotations

import numpy as np
import pytest

from models.vitals.ensemble import LEAF, MOST_VALUE, ROWS, UNIT, Trees, whole
from models.vitals.trees_files import fault_of

FEATURES = 9


def grown(random, leaves):
    """One random tree in pre-order, as lists of node values."""
    nodes = []

    def grow(leaves):
        at = len(nodes)
        nodes.append(None)
        if leaves == 1:
            nodes[at] = (LEAF, 0.0, False, 0, 0)
            return at
        of_left = int(random.integers(1, leaves))
        left, right = grow(of_left), grow(leaves - of_left)
        threshold = random.choice([np.inf, random.normal()], p=[0.1, 0.9])
        asked, missing_left = int(random.integers(FEATURES)), bool(random.random() < 0.5)
        nodes[at] = (asked, threshold, missing_left, left, right)
        return at

    grow(leaves)
    return nodes


def trees(seed, n_trees=12, most=8, scores=1):
    random = np.random.default_rng(seed)
    made = [grown(random, int(random.integers(1, most + 1))) for _ in range(n_trees)]
    size = max(map(len, made))
    padded = [nodes + [(LEAF, 0.0, False, 0, 0)] * (size - len(nodes)) for nodes in made]
    columns = [
        np.array(column)
        for column in zip(*[zip(*nodes, strict=True) for nodes in padded], strict=True)
    ]
    found = Trees(
        feature=columns[0].astype(np.int32), threshold=columns[1].astype(np.float32),
        missing_left=columns[2].astype(np.bool_), left=columns[3].astype(np.int32),
        right=columns[4].astype(np.int32), value=whole(random.normal(size=(n_trees, size))),
        output=(np.arange(n_trees) % scores).astype(np.int32),
        baseline=whole(random.normal(size=scores)),
    )  # fmt: skip
    assert fault_of(found, FEATURES) is None
    return found


def matrix(seed, n):
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, FEATURES)).astype(np.float32)
    values[random.random(values.shape) < 0.3] = np.nan
    return values


def walked(trees, row):
    """Return the scores of one row, and which leaf each tree led it to."""
    scores = trees.baseline.copy()
    for t in range(len(trees.feature)):
        node = 0
        while (asked := trees.feature[t, node]) != LEAF:
            x = row[asked]
            left = trees.missing_left[t, node] if np.isnan(x) else x <= trees.threshold[t, node]
            node = trees.left[t, node] if left else trees.right[t, node]
        scores[trees.output[t]] += trees.value[t, node]
    return scores


@pytest.mark.parametrize("most", [1, 2, 8, 9, 17, 33, 64])
@pytest.mark.parametrize("scores", [1, 3])
def test_scores_are_those_of_walking_every_tree(most, scores):
    ours, rows = trees(most, most=most, scores=scores), matrix(1, 200)
    found = ours.scores(rows)
    assert found.shape == (scores, 200)
    for i, row in enumerate(rows):
        assert found[:, i].tolist() == walked(ours, row).tolist()


def test_a_value_equal_to_the_threshold_goes_left():
    ours = trees(3, most=8)
    rows = np.tile(ours.threshold[ours.feature != LEAF][:, np.newaxis], FEATURES)
    rows = rows[np.isfinite(rows).all(axis=1)]
    assert len(rows)
    for score, row in zip(ours.scores(rows)[0], rows, strict=True):
        assert score == walked(ours, row)[0]


@pytest.mark.parametrize("n", [0, 1, 2, 63, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_a_row_scores_the_same_in_every_batch_to_the_last_bit(n):
    ours, rows = trees(5, n_trees=40, scores=2), matrix(2, 3 * ROWS + 5)
    assert ours.scores(rows[:n]).tobytes() == ours.scores(rows)[:, :n].copy().tobytes()


@pytest.mark.parametrize("scores", [1, 3])
def test_what_the_questions_contribute_adds_up_to_the_score_without_remainder(scores):
    ours, rows = trees(6, n_trees=50, most=16, scores=scores), matrix(3, 50)
    found = ours.scores(rows)
    for i, row in enumerate(rows):
        assert (ours.moves(row).sum(axis=1) + ours.prior).tolist() == found[:, i].tolist()


def test_a_feature_that_no_question_on_the_way_is_about_contributes_nothing():
    ours, row = trees(7, n_trees=3, most=3), matrix(4, 1)[0]
    asked = set(ours.feature[ours.feature != LEAF].tolist())
    moved = ours.moves(row)[0]
    for feature in range(FEATURES):
        if feature not in asked:
            assert moved[feature] == 0


def test_whole_multiples_are_kept_and_absurd_values_cut():
    values = np.array([3 * UNIT, -0.5, 1e300, -np.inf])
    assert whole(values).tolist() == [3 * UNIT, -0.5, MOST_VALUE, -MOST_VALUE]

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from models.errors import TrainingError
from models.vitals.features import Features
from models.vitals.flattening import flat
from models.vitals.memory import Memory
from models.vitals.options import TreesOptions
from models.vitals.rows import plausible, rows
from models.vitals.trees import _probabilities
from models.vitals.trees_files import fault_of
from models.vitals.trees_train import train
from tests.contract.walking import walk
from tests.unit.models.vitals.made_up import CHANNELS, fitted, records, streams

QUICK = TreesOptions(trees=10, learning_rate=0.2)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("leaves", [2, 8, 31])
@pytest.mark.parametrize("rounds", [1, 25])
def test_flat_trees_answer_as_scikit_learn_does(n_classes, leaves, rounds):
    random = np.random.default_rng(leaves)
    values = random.normal(size=(3000, 12)).astype(np.float32)
    labels = (values[:, 3] + values[:, 5] * values[:, 7] > 0).astype(int)
    labels += (values[:, 1] > 1) * (n_classes - 2)
    values[random.random(values.shape) < 0.2] = np.nan
    values[::7, 2] = np.round(values[::7, 2])  # many equal values: thresholds lie on them
    model = HistGradientBoostingClassifier(
        max_iter=rounds, max_leaf_nodes=leaves, early_stopping=False, random_state=0
    ).fit(values, labels)
    columns = np.arange(12) * 2  # as if every second column of the matrix was learned from
    trees = flat(model, rounds, columns)
    assert fault_of(trees, 24) is None
    wide = np.full((3000, 24), np.nan, np.float32)
    wide[:, columns] = values
    found = _probabilities(trees.scores(wide).T.copy())[0]
    np.testing.assert_allclose(found, model.predict_proba(values), rtol=0, atol=1e-6)


def test_fewer_rounds_are_the_first_ones():
    part = streams(60)
    values = part.inputs["values"]
    labels = np.repeat(part.labels, part.lengths)
    model = HistGradientBoostingClassifier(max_iter=9, early_stopping=False).fit(values, labels)
    staged = list(model.staged_predict_proba(values))
    for rounds in (1, 4, 9):
        trees = flat(model, rounds, np.arange(len(CHANNELS)))
        found = _probabilities(trees.scores(values).T.copy())[0]
        np.testing.assert_allclose(found, staged[rounds - 1], rtol=0, atol=1e-6)


def test_the_same_arguments_give_the_same_trees():
    one, other = (train(streams(), streams(50, seed=1), QUICK, horizon=9) for _ in range(2))
    for name in ("feature", "threshold", "value"):
        assert np.array_equal(getattr(one.weights.trees, name), getattr(other.weights.trees, name))


def test_it_learns_what_distinguishes_the_classes():
    part = streams(200, seed=5)
    model = fitted()
    sure = [
        walk(model, part.inputs[np.newaxis, slice(*part.offsets[i : i + 2])])[1][-1]
        for i in range(200)
    ]
    right = [
        int(out.probabilities[0].argmax()) == k for out, k in zip(sure, part.labels, strict=True)
    ]
    late = part.lengths > 6
    assert np.mean(np.array(right)[late]) > 0.85


def test_each_step_has_its_own_label_where_the_data_says_so():
    early = records(np.random.default_rng(3), 300, 1)
    early["values"][..., -1] = 50
    by_stream, by_step = (
        train(streams(300, stepwise=each), streams(80, seed=1, stepwise=each), QUICK, horizon=9)
        for each in (False, True)
    )
    likely = [
        walk(model, early)[1][0].probabilities[:, 1].mean() for model in (by_stream, by_step)
    ]
    assert likely[0] == pytest.approx(0.5, abs=0.15)
    assert likely[1] < 0.3  # at its first step no stream is of class c1 yet


def prepared(part):
    ranges = plausible(part.inputs["values"])
    return Memory(np.arange(len(CHANNELS)), ranges), Features(CHANNELS)


def test_all_rows_are_learned_from_if_they_are_not_too_many():
    part = streams(40)
    found = rows(part, *prepared(part), 7, 10_000, np.random.default_rng(0))
    assert len(found.labels) == np.minimum(part.lengths, 7).sum()
    assert (found.weights == 1).all()


def test_of_too_many_rows_the_rare_streams_stay_whole_and_the_weights_make_up_for_the_rest():
    part = streams(400, stepwise=True)
    part = replace(
        part, step_labels=part.step_labels * np.repeat(np.arange(400) % 20 == 1, part.lengths)
    )
    rare = np.logical_or.reduceat(part.step_labels == 1, part.offsets[:-1])
    found = rows(part, *prepared(part), 12, 1000, np.random.default_rng(0))
    assert (found.labels == 1).sum() == part.step_labels.sum()
    assert (found.weights == 1).sum() == part.lengths[rare].sum()
    assert 850 < len(found.labels) < 1150
    assert found.weights.sum() == pytest.approx(len(part.inputs), rel=0.1)


def test_rows_hold_what_serving_would_remember():
    part = streams(30)
    memory, features = prepared(part)
    found = rows(part, memory, features, 12, 10_000, np.random.default_rng(0))
    i = int(part.lengths.argmax())
    state = memory.start(1)
    for at in range(*part.offsets[i : i + 2]):
        state, _ = memory.step(state, part.inputs[at : at + 1])
        served = features.matrix(state)[0]
        assert (np.isclose(found.matrix, served, rtol=0, atol=0, equal_nan=True).all(axis=1)).any()


def test_of_a_channel_that_never_changes_only_the_value_is_asked_about():
    model = fitted()
    trees, columns = model.weights.trees, Features(CHANNELS).columns
    asked = {columns[k] for k in np.unique(trees.feature[trees.feature >= 0])}
    assert {column.kind for column in asked if column.shown == "Age"} <= {"last"}


def test_only_the_channels_that_were_named_are_looked_at():
    options = TreesOptions(trees=5, channels=("SBP", "HR"))
    model = train(streams(), streams(50, seed=1), options, horizon=9)
    assert model.channels == CHANNELS
    assert model.description.used == ("HR", "SBP")
    assert model.start(1)["last"].shape == (1, 2)


def test_a_plausible_range_is_wide_and_shuts_out_other_units():
    random = np.random.default_rng(0)
    celsius = random.normal(37, 0.8, 10_000).astype(np.float32)
    nothing = np.full(10_000, np.nan, np.float32)
    signed = random.normal(0, 2, 10_000).astype(np.float32)
    wild = np.where(np.arange(10_000) == 5, np.float32(3e38), signed)
    found = plausible(np.stack([celsius, nothing, signed, wild], axis=1))
    assert found[0, 0] < celsius.min()
    assert celsius.max() < found[0, 1] < 98.6
    assert found[1, 0] > found[1, 1]  # nothing passes
    assert found[2, 0] < -8
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda fit: (fit, TreesOptions(channels=("HR", "Puls"))), "Puls.*the data has: HR"),
        (lambda fit: (replace(fit, labels=fit.labels * 0), QUICK), "c0 only"),
        (lambda fit: (replace(fit, classes=("c0",)), QUICK), "at least two"),
        (lambda fit: (replace(fit, labels=fit.labels[:0]), QUICK), "no streams"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_refused_with_advice(change, advice):
    fit, options = change(streams())
    with pytest.raises(TrainingError, match=advice):
        train(fit, streams(50, seed=1), options, horizon=9)


def test_a_channel_that_nobody_ever_measured_is_no_trouble():
    part = streams()
    part.inputs["values"][:, 3] = np.nan
    for features in ("all", "values"):
        options = TreesOptions(trees=5, features=features)
        model = train(part, streams(50, seed=1), options, horizon=9)
        _, outputs = walk(model, records(np.random.default_rng(0), 9, 3))
        assert np.isfinite(outputs[-1].probabilities).all()
        assert (outputs[-1].auxiliary["implausible"] >= 0).all()

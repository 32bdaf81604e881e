from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy.optimize import check_grad

from models import registry
from models.errors import TrainingError
from models.text.answer import DAMPINGS, damped, probabilities
from models.text.formula import confidence_table
from models.text.options import Ss3Options
from models.text.ss3_train import GRID, Tuning, _choices, train
from models.text.vocabulary import Vocabulary
from tests.contract.walking import walk
from tests.unit.models.text.made_up import array, fitted, streams


def whole(part):
    """Return each stream as one post."""
    bounds = zip(part.offsets[:-1], part.offsets[1:], strict=True)
    return array([" ".join(part.inputs[a:b]) for a, b in bounds])


def late_accuracy(classifier, part):
    _, output = classifier.step(classifier.start(len(part)), whole(part))
    return (output.probabilities.argmax(axis=1) == part.labels).mean()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_it_learns_to_tell_the_classes_apart(n_classes):
    fit, tuning, unseen = (streams(300, n_classes, seed, own=0.6) for seed in range(3))
    assert late_accuracy(train(fit, tuning, Ss3Options(), horizon=12), unseen) > 0.9


def test_the_same_arguments_give_the_same_classifier():
    one, other = fitted(3), fitted(3)
    assert one.description == other.description
    assert one.vocabulary.words == other.vocabulary.words
    assert np.array_equal(one.counts, other.counts)


def test_words_beyond_the_horizon_are_not_counted():
    texts = array(["early early", "late late", "early early", "other other"])
    part = replace(streams(2), inputs=texts, offsets=np.array([0, 2, 4]), labels=np.array([0, 1]))
    found = train(part, part, Ss3Options(), horizon=1)
    assert found.vocabulary.words == ("early",)
    assert found.description.horizon == 1


def test_its_sums_over_the_tuning_steps_are_those_of_the_serving_steps():
    fit, tuning = streams(80), streams(40, seed=1)
    classifier = train(fit, tuning, Ss3Options(), horizon=9)
    part = Tuning(tuning, 9, np.zeros(2))
    sums = part._sums(classifier.vocabulary)
    at = 0
    for i in range(40):
        posts = tuning.inputs[tuning.offsets[i] : tuning.offsets[i + 1]][:9]
        states, _ = walk(classifier, posts[np.newaxis])
        for state in states[1:]:
            assert np.array_equal(state["cv"][0], sums[:, at])
            at += 1
    assert at == sums.shape[1]


@pytest.mark.parametrize("damping", DAMPINGS)
def test_the_gradient_is_that_of_the_loss(damping):
    tuning = streams(30, 3, seed=2)
    classifier = fitted(3)
    part = Tuning(tuning, 12, np.log(np.array([0.5, 0.3, 0.2])))
    values = damped(part._sums(classifier.vocabulary), damping)
    point = np.array([1.3, -0.2, 0.4, -1.0])
    error = check_grad(
        lambda at: part._loss(at, values)[0], lambda at: part._loss(at, values)[1], point
    )
    assert error < 1e-5


def doubtful(n, seed):
    """Streams of which every fourth bears a label at random."""
    part = streams(n, seed=seed)
    random = np.random.default_rng(seed)
    labels = np.where(random.random(n) < 0.25, random.integers(0, 2, n), part.labels)
    return replace(part, labels=labels)


def test_it_is_as_sure_as_it_is_right_where_labels_are_doubtful():
    classifier = train(doubtful(600, 0), doubtful(600, 1), Ss3Options(), horizon=12)
    unseen = doubtful(2000, 2)
    _, output = classifier.step(classifier.start(2000), whole(unseen))
    sure = output.probabilities.max(axis=1)
    right = output.probabilities.argmax(axis=1) == unseen.labels
    assert 0.75 < right.mean() < 0.95
    assert abs(sure.mean() - right.mean()) < 0.05


def test_a_class_seen_more_often_is_expected_more_before_anything_is_read():
    fit, tuning = streams(200), streams(200, seed=1)
    labels = np.where(np.arange(200) % 10 == 0, 1, 0)
    part = replace(fit, labels=labels)
    classifier = train(part, replace(tuning, labels=labels), Ss3Options(), horizon=12)
    blank = probabilities(np.zeros((2, 1)), classifier.description.answer)[:, 0]
    assert blank[0] > 0.8


def test_tuning_tries_the_given_point_first_and_keeps_the_modes():
    options = Ss3Options(sigma=0.33, sg="xai", cv="norm_gv", tune=True)
    tried = _choices(options)
    assert tried[0] == options
    assert len(tried) == 1 + np.prod([len(values) for values in GRID.values()])
    assert {(at.sg, at.cv) for at in tried} == {("xai", "norm_gv")}
    assert _choices(Ss3Options()) == [Ss3Options()]


def test_tuning_chooses_what_is_best_on_the_tuning_streams():
    fit, tuning = streams(60, own=0.1), streams(60, seed=1, own=0.1)
    steps = []
    plain = train(fit, tuning, Ss3Options(), horizon=12)
    tuned = train(fit, tuning, Ss3Options(tune=True), horizon=12, advance=steps.append)
    assert len(steps) == len(_choices(Ss3Options(tune=True)))
    part = Tuning(tuning, 12, np.log([0.5, 0.5]))

    def loss(found):
        table = confidence_table(found.counts, found.description.formula())
        return part.fit(Vocabulary(found.vocabulary.words, table))[0]

    assert loss(tuned) <= loss(plain)


def test_the_options_read_the_papers_names():
    options = msgspec.convert({"sigma": 0.3, "lambda": 1.0, "rho": 2}, registry.options("ss3"))
    assert options == Ss3Options(sigma=0.3, lambda_=1.0, rho=2.0)
    assert msgspec.to_builtins(options)["lambda"] == 1.0
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"lambda_": 1.0}, registry.options("ss3"))


def test_nothing_to_learn_from_is_refused():
    part = streams(20)
    nobody = replace(
        part, inputs=part.inputs[:0], offsets=np.zeros(1, int), labels=part.labels[:0]
    )
    with pytest.raises(TrainingError, match="fitting part has no streams"):
        train(nobody, part, Ss3Options(), horizon=5)
    with pytest.raises(TrainingError, match="tuning part has no streams"):
        train(part, nobody, Ss3Options(), horizon=5)
    with pytest.raises(TrainingError, match="at least two"):
        train(replace(part, classes=("a",)), part, Ss3Options(), horizon=5)


def test_streams_without_a_single_word_can_be_learned_from():
    part = streams(20)
    silent = replace(part, inputs=array(["..."] * len(part.inputs)))
    classifier = train(silent, silent, Ss3Options(cv="norm_gv"), horizon=5)
    state, output = classifier.step(classifier.start(2), array(["word", ""]))
    assert not state["cv"].any()
    assert np.allclose(output.probabilities, 0.5, atol=1e-3)

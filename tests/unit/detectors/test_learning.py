"""New versions of a detector that learns: what they promise, and what they must not learn from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from detectors import artefact, datasets
from detectors.calibrate import calibrate
from detectors.errors import LearningError
from detectors.learning import Learner, Position, go_on, labels_up_to, learning, learns, n_labels
from detectors.split import divide
from detectors.train import uncalibrated
from streams.scoring import score
from tests.talk import train_talk, write_talk
from tests.toys import toy_detector


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_talk(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def talk(place):
    return train_talk(place)


@pytest.fixture(scope="module")
def dataset(place):
    return datasets.load(str(place))


def learner(talk, dataset):
    return Learner(talk, dataset, score)


SEVENTH = Position(7)


def taught(talk, dataset, lessons, position=SEVENTH):
    made = learner(talk, dataset)
    for text, label in lessons:
        made.learn(text, label)
    return made.version(position, made_on="2026-11-23")


NEW = [("quokka quokka sax", "yes")] * 6 + [("say sby", "no")] * 2


def test_a_version_knows_what_was_taught_and_says_from_what_it_learned(talk, dataset):
    made = taught(talk, dataset, NEW, Position(41, (3, 9)))
    assert made.version != talk.version
    assert "quokka" in made.classifier.learned.words
    assert "quokka" not in talk.classifier.learned.words
    assert made.card["learned"] == {
        "from_version": talk.version, "labels": 8, "labels_up_to": 41, "labels_waiting": [3, 9],
    }  # fmt: skip
    assert labels_up_to(made) == Position(41, (3, 9))
    assert labels_up_to(talk) == Position(0)


def test_a_version_has_thresholds_and_a_certificate_of_its_own(talk, dataset):
    """Those of its own words' answers to the calibration streams, not those of the one before."""
    made = taught(talk, dataset, NEW)
    streams = divide(dataset, talk.config.seed).calibration
    scored = score(uncalibrated(made.config, made.classifier), streams)
    anew = calibrate(scored, streams.labels, made.config.rule, made.config.seed)
    assert made.certificate == anew.to_json() != talk.certificate
    assert made.certificate["thresholds"] != talk.certificate["thresholds"]
    np.testing.assert_array_equal(made.thresholds, anew.threshold_array())
    assert made.card["guarantee"]["n_calibration"] == 120
    assert made.card["made_on"] == "2026-11-23"
    assert made.card["test"]["n"] == 60


def test_a_version_stands_in_the_registry_as_any_other(talk, dataset, tmp_path):
    made = taught(talk, dataset, NEW)
    artefact.save(made, tmp_path / "made")
    again = artefact.load(tmp_path / "made")
    assert (again.version, again.card) == (made.version, json.loads(json.dumps(made.card)))
    assert labels_up_to(again) == labels_up_to(made)


def test_the_same_lessons_in_another_order_or_in_two_goes_make_the_same_words(talk, dataset):
    straight = taught(talk, dataset, NEW)
    assert taught(talk, dataset, NEW[::-1]).version == straight.version
    half = taught(talk, dataset, NEW[:3])
    whole = taught(half, dataset, NEW[3:])
    assert whole.version == straight.version
    assert n_labels(whole) == 8


def test_learning_goes_on_behind_a_version_that_was_made(talk, dataset):
    made = learner(talk, dataset)
    made.learn(*NEW[0])
    first = made.version(Position(1), made_on="2026-11-23")
    assert made.n_lessons == 0
    for lesson in NEW[1:]:
        made.learn(*lesson)
    second = made.version(Position(8), made_on="2026-11-23")
    assert second.version == taught(talk, dataset, NEW).version
    assert second.card["learned"]["from_version"] == first.version
    assert second.card["learned"]["labels"] == 8


def test_the_recorded_streams_of_calibration_and_test_are_known_by_name(talk, dataset):
    made = learner(talk, dataset)
    for part in ("calibration", "test"):
        streams = dataset.parts[part]
        assert not any(made.may_learn(streams.stream_id(i)) for i in range(len(streams)))
    train = dataset.parts["train"]
    assert all(made.may_learn(train.stream_id(i)) for i in range(len(train)))
    assert made.may_learn("customer-17")


def test_a_label_that_is_no_class_is_no_lesson(talk, dataset):
    made = learner(talk, dataset)
    with pytest.raises(KeyError):
        made.learn("sax", "maybe")
    assert made.n_lessons == 0


def test_a_set_that_has_changed_since_is_refused_with_advice(talk, tmp_path):
    other = datasets.load(str(write_talk(tmp_path, seed=9)))
    with pytest.raises(LearningError, match=r"trained on a set with the SHA-256 .* train the det"):
        Learner(talk, other, score)


def test_a_detector_that_does_not_learn_is_refused_with_advice(dataset):
    toy = toy_detector()
    assert not learns(toy)
    with pytest.raises(LearningError, match=r"of the kind lstm.*--model river"):
        learning(toy)
    with pytest.raises(LearningError):
        Learner(toy, dataset, score)


def test_learning_goes_on_where_the_active_version_says(talk):
    def said(version, upto, waiting=()):
        learned = {"labels_up_to": upto, "labels_waiting": list(waiting)}
        return replace(talk, version=version, card={**talk.card, "learned": learned})

    v1, v2, v3 = talk, said("v2", 50, [4]), said("v3", 100)
    assert go_on(v2, []) == Position(50, (4,))
    assert go_on(v2, [v1]) == Position(50, (4,))
    assert go_on(v1, []) == Position(0)  # v2 and v3 may never have been made active
    assert go_on(v1, [v3]) == Position(100)  # what a retired one learned is not learned again
    assert go_on(v2, [v3]) == Position(100)


def test_a_one_sided_detector_learns_under_its_own_rule(place, dataset):
    """The alarm's certificate is made anew too, and the alarm stays the one it was."""
    rule = ('control = "marginal"', 'control = "one-sided"\nalarm = "yes"')
    guard = train_talk(place, rule, ('signal = "max_probability"', 'signal = "alarm"'))
    made = taught(guard, dataset, NEW)
    assert made.alarm == guard.alarm == 1
    assert made.certificate["control"] == "one-sided"
    assert made.certificate["n"] == 120
    assert "one_sided" in made.card["test"]["metrics"]

"""What every incremental classifier promises; a new kind adds a line to `CASES`."""

from __future__ import annotations

import numpy as np
import pytest

from models import registry
from models.contributions import MOST_KEPT
from models.protocol import take
from tests.contract.classifier_cases import CASES, drawn, made
from tests.contract.walking import equal, everything, walk


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture
def classifier(case):
    return made(case)


def test_the_answer_to_a_prefix_does_not_change_when_more_is_seen(case, classifier):
    inputs = drawn(case, 30, 12)
    states, outputs = walk(classifier, inputs)
    for stop in (1, 5, 11):
        again_states, again_outputs = walk(classifier, inputs[:, :stop])
        assert equal(again_states[-1], states[stop])
        assert equal(
            everything({}, again_outputs[-1]),
            everything({}, outputs[stop - 1]),
        )


def test_a_step_changes_neither_the_state_it_got_nor_the_frames(case, classifier):
    inputs = drawn(case, 300, 4)
    state = walk(classifier, inputs[:, :3])[0][-1]
    frame = inputs[:, 3].copy()
    before = {name: array.copy() for name, array in state.items()}
    for array in (*state.values(), frame):
        array.flags.writeable = False
    first = everything(*classifier.step(state, frame))
    second = everything(*classifier.step(state, frame))
    assert equal(state, before)
    assert frame.tobytes() == inputs[:, 3].tobytes()  # values, or the very same strings
    assert equal(first, second)


def test_a_step_keeps_no_reference_to_what_it_got(case, classifier):
    inputs = drawn(case, 20, 2)
    state = classifier.start(20)
    frame = inputs[:, 0].copy()
    after, output = classifier.step(state, frame)
    kept = {name: array.copy() for name, array in everything(after, output).items()}
    frame[:] = drawn(case, 20, 1, seed=9)[:, 0]
    for array in state.values():
        array.fill(1)
    assert equal(everything(after, output), kept)


@pytest.mark.parametrize("n", [1, 2, 3, 31, 255, 256, 257, 500, 511, 513, 1000])
def test_what_a_stream_gets_does_not_depend_on_how_many_share_its_batch(case, classifier, n):
    inputs = drawn(case, 1000, 5)
    states, outputs = walk(classifier, inputs)
    again_states, again_outputs = walk(classifier, inputs[:n])
    rows = np.arange(n)
    whole, fewer = (
        everything(states[-1], outputs[-1]),
        everything(again_states[-1], again_outputs[-1]),
    )
    assert equal(fewer, take(whole, rows))


def test_what_a_stream_gets_does_not_depend_on_its_place_or_its_neighbours(case, classifier):
    inputs = drawn(case, 600, 5)
    states, _ = walk(classifier, inputs)
    state, frame = states[4], inputs[:, 4]
    whole = everything(*classifier.step(state, frame))
    random = np.random.default_rng(1)
    for _ in range(100):
        rows = random.permutation(600)[: random.integers(1, 601)]
        there = everything(*classifier.step(take(state, rows), frame[rows]))
        assert equal(there, take(whole, rows))


def test_probabilities_are_float32_and_sum_to_one(case, classifier):
    _, outputs = walk(classifier, drawn(case, 50, 6))
    for output in outputs:
        assert output.probabilities.dtype == np.float32
        assert output.probabilities.shape == (50, len(classifier.classes))
        assert output.auxiliary.keys() == classifier.auxiliary
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-6)


def test_no_streams_are_no_trouble(case, classifier):
    state, output = classifier.step(classifier.start(0), drawn(case, 0, 1)[:, 0])
    assert output.probabilities.shape == (0, len(classifier.classes))
    assert all(len(array) == 0 for array in state.values())


def test_the_state_has_the_fields_that_were_announced_from_start_to_end(case, classifier):
    fields = classifier.fields()
    for state in walk(classifier, drawn(case, 5, 20))[0]:
        assert state.keys() == fields.keys()
        for name, field in fields.items():
            assert state[name].dtype == np.dtype(field.dtype)
            assert state[name].shape == (5, *field.shape)


def test_the_state_of_a_long_stream_stays_as_small_as_it_was(case, classifier):
    state = classifier.start(2)
    size = sum(array.nbytes for array in state.values())
    inputs = drawn(case, 2, 800, seed=3)
    for t in range(800):
        state, _ = classifier.step(state, inputs[:, t])
    assert sum(array.nbytes for array in state.values()) == size
    assert len(classifier.explain(state, 0, 0).contributions) <= MOST_KEPT


def test_what_was_saved_is_loaded_with_the_same_answers(case, classifier, tmp_path):
    classifier.save(tmp_path / "classifier")
    loaded = registry.load(CASES[case].kind, tmp_path / "classifier")
    inputs = drawn(case, 300, 10)
    ours, theirs = walk(classifier, inputs), walk(loaded, inputs)
    np.testing.assert_allclose(
        ours[1][-1].probabilities, theirs[1][-1].probabilities, rtol=0, atol=1e-6
    )
    assert (loaded.classes, loaded.channels) == (classifier.classes, classifier.channels)
    assert loaded.modality == classifier.modality == registry.modality(CASES[case].kind)
    assert loaded.fields() == classifier.fields()


def test_saving_twice_writes_the_same_bytes(case, classifier, tmp_path):
    for place in ("one", "two"):
        classifier.save(tmp_path / place)
    assert list((tmp_path / "one").iterdir())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_stream_that_has_seen_nothing_is_explained_by_nothing(case, classifier):
    found = classifier.explain(classifier.start(1), 0, 0)
    assert found.contributions == ()
    assert found.rest == 0


def test_an_explanation_is_short_ordered_and_in_plain_values(case, classifier):
    states, outputs = walk(classifier, drawn(case, 8, 30))
    for i in range(8):
        label = int(outputs[-1].probabilities[i].argmax())
        found = classifier.explain(states[-1], i, label)
        weights = [abs(item.weight) for item in found.contributions]
        assert weights == sorted(weights, reverse=True)
        assert len(weights) <= MOST_KEPT
        assert found.method
        assert found.unit
        for item in found.contributions:
            assert 1 <= item.step <= 30
            assert np.isfinite(item.weight)
            assert all(type(value) in (int, float, str) for value in item.evidence.values())

"""What an LSTM promises beyond the contract of all classifiers."""

from __future__ import annotations

import numpy as np
import pytest

from models.protocol import take
from tests.contract.classifier_cases import CASES, drawn, made
from tests.contract.walking import equal, everything, walk


@pytest.fixture(params=[name for name, case in CASES.items() if case.kind == "lstm"])
def case(request):
    return request.param


@pytest.fixture
def classifier(case):
    return made(case)


def test_one_sweep_over_whole_streams_gives_what_the_steps_give(case, classifier):
    inputs = drawn(case, 40, 15)
    probabilities, correctness = classifier.sweep(inputs)
    _, outputs = walk(classifier, inputs)
    stepped = np.stack([output.probabilities for output in outputs], axis=1)
    sure = np.stack([output.auxiliary["correctness"] for output in outputs], axis=1)
    np.testing.assert_allclose(probabilities, stepped, rtol=0, atol=1e-6)
    np.testing.assert_allclose(correctness, sure, rtol=0, atol=1e-6)


def test_a_sweep_says_nothing_past_the_end_and_the_same_before_it(case, classifier):
    inputs = drawn(case, 3, 9)
    cut = inputs.copy()
    cut[1, 4:] = np.nan
    whole, partly = classifier.sweep(inputs), classifier.sweep(cut)
    for everywhere, before in zip(whole, partly, strict=True):
        assert np.isnan(before[1, 4:]).all()
        np.testing.assert_allclose(before[1, :4], everywhere[1, :4], rtol=0, atol=1e-6)
        np.testing.assert_allclose(before[[0, 2]], everywhere[[0, 2]], rtol=0, atol=1e-6)


def test_a_stream_gets_the_same_in_every_place_of_a_block(case, classifier):
    inputs = drawn(case, 1, 5)
    state = walk(classifier, inputs[:, :4])[0][-1]
    alone = everything(*classifier.step(state, inputs[:, 4]))
    for other in (0.0, 1e4, -1e4):
        frame = np.full((512, inputs.shape[2]), other, np.float32)
        for place in range(0, 512, 7):
            crowd = take(classifier.start(512), np.arange(512))
            crowded = frame.copy()
            crowded[place] = inputs[0, 4]
            for name, array in crowd.items():
                array[place] = state[name][0]
            there = everything(*classifier.step(crowd, crowded))
            assert equal(take(there, [place]), alone)


@pytest.mark.parametrize("size", [0.0, 1e6, 3.4e38])
def test_absurd_but_finite_frames_give_finite_answers(case, classifier, size):
    inputs = np.sign(drawn(case, 10, 4)) * np.float32(size)
    states, outputs = walk(classifier, inputs)
    for array in everything(states[-1], outputs[-1]).values():
        assert np.isfinite(array).all()


@pytest.mark.parametrize("steps", [1, 4, 16, 17, 60])
def test_the_weights_of_all_steps_add_up_to_the_change_of_the_log_odds(case, classifier, steps):
    inputs = drawn(case, 6, steps)
    states, outputs = walk(classifier, inputs)
    start = classifier.start(1)["log_odds"][0].astype(np.int64)
    for i in range(6):
        for label in range(len(classifier.classes)):
            found = classifier.explain(states[-1], i, label)
            total = sum(c.weight for c in found.contributions) + found.rest
            moved = int(states[-1]["log_odds"][i, label]) - int(start[label])
            assert total == moved / 1024
            p = float(outputs[-1].probabilities[i, label])
            if 1e-4 < p < 1 - 1e-4:
                assert total + start[label] / 1024 == pytest.approx(np.log(p / (1 - p)), abs=0.01)


def test_an_explanation_lists_the_largest_steps_with_what_was_read(case, classifier):
    steps = 40
    inputs = drawn(case, 5, steps)
    states, _ = walk(classifier, inputs)
    log_odds = np.stack([state["log_odds"] for state in states]).astype(np.int64)
    moves = np.diff(log_odds, axis=0)
    for i in range(5):
        sizes = np.abs(moves[:, i]).max(axis=1)
        found = classifier.explain(states[-1], i, 1)
        kept = [c.step - 1 for c in found.contributions]
        dropped = np.setdiff1d(np.arange(steps), kept)
        assert sizes[kept].min() >= sizes[dropped].max()
        weights = [abs(c.weight) for c in found.contributions]
        assert weights == sorted(weights, reverse=True)
        for c in found.contributions:
            assert c.weight == moves[c.step - 1, i, 1] / 1024
            if classifier.description.frontend is not None:
                assert c.evidence.keys() == {"time_ms", "energy_db"}
                continue
            for channel, value in c.evidence.items():
                assert value == inputs[i, c.step - 1, classifier.channels.index(channel)]

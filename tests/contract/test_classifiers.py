"""What every incremental classifier promises; a new kind adds one line to `MADE`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from models import registry
from models.contributions import MOST_KEPT
from models.frames.lstm import LstmClassifier
from models.frames.lstm_weights import LstmDescription, LstmWeights
from models.protocol import take


def lstm(classes, channels, hidden, horizon, *, row_by_row=None):
    """Return an LSTM of random weights, large enough for its answers to move a lot."""
    random = np.random.default_rng(classes * 1000 + hidden)

    def draw(*shape, scale=1.0):
        return (random.normal(size=shape) * scale).astype(np.float32)

    description = LstmDescription(
        classes=tuple(f"c{k}" for k in range(classes)),
        channels=tuple(f"x{k}" for k in range(channels)),
        hidden=hidden,
        horizon=horizon,
    )
    weights = LstmWeights(
        input_mean=draw(channels, scale=10),
        input_scale=np.abs(draw(channels, scale=10)) + np.float32(0.5),
        recurrent=draw(channels + hidden, 4 * hidden, scale=0.4),
        recurrent_bias=draw(4 * hidden, scale=0.4),
        head=draw(hidden, classes + 1, scale=1.5),
        head_bias=draw(classes + 1),
        prior=random.integers(-3000, 0, classes).astype(np.int16),
    )
    return LstmClassifier(description, weights, row_by_row)


MADE = {
    "lstm, as the demo": lambda: lstm(10, 2, 32, 8),
    "lstm, two classes, wide frames, long": lambda: lstm(2, 12, 7, 300),
    "lstm, odd sizes": lambda: lstm(19, 3, 33, 20),
    "lstm, row by row": lambda: lstm(10, 2, 32, 8, row_by_row=True),
}


@cache
def made(name):
    return MADE[name]()


@pytest.fixture(params=MADE)
def classifier(request):
    return made(request.param)


def frames(classifier, n, steps, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0, 15, (n, steps, len(classifier.channels))).astype(np.float32)


def walk(classifier, inputs):
    """Return the state and the outputs after every step."""
    state = classifier.start(len(inputs))
    states, outputs = [state], []
    for t in range(inputs.shape[1]):
        state, output = classifier.step(state, inputs[:, t])
        states.append(state)
        outputs.append(output)
    return states, outputs


def equal(one, other):
    """Compare to the last bit, signs of zeros and all."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def everything(state, output):
    return {**state, "probabilities": output.probabilities, **output.auxiliary}


def test_the_answer_to_a_prefix_does_not_change_when_more_is_seen(classifier):
    inputs = frames(classifier, 30, 12)
    states, outputs = walk(classifier, inputs)
    for stop in (1, 5, 11):
        again_states, again_outputs = walk(classifier, inputs[:, :stop])
        assert equal(again_states[-1], states[stop])
        assert equal(
            everything({}, again_outputs[-1]),
            everything({}, outputs[stop - 1]),
        )


def test_one_sweep_over_whole_streams_gives_what_the_steps_give(classifier):
    inputs = frames(classifier, 40, 15)
    probabilities, correctness = classifier.sweep(inputs)
    _, outputs = walk(classifier, inputs)
    stepped = np.stack([output.probabilities for output in outputs], axis=1)
    sure = np.stack([output.auxiliary["correctness"] for output in outputs], axis=1)
    np.testing.assert_allclose(probabilities, stepped, rtol=0, atol=1e-6)
    np.testing.assert_allclose(correctness, sure, rtol=0, atol=1e-6)


def test_a_sweep_says_nothing_past_the_end_and_the_same_before_it(classifier):
    inputs = frames(classifier, 3, 9)
    cut = inputs.copy()
    cut[1, 4:] = np.nan
    whole, partly = classifier.sweep(inputs), classifier.sweep(cut)
    for everywhere, before in zip(whole, partly, strict=True):
        assert np.isnan(before[1, 4:]).all()
        np.testing.assert_allclose(before[1, :4], everywhere[1, :4], rtol=0, atol=1e-6)
        np.testing.assert_allclose(before[[0, 2]], everywhere[[0, 2]], rtol=0, atol=1e-6)


def test_a_step_changes_neither_the_state_it_got_nor_the_frames(classifier):
    inputs = frames(classifier, 300, 4)
    state = walk(classifier, inputs[:, :3])[0][-1]
    frame = inputs[:, 3].copy()
    before = {name: array.copy() for name, array in state.items()}
    for array in (*state.values(), frame):
        array.flags.writeable = False
    first = everything(*classifier.step(state, frame))
    second = everything(*classifier.step(state, frame))
    assert equal(state, before)
    assert np.array_equal(frame, inputs[:, 3])
    assert equal(first, second)


def test_a_step_keeps_no_reference_to_what_it_got(classifier):
    inputs = frames(classifier, 20, 2)
    state = classifier.start(20)
    frame = inputs[:, 0].copy()
    after, output = classifier.step(state, frame)
    kept = {name: array.copy() for name, array in everything(after, output).items()}
    frame.fill(-1)
    for array in state.values():
        array.fill(1)
    assert equal(everything(after, output), kept)


@pytest.mark.parametrize("n", [1, 2, 3, 31, 255, 256, 257, 500, 511, 513, 1000])
def test_what_a_stream_gets_does_not_depend_on_how_many_share_its_batch(classifier, n):
    inputs = frames(classifier, 1000, 5)
    states, outputs = walk(classifier, inputs)
    again_states, again_outputs = walk(classifier, inputs[:n])
    rows = np.arange(n)
    whole, fewer = (
        everything(states[-1], outputs[-1]),
        everything(again_states[-1], again_outputs[-1]),
    )
    assert equal(fewer, take(whole, rows))


def test_what_a_stream_gets_does_not_depend_on_its_place_or_its_neighbours(classifier):
    inputs = frames(classifier, 600, 5)
    states, _ = walk(classifier, inputs)
    state, frame = states[4], inputs[:, 4]
    whole = everything(*classifier.step(state, frame))
    random = np.random.default_rng(1)
    for _ in range(100):
        rows = random.permutation(600)[: random.integers(1, 601)]
        there = everything(*classifier.step(take(state, rows), frame[rows]))
        assert equal(there, take(whole, rows))


def test_a_stream_gets_the_same_in_every_place_of_a_block(classifier):
    inputs = frames(classifier, 1, 5)
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


def test_probabilities_are_float32_and_sum_to_one(classifier):
    _, outputs = walk(classifier, frames(classifier, 50, 6))
    for output in outputs:
        assert output.probabilities.dtype == np.float32
        assert output.probabilities.shape == (50, len(classifier.classes))
        assert output.auxiliary.keys() == classifier.auxiliary
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e6, 3.4e38])
def test_absurd_but_finite_frames_give_finite_answers(classifier, size):
    inputs = np.sign(frames(classifier, 10, 4)) * np.float32(size)
    states, outputs = walk(classifier, inputs)
    for array in everything(states[-1], outputs[-1]).values():
        assert np.isfinite(array).all()


def test_no_streams_are_no_trouble(classifier):
    state, output = classifier.step(classifier.start(0), frames(classifier, 0, 1)[:, 0])
    assert output.probabilities.shape == (0, len(classifier.classes))
    assert all(len(array) == 0 for array in state.values())


def test_the_state_has_the_fields_that_were_announced_from_start_to_end(classifier):
    fields = classifier.fields()
    for state in walk(classifier, frames(classifier, 5, 20))[0]:
        assert state.keys() == fields.keys()
        for name, field in fields.items():
            assert state[name].dtype == np.dtype(field.dtype)
            assert state[name].shape == (5, *field.shape)


def test_the_state_of_a_long_stream_stays_as_small_as_it_was(classifier):
    state = classifier.start(2)
    size = sum(array.nbytes for array in state.values())
    random = np.random.default_rng(3)
    for _ in range(800):
        frame = random.normal(0, 20, (2, len(classifier.channels))).astype(np.float32)
        state, _ = classifier.step(state, frame)
    assert sum(array.nbytes for array in state.values()) == size
    assert len(classifier.explain(state, 0, 0).contributions) <= MOST_KEPT


def test_what_was_saved_is_loaded_with_the_same_answers(classifier, tmp_path):
    classifier.save(tmp_path / "classifier")
    loaded = registry.load("lstm", tmp_path / "classifier")
    inputs = frames(classifier, 300, 10)
    ours, theirs = walk(classifier, inputs), walk(loaded, inputs)
    if classifier.row_by_row == loaded.row_by_row:
        assert equal(ours[0][-1], theirs[0][-1])
    np.testing.assert_allclose(
        ours[1][-1].probabilities, theirs[1][-1].probabilities, rtol=0, atol=1e-6
    )
    assert (loaded.classes, loaded.channels) == (classifier.classes, classifier.channels)
    assert loaded.fields() == classifier.fields()


def test_saving_twice_writes_the_same_bytes(classifier, tmp_path):
    for place in ("one", "two"):
        classifier.save(tmp_path / place)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("steps", [1, 4, 16, 17, 60])
def test_the_weights_of_all_steps_add_up_to_the_change_of_the_log_odds(classifier, steps):
    inputs = frames(classifier, 6, steps)
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


def test_an_explanation_lists_the_largest_steps_with_what_was_read(classifier):
    steps = 40
    inputs = frames(classifier, 5, steps)
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
            for channel, value in c.evidence.items():
                assert value == inputs[i, c.step - 1, classifier.channels.index(channel)]


def test_a_stream_that_has_seen_nothing_is_explained_by_nothing(classifier):
    found = classifier.explain(classifier.start(1), 0, 0)
    assert found.contributions == ()
    assert found.rest == 0

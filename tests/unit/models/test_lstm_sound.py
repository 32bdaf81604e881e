"""The LSTM behind its log-mel front end: what the contract suite asks, and what it adds."""

from __future__ import annotations

import json
from functools import cache

import msgspec
import numpy as np
import pytest

from models import registry
from models.errors import ModelFileError, TrainingError
from models.frames.lstm import LstmClassifier, load
from models.frames.lstm_train import train
from models.frames.lstm_weights import LstmDescription, LstmWeights, shapes
from models.frames.options import AugmentOptions, LogMelOptions, LstmOptions
from models.protocol import LabelledStreams, take

FRAME = 40
FRONTEND = LogMelOptions(sample_rate=4000, window=100, bands=16)
OPTIONS = LstmOptions(
    hidden=12, epochs=6, batch=32, learning_rate=0.02, frontend=FRONTEND,
    schedule="one-cycle", dropout=0.1, smoothing=0.1, weight_decay=0.001, clip=5.0,
    augment=AugmentOptions(speed=0.1, shift_ms=20.0, gain_db=3.0, noise_db=15.0, masked_bands=2),
)  # fmt: skip


@cache
def made(*, row_by_row):
    """A classifier of random weights, large enough for its answers to move."""
    random = np.random.default_rng(3)
    description = LstmDescription(
        tuple("abcde"), tuple(f"s{k}" for k in range(FRAME)), hidden=9, horizon=50,
        frontend=FRONTEND,
    )  # fmt: skip
    arrays = {
        name: random.normal(0, 0.6, shape).astype(dtype)
        for name, (dtype, shape) in shapes(description).items()
    }
    arrays["input_mean"] = np.full(16, 15, np.float32)
    arrays["input_scale"] = np.full(16, 3, np.float32)
    return LstmClassifier(description, LstmWeights(**arrays), row_by_row)


@pytest.fixture(params=[None, True])
def classifier(request):
    return made(row_by_row=request.param)


def sound(n, steps, seed=0):
    random = np.random.default_rng(seed)
    loud = random.uniform(0, 3000, (n, steps, 1))
    return np.rint(random.normal(0, 1, (n, steps, FRAME)) * loud).astype(np.float32)


def walk(classifier, inputs):
    state = classifier.start(len(inputs))
    states, outputs = [state], []
    for t in range(inputs.shape[1]):
        state, output = classifier.step(state, inputs[:, t])
        states.append(state)
        outputs.append({"p": output.probabilities, **output.auxiliary})
    return states, outputs


def equal(one, other):
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() and one[name].dtype == other[name].dtype
        for name in one
    )


def words(n, seed=0):
    """Recordings of three classes: a tone that rises, falls or stays, after some noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    frames = []
    for label in labels:
        n_samples = int(random.integers(12, 20)) * FRAME
        hz = 700 + (int(label) - 1) * np.linspace(0, 500, n_samples)
        wave = 2000 * np.sin(2 * np.pi * np.cumsum(hz) / 4000 + random.uniform(0, 6))
        frames.append((wave + random.normal(0, 100, n_samples)).reshape(-1, FRAME))
    return LabelledStreams(
        np.concatenate(frames).astype(np.float32),
        np.append(0, np.cumsum([len(frame) for frame in frames])),
        labels, ("falls", "stays", "rises"), tuple(f"s{k}" for k in range(FRAME)),
    )  # fmt: skip


def last_answers(model, part):
    lengths = part.lengths
    padded = np.full((len(part), lengths.max(), FRAME), np.nan, np.float32)
    padded[np.arange(lengths.max()) < lengths[:, None]] = part.inputs
    probabilities, _ = model.sweep(padded)
    return probabilities[np.arange(len(part)), lengths - 1].argmax(axis=1)


def test_a_sweep_gives_what_the_steps_give(classifier):
    inputs = sound(20, 12)
    probabilities, correctness = classifier.sweep(inputs)
    _, outputs = walk(classifier, inputs)
    for t, output in enumerate(outputs):
        np.testing.assert_allclose(probabilities[:, t], output["p"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(correctness[:, t], output["correctness"], rtol=0, atol=1e-6)


def test_a_sweep_says_nothing_past_the_end_and_the_same_before_it(classifier):
    inputs = sound(3, 9)
    cut = inputs.copy()
    cut[1, 4:] = np.nan
    for whole, partly in zip(classifier.sweep(inputs), classifier.sweep(cut), strict=True):
        assert np.isnan(partly[1, 4:]).all()
        np.testing.assert_allclose(partly[1, :4], whole[1, :4], rtol=0, atol=1e-6)


def test_the_answer_depends_on_the_samples_before_the_frame(classifier):
    inputs = sound(1, 2)
    state, _ = classifier.step(classifier.start(1), inputs[:, 0])
    forgetful = {**state, "samples": np.zeros_like(state["samples"])}
    one, two = (classifier.step(s, inputs[:, 1])[0]["h"] for s in (state, forgetful))
    assert not np.array_equal(one, two)


def test_a_stream_gets_the_same_bits_in_every_batch_and_place(classifier):
    inputs = sound(600, 4)
    states, _ = walk(classifier, inputs[:, :3])
    state, frame = states[-1], inputs[:, 3]

    def everything(rows):
        after, output = classifier.step(take(state, rows), frame[rows])
        return {**after, "p": output.probabilities, **output.auxiliary}

    whole = everything(np.arange(600))
    random = np.random.default_rng(1)
    for n in (1, 2, 255, 256, 257, 513, *random.integers(1, 601, 40)):
        rows = random.permutation(600)[:n]
        assert equal(everything(rows), take(whole, rows))


def test_a_step_changes_no_argument_and_keeps_none(classifier):
    inputs = sound(5, 2)
    state, _ = classifier.step(classifier.start(5), inputs[:, 0])
    frame = inputs[:, 1].copy()
    for array in (*state.values(), frame):
        array.flags.writeable = False
    after, _ = classifier.step(state, frame)
    kept = {name: array.copy() for name, array in after.items()}
    for array in (*state.values(), frame):
        array.flags.writeable = True
        array.fill(1)
    assert equal(after, kept)


@pytest.mark.parametrize("size", [0.0, 1e6, 3.4e38])
def test_absurd_but_finite_sound_gives_finite_answers(classifier, size):
    inputs = np.sign(sound(10, 4)) * np.float32(size)
    states, outputs = walk(classifier, inputs)
    for array in (*states[-1].values(), *outputs[-1].values()):
        assert np.isfinite(array).all()


def test_the_state_has_the_announced_fields_and_stays_small(classifier):
    fields = classifier.fields()
    for state in walk(classifier, sound(4, 60))[0]:
        assert state.keys() == fields.keys()
        for name, field in fields.items():
            assert state[name].dtype == field.dtype
            assert state[name].shape == (4, *field.shape)
    assert fields["samples"].shape == (60,)
    assert fields["top_frame"].shape == (16, 2)


def test_what_was_saved_is_loaded_with_the_same_answers(classifier, tmp_path):
    classifier.save(tmp_path)
    loaded = registry.load("lstm", tmp_path)
    inputs = sound(30, 6)
    for name, wanted in walk(classifier, inputs)[1][-1].items():
        np.testing.assert_allclose(walk(loaded, inputs)[1][-1][name], wanted, atol=1e-6)
    assert loaded.description == classifier.description
    assert loaded.modality == "frames"


def test_a_saved_front_end_that_cannot_be_is_refused(tmp_path):
    made(row_by_row=True).save(tmp_path)
    path = tmp_path / "classifier.json"
    description = json.loads(path.read_text())
    for change, message in (
        ({"window": 30}, "raise `window`"),
        ({"bands": 0}, "bands"),
        ({"colour": "red"}, "colour"),
    ):
        path.write_text(json.dumps({**description, "frontend": description["frontend"] | change}))
        with pytest.raises(ModelFileError, match=message):
            load(tmp_path)


def test_a_reason_is_a_time_and_an_energy_not_a_heap_of_samples(classifier):
    inputs = sound(3, 30)
    state = walk(classifier, inputs)[0][-1]
    found = classifier.explain(state, 1, 2)
    assert len(found.contributions) == 16
    for c in found.contributions:
        assert c.evidence.keys() == {"time_ms", "energy_db"}
        assert c.evidence["time_ms"] == c.step * 10
        power = np.square(inputs[1, c.step - 1] / 32768, dtype=np.float64).mean()
        assert c.evidence["energy_db"] == pytest.approx(10 * np.log10(power + 1e-99), abs=0.26)
    json.dumps([dict(c.evidence) for c in found.contributions])


def test_it_learns_which_way_a_tone_goes():
    options = msgspec.structs.replace(OPTIONS, epochs=30)
    model = train(words(240), words(60, seed=1), options, horizon=18)
    test = words(200, seed=2)
    assert (last_answers(model, test) == test.labels).mean() > 0.95
    assert model.description.frontend == FRONTEND
    assert model.weights.input_mean.shape == (16,)


def test_the_same_seed_gives_the_same_weights_varied_recordings_and_all():
    fit, tuning = words(60), words(20, seed=1)
    one, two, other = (
        train(fit, tuning, msgspec.structs.replace(OPTIONS, seed=seed), horizon=15).weights
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one.recurrent, two.recurrent)
    assert not np.array_equal(one.recurrent, other.recurrent)


def test_variations_change_what_is_learned_and_not_the_scaling():
    fit, tuning = words(60), words(20, seed=1)
    plain = msgspec.structs.replace(OPTIONS, augment=None)
    one, two = (train(fit, tuning, options, horizon=15).weights for options in (OPTIONS, plain))
    assert np.array_equal(one.input_mean, two.input_mean)
    assert not np.array_equal(one.recurrent, two.recurrent)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"frontend": LogMelOptions(window=30)}, "raise `window`"),
        ({"frontend": None}, "no \\[classifier.frontend\\]"),
    ],
)
def test_options_that_cannot_be_are_refused_before_training(changes, advice):
    options = msgspec.structs.replace(OPTIONS, **changes)
    with pytest.raises(TrainingError, match=advice):
        train(words(30), words(10), options, horizon=15)

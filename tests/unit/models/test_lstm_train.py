from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.frames.lstm_train import LEAST_SCALE, train
from models.frames.options import LstmOptions
from models.protocol import LabelledFrames

OPTIONS = LstmOptions(hidden=6, epochs=3, batch=16, learning_rate=0.02)


def drawn(n, seed=0, steps=6, lengths=None, channels=2):
    """Three classes told apart by where the second channel goes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    frames = random.normal(50, 4, (n, steps, channels)).astype(np.float32)
    frames[..., -1] += 5 * (labels[:, None] - 1) * np.arange(steps)
    lengths = np.full(n, steps) if lengths is None else lengths
    frames[np.arange(steps) >= lengths[:, None]] = np.nan
    names = tuple(f"x{k}" for k in range(channels))
    return LabelledFrames(frames, lengths.astype(np.int64), labels, ("a", "b", "c"), names)


def fitted(fit, tuning, options=OPTIONS, horizon=6):
    return train(fit, tuning, options, horizon=horizon)


def same(one, other):
    return all(
        np.array_equal(getattr(one.weights, name), getattr(other.weights, name))
        for name in one.weights.__slots__
    )


def test_it_learns_what_there_is_to_learn():
    options = LstmOptions(hidden=8, epochs=40, batch=32, learning_rate=0.02)
    test = drawn(300, seed=2)
    probabilities, correctness = fitted(drawn(400), drawn(100, seed=1), options).sweep(test.frames)
    right = probabilities.argmax(axis=2) == test.labels[:, None]
    assert right[:, -1].mean() > 0.95
    assert right[:, 0].mean() < 0.6
    assert correctness[:, -1].mean() > correctness[:, 0].mean() + 0.2


def test_scoring_gives_what_torch_gives():
    fit = drawn(64)
    networks = []
    original = torch.nn.Module.load_state_dict

    def remember(module, *arguments, **options):
        networks.append(module)
        return original(module, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", remember)
        model = fitted(fit, drawn(20, seed=1))
    test = drawn(50, seed=3)
    standard = (test.frames - model.weights.input_mean) / model.weights.input_scale
    with torch.no_grad():
        logits, sure = networks[0](torch.from_numpy(standard))
    probabilities, correctness = model.sweep(test.frames)
    np.testing.assert_allclose(probabilities, torch.softmax(logits, -1).numpy(), atol=2e-6)
    np.testing.assert_allclose(correctness, torch.sigmoid(sure).numpy(), atol=2e-6)


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    fit, tuning = drawn(80), drawn(20, seed=1)
    assert same(fitted(fit, tuning), fitted(fit, tuning))
    other = LstmOptions(hidden=6, epochs=3, batch=16, learning_rate=0.02, seed=1)
    assert not same(fitted(fit, tuning), fitted(fit, tuning, other))


def test_training_leaves_torch_as_it_found_it():
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fitted(drawn(40), drawn(10, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_what_stands_past_a_streams_end_teaches_nothing():
    lengths = np.random.default_rng(4).integers(1, 7, 60)
    fit, tuning = drawn(60, lengths=lengths), drawn(20, seed=1)
    other = LabelledFrames(
        np.where(np.isnan(fit.frames), np.float32(999), fit.frames),
        fit.lengths, fit.labels, fit.classes, fit.channels,
    )  # fmt: skip
    assert same(fitted(fit, tuning), fitted(other, tuning))


def test_what_stands_past_the_horizon_teaches_nothing():
    fit, tuning = drawn(60), drawn(20, seed=1)
    changed = fit.frames.copy()
    changed[:, 4:] = -7
    other = LabelledFrames(changed, fit.lengths, fit.labels, fit.classes, fit.channels)
    one, two = (fitted(part, tuning, horizon=4) for part in (fit, other))
    assert same(one, two)
    assert one.description.horizon == 4


def test_frames_are_standardised_by_the_fitting_part_alone():
    fit = drawn(60)
    model = fitted(fit, drawn(20, seed=1))
    flat = fit.frames.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(model.weights.input_mean, flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.weights.input_scale, flat.std(axis=0), rtol=1e-5)


def test_a_channel_that_never_changes_is_no_trouble():
    fit = drawn(60)
    fit.frames[..., 0] = 3
    model = fitted(fit, drawn(20, seed=1))
    assert model.weights.input_scale[0] == np.float32(LEAST_SCALE)
    assert np.isfinite(model.sweep(fit.frames)[0]).all()


def test_the_prior_is_the_shares_of_the_classes_even_of_one_never_seen():
    fit = drawn(60)
    fit.labels[:] = np.r_[np.zeros(40, int), np.ones(20, int)]
    prior = fitted(fit, drawn(20, seed=1)).weights.prior / 1024
    shares = np.array([41, 21, 1]) / 63
    np.testing.assert_allclose(prior, np.log(shares / (1 - shares)), atol=1e-3)


def test_training_ends_when_the_tuning_loss_stops_falling():
    seen = []
    fit = drawn(40)
    tuning = drawn(20, seed=1)
    tuning.labels[:] = (tuning.labels + 1) % 3  # what helps on `fit` harms here
    options = LstmOptions(hidden=6, epochs=500, batch=8, learning_rate=0.05, patience=2)
    train(fit, tuning, options, horizon=6, advance=seen.append)
    assert set(seen) == {1}
    assert len(seen) < 50


@pytest.mark.parametrize("empty", ["fit", "tuning"])
def test_a_part_without_streams_is_refused(empty):
    parts = {"fit": drawn(10), "tuning": drawn(10)} | {empty: drawn(0)}
    with pytest.raises(TrainingError, match="larger data set"):
        fitted(**parts)


def test_a_single_class_is_refused():
    fit = drawn(10)
    single = LabelledFrames(fit.frames, fit.lengths, np.zeros(10, np.int64), ("a",), fit.channels)
    with pytest.raises(TrainingError, match="at least two"):
        fitted(single, single)


def test_a_loss_that_is_no_number_says_what_to_do():
    fit = drawn(40)
    options = LstmOptions(hidden=6, epochs=50, batch=8, learning_rate=1.0)
    fit.frames[0, 0, 0] = np.inf
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match="Lower `learning_rate`"),
    ):
        fitted(fit, drawn(10, seed=1), options)

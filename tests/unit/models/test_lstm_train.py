from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec.structs import replace as replace_options

from models.errors import TrainingError
from models.frames.lessons import LEAST_SCALE, Part, features
from models.frames.lstm_train import Network, _rate, loss, train
from models.frames.options import AugmentOptions, LstmOptions
from models.protocol import LabelledStreams

OPTIONS = LstmOptions(hidden=6, epochs=3, batch=16, learning_rate=0.02)


def drawn(n, seed=0, steps=6, lengths=None, channels=2):
    """Three classes told apart by where the second channel goes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    frames = random.normal(50, 4, (n, steps, channels)).astype(np.float32)
    frames[..., -1] += 5 * (labels[:, None] - 1) * np.arange(steps)
    lengths = np.full(n, steps) if lengths is None else lengths
    names = tuple(f"x{k}" for k in range(channels))
    return LabelledStreams(
        frames[np.arange(steps) < lengths[:, None]], np.append(0, lengths.cumsum()), labels,
        ("a", "b", "c"), names,
    )  # fmt: skip


def side_by_side(part):
    """Return the frames of streams of one length, [n, T, d]."""
    return part.inputs.reshape(len(part), -1, len(part.channels))


def fitted(fit, tuning, options=OPTIONS, horizon=6):
    return train(fit, tuning, options, horizon=horizon)


def laid_out(part, horizon):
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    return features(part, OPTIONS, horizon).side_by_side(zeros, ones)


def same(one, other):
    return all(
        np.array_equal(getattr(one.weights, name), getattr(other.weights, name))
        for name in one.weights.__slots__
    )


def test_it_learns_what_there_is_to_learn():
    options = LstmOptions(hidden=8, epochs=40, batch=32, learning_rate=0.02)
    test = drawn(300, seed=2)
    probabilities, correctness = fitted(drawn(400), drawn(100, seed=1), options).sweep(
        side_by_side(test)
    )
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
    standard = (side_by_side(test) - model.weights.input_mean) / model.weights.input_scale
    with torch.no_grad():
        logits, sure = networks[0](torch.from_numpy(standard))
    probabilities, correctness = model.sweep(side_by_side(test))
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


def test_the_filling_past_a_streams_end_teaches_nothing():
    lengths = np.random.default_rng(4).integers(1, 7, 60)
    fit = drawn(60, lengths=lengths)
    part = laid_out(fit, 6)
    wider = Part(
        torch.nn.functional.pad(part.standard, (0, 0, 0, 3), value=999.0),
        torch.nn.functional.pad(part.inside, (0, 3)),
        part.labels,
    )
    torch.manual_seed(0)
    network = Network(2, 5, 3)
    with torch.no_grad():
        one, two = (float(loss(network, them, 0.2)) for them in (part, wider))
    assert one == pytest.approx(two, abs=1e-6)


def test_streams_are_laid_side_by_side_in_their_order():
    fit = drawn(5, lengths=np.array([2, 6, 1, 3, 5]))
    part = laid_out(fit, 4)
    assert part.standard.shape == (5, 4, 2)
    assert part.inside.sum(dim=1).tolist() == [2, 4, 1, 3, 4]
    for i in range(5):
        own = fit.inputs[fit.offsets[i] : fit.offsets[i + 1]][:4]
        assert np.array_equal(part.standard[i, : len(own)].numpy(), own)
        assert (part.standard[i, len(own) :] == 0).all()


def test_what_stands_past_the_horizon_teaches_nothing():
    fit, tuning = drawn(60), drawn(20, seed=1)
    changed = side_by_side(fit).copy()
    changed[:, 4:] = -7
    other = replace(fit, inputs=changed.reshape(fit.inputs.shape))
    one, two = (fitted(part, tuning, horizon=4) for part in (fit, other))
    assert same(one, two)
    assert one.description.horizon == 4


def test_frames_are_standardised_by_the_fitting_part_alone():
    fit = drawn(60)
    model = fitted(fit, drawn(20, seed=1))
    flat = fit.inputs.astype(np.float64)
    np.testing.assert_allclose(model.weights.input_mean, flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.weights.input_scale, flat.std(axis=0), rtol=1e-5)


def test_a_channel_that_never_changes_is_no_trouble():
    fit = drawn(60)
    fit.inputs[..., 0] = 3
    model = fitted(fit, drawn(20, seed=1))
    assert model.weights.input_scale[0] == np.float32(LEAST_SCALE)
    assert np.isfinite(model.sweep(side_by_side(fit))[0]).all()


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
    single = replace(fit, labels=np.zeros(10, np.int64), classes=("a",))
    with pytest.raises(TrainingError, match="at least two"):
        fitted(single, single)


def test_a_loss_that_is_no_number_says_what_to_do():
    fit = drawn(40)
    options = LstmOptions(hidden=6, epochs=50, batch=8, learning_rate=1.0)
    fit.inputs[0, 0] = np.inf
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match="Lower `learning_rate`"),
    ):
        fitted(fit, drawn(10, seed=1), options)


def test_a_one_cycle_rate_rises_over_a_tenth_and_falls_to_nought():
    rate = _rate(LstmOptions(learning_rate=0.01, schedule="one-cycle"))
    rising, falling = ([rate(x) for x in np.linspace(*ends, 20)] for ends in ((0, 0.1), (0.1, 1)))
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert max(falling) == pytest.approx(0.01)
    assert 0 < falling[-1] <= 1e-5
    assert 0 < rising[0] <= 1e-5
    assert {_rate(LstmOptions(learning_rate=0.01))(x) for x in (0, 0.5, 1)} == {0.01}


@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.5}, {"smoothing": 0.3}, {"weight_decay": 0.5}, {"clip": 0.01}],
)
def test_each_curb_on_learning_changes_what_is_learned_the_same_way_twice(changes):
    fit, tuning = drawn(80), drawn(20, seed=1)
    options = replace_options(OPTIONS, **changes)
    assert same(fitted(fit, tuning, options), fitted(fit, tuning, options))
    assert not same(fitted(fit, tuning, options), fitted(fit, tuning))


def test_smoothing_pulls_the_answers_away_from_certainty():
    sure, unsure = (
        fitted(
            drawn(400), drawn(100, seed=1),
            LstmOptions(hidden=8, epochs=40, batch=32, learning_rate=0.02, smoothing=smoothing),
        ).sweep(side_by_side(drawn(200, seed=2)))[0][:, -1].max(axis=1).mean()
        for smoothing in (0.0, 0.3)
    )  # fmt: skip
    assert 0.7 < unsure < 0.9 < sure


def test_weight_decay_leaves_smaller_weights():
    fit, tuning = drawn(80), drawn(20, seed=1)
    free, held = (
        fitted(fit, tuning, replace_options(OPTIONS, weight_decay=decay)).weights.recurrent
        for decay in (0.0, 0.5)
    )
    assert np.abs(held).mean() < np.abs(free).mean()


def test_sound_alone_can_be_varied():
    options = replace_options(OPTIONS, augment=AugmentOptions(speed=0.1))
    with pytest.raises(TrainingError, match="take `augment` out"):
        fitted(drawn(20), drawn(10, seed=1), options)

from __future__ import annotations

import numpy as np
import pytest

from models.frames.augment import mask_bands, varied
from models.frames.options import AugmentOptions


def signal(n=4000):
    return (3000 * np.sin(np.arange(n) / 7)).astype(np.float32)


def vary(options, seed, given=None):
    random = np.random.default_rng(seed)
    return varied(signal() if given is None else given, options, 8000, random)


def test_nothing_is_varied_where_nothing_is_asked_for():
    assert np.array_equal(vary(AugmentOptions(), 0), signal())


def test_the_same_seed_gives_the_same_copy_and_the_original_stays():
    options = AugmentOptions(speed=0.1, shift_ms=30.0, gain_db=6.0, noise_db=15.0)
    given = signal()
    one, two, three = (vary(options, seed, given) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)
    assert np.array_equal(given, signal())
    assert one.dtype == np.float32


def test_speed_changes_the_length_within_its_limit():
    lengths = [len(vary(AugmentOptions(speed=0.2), seed)) for seed in range(50)]
    assert 4000 / np.exp(0.2) - 1 <= min(lengths) < 3700
    assert 4300 < max(lengths) <= 4000 * np.exp(0.2) + 1


def test_a_shift_puts_noise_before_or_takes_a_little_off():
    lengths = [len(vary(AugmentOptions(shift_ms=50.0), seed)) for seed in range(80)]
    assert 4000 < max(lengths) <= 4400
    assert 3800 <= min(lengths) < 4000
    short = signal(40)
    assert min(len(vary(AugmentOptions(shift_ms=50.0), s, short)) for s in range(30)) >= 30


def test_gain_is_within_its_limit_and_noise_is_as_loud_as_asked():
    ratios = [np.abs(vary(AugmentOptions(gain_db=6.0), seed)).max() / 3000 for seed in range(50)]
    assert 10 ** (-6 / 20) * 0.99 <= min(ratios) < 0.7
    assert 1.4 < max(ratios) <= 10 ** (6 / 20) * 1.01
    clean = signal()
    added = [vary(AugmentOptions(noise_db=10.0), seed) - clean for seed in range(60)]
    noisy = [x.std() for x in added if x.any()]
    assert 15 < len(noisy) < 45
    assert max(noisy) <= clean.std() * 10 ** (-10 / 20) * 1.05


def test_masks_hide_neighbouring_features_of_a_whole_stream():
    standard = np.ones((200, 5, 12), np.float32)
    mask_bands(standard, 4, np.random.default_rng(0))
    hidden = standard == 0
    assert (hidden == hidden[:, :1]).all()
    widths = hidden[:, 0].sum(axis=1)
    assert set(widths) == {0, 1, 2, 3, 4}
    edges = np.abs(np.diff(hidden[:, 0].astype(int), axis=1)).sum(axis=1)
    assert (edges <= 2).all()


@pytest.mark.parametrize("most", [0, 99])
def test_masks_of_no_width_or_more_than_there_is_are_no_trouble(most):
    standard = np.ones((50, 2, 3), np.float32)
    mask_bands(standard, most, np.random.default_rng(0))
    assert standard.all() == (most == 0)

"""Varied copies of recordings, so that a classifier of sound learns from more than was recorded.

Each copy is faster or slower, begins later or earlier, is louder or softer, or noisier. Only
learning uses these; what is scored, tuned on or calibrated on is as it was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.frames.options import AugmentOptions

    Float32 = NDArray[np.float32]

MOST_DROPPED = 0.25
"""Of a recording, at its beginning."""
NOISY_SHARE = 0.5
NOISE_RANGE_DB = 25.0
"""The noise added lies up to this far below the loudest allowed."""


def varied(
    signal: Float32, options: AugmentOptions, sample_rate: int, random: np.random.Generator
) -> Float32:
    """Return a varied copy of `signal`, float32 [samples]; of another length, as a rule.

    >>> from models.frames.options import AugmentOptions
    >>> random = np.random.default_rng(0)
    >>> len(varied(np.ones(800, np.float32), AugmentOptions(speed=0.2), 8000, random)) != 800
    True
    """
    if options.speed:
        signal = _at_speed(signal, float(np.exp(random.uniform(-options.speed, options.speed))))
    if options.shift_ms:
        most = round(options.shift_ms * sample_rate / 1000)
        signal = _shifted(signal, int(random.integers(-most, most + 1)), sample_rate, random)
    if options.gain_db:
        signal = signal * np.float32(
            10 ** (random.uniform(-options.gain_db, options.gain_db) / 20)
        )
    if options.noise_db is not None and random.random() < NOISY_SHARE:
        ratio_db = options.noise_db + random.uniform(0, NOISE_RANGE_DB)
        size = float(signal.std()) * 10 ** (-ratio_db / 20)
        signal = signal + random.normal(0, size, len(signal)).astype(np.float32)
    return signal


def mask_bands(standard: Float32, most: int, random: np.random.Generator) -> None:
    """Hide up to `most` neighbouring features of each stream, in place; `standard` is [n, T, d].

    Hidden ones are 0, which is the mean of standardised features. Source of the idea: Park et al.,
    "SpecAugment" (Interspeech 2019).
    """
    n, _, d = standard.shape
    widths = random.integers(0, min(most, d) + 1, n)
    firsts = random.integers(0, d - widths + 1)
    places = np.arange(d)
    hidden = (places >= firsts[:, np.newaxis]) & (places < (firsts + widths)[:, np.newaxis])
    standard *= ~hidden[:, np.newaxis]


def _at_speed(signal: Float32, speed: float) -> Float32:
    places = np.arange(0, max(len(signal) - 1, 1), speed)
    faster: Float32 = np.interp(places, np.arange(len(signal)), signal).astype(np.float32)
    return faster


def _shifted(signal: Float32, by: int, sample_rate: int, random: np.random.Generator) -> Float32:
    """Return the signal after `by` samples of noise, or without its first -by / 2 ones."""
    if by <= 0:
        return signal[min(-by // 2, int(len(signal) * MOST_DROPPED)) :]
    # As loud as the first hundredth of a second, which is mostly the room before the word.
    size = max(1.0, float(np.abs(signal[: sample_rate // 100]).mean()))
    return np.concatenate((random.normal(0, size, by).astype(np.float32), signal))

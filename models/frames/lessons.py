"""What an LSTM learns from: streams as features, standardised, side by side in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.errors import TrainingError
from models.frames import logmel
from models.frames.augment import mask_bands, varied
from models.parts import check_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from models.frames.options import LstmOptions
    from models.protocol import LabelledStreams

    Float32 = NDArray[np.float32]
    Vary = Callable[[Float32], Float32]

LEAST_SCALE = 1e-6


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the data as tensors."""

    standard: Tensor
    """[n, T, d], standardised; 0 past a stream's end."""
    inside: Tensor
    """bool [n, T]: step inside the stream."""
    labels: Tensor
    """[n]."""

    def rows(self, rows: Tensor) -> Part:
        """Return the streams at positions `rows`."""
        return Part(self.standard[rows], self.inside[rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class Features:
    """The features of all streams, one below the other, each stream cut at the horizon."""

    values: Float32
    """[sum of lengths, d]."""
    lengths: NDArray[np.int64]
    """[n]."""
    labels: NDArray[np.int64]
    """[n]."""

    def scaling(self) -> tuple[Float32, Float32]:
        """Return the mean and the standard deviation of each feature over all steps."""
        steps = self.values.astype(np.float64)
        scale = np.maximum(steps.std(axis=0), LEAST_SCALE)
        return steps.mean(axis=0).astype(np.float32), scale.astype(np.float32)

    def side_by_side(self, mean: Float32, scale: Float32) -> Part:
        """Return the streams standardised and filled up to the longest of them."""
        inside = np.arange(self.lengths.max()) < self.lengths[:, np.newaxis]
        standard = np.zeros((*inside.shape, len(mean)), np.float32)
        standard[inside] = (self.values - mean) / scale
        return Part(
            torch.from_numpy(standard),
            torch.from_numpy(inside),
            torch.from_numpy(self.labels.astype(np.int64)),
        )


def features(
    part: LabelledStreams, options: LstmOptions, horizon: int, vary: Vary | None = None
) -> Features:
    """Return what the network sees of `part`; with `vary`, of varied copies of its streams."""
    if options.frontend is None:
        before = np.arange(len(part.inputs)) - np.repeat(part.offsets[:-1], part.lengths) < horizon
        return Features(part.inputs[before], np.minimum(part.lengths, horizon), part.labels)
    frame = len(part.channels)
    frontend = logmel.LogMel(options.frontend, frame)
    found = []
    for first, stop in zip(part.offsets[:-1], part.offsets[1:], strict=True):
        signal = part.inputs[first:stop].reshape(-1)
        if vary is not None:
            signal = _whole_frames(vary(signal), frame)
        found.append(frontend.whole(signal[: horizon * frame]))
    lengths = np.array([len(values) for values in found], dtype=np.int64)
    return Features(np.concatenate(found), lengths, part.labels)


def lessons(
    fit: LabelledStreams, options: LstmOptions, horizon: int, mean: Float32, scale: Float32
) -> Callable[[], Part]:
    """Return what gives the fitting part of each epoch: the same one, or new variations of it."""
    augment, frontend = options.augment, options.frontend
    if augment is None or frontend is None:
        always = features(fit, options, horizon).side_by_side(mean, scale)
        return lambda: always
    random = np.random.default_rng(options.seed)
    rate = frontend.sample_rate

    def lesson() -> Part:
        copies = features(fit, options, horizon, lambda x: varied(x, augment, rate, random))
        part = copies.side_by_side(mean, scale)
        mask_bands(part.standard.numpy(), augment.masked_bands, random)
        return part

    return lesson


def check(fit: LabelledStreams, tuning: LabelledStreams, options: LstmOptions) -> None:
    """Raise TrainingError if there is nothing to learn from, or not as `options` say."""
    check_parts(fit, tuning)
    if options.frontend is not None:
        detail = logmel.fault(options.frontend, len(fit.channels))
        if detail is not None:
            message = f"no front end can be made: {detail}."
            raise TrainingError(message)
    elif options.augment is not None:
        message = (
            "[classifier.augment] varies sound, and there is no [classifier.frontend] that says "
            "that the frames are sound. Add one, or take `augment` out."
        )
        raise TrainingError(message)


def _whole_frames(signal: Float32, frame: int) -> Float32:
    """Return the signal without its last piece of a frame; one frame with silence at the least."""
    if len(signal) < frame:
        return np.concatenate((signal, np.zeros(frame - len(signal), np.float32)))
    return signal[: len(signal) // frame * frame]

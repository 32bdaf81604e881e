"""Log-mel features of sound, frame by frame: the energies of bands of pitch, as logarithms.

A frame is a short piece of the signal. Its spectrum is taken over a longer window that ends with
it, so the end of the signal before the frame is remembered; at a stream's start, silence. Every
step costs the same, whatever came before, and gives what the whole signal gives at that place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.protocol import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.frames.options import LogMelOptions

    Float32 = NDArray[np.float32]

TIME, ENERGY = "time_ms", "energy_db"
ENERGY_STEP_DB = 0.5
"""Energies are told in multiples of this: enough for a reader, and the same on every machine."""
LEAST_POWER = 1e-10
"""Relative to full scale: silence is told as -100 dB."""


class LogMel:
    """A front end of `models.frames.lstm`.

    Parameters
    ----------
    options
        Sample rate, window and bands; ones in which `fault` finds nothing.
    frame
        Samples in a frame.

    Examples
    --------
    >>> from models.frames.options import LogMelOptions
    >>> frontend = LogMel(LogMelOptions(bands=20), frame=80)
    >>> frontend.features(np.zeros((1, 200), np.float32)).shape
    (1, 20)
    """

    evidence = (TIME, ENERGY)
    """What is kept of a frame for explanations, by name."""

    def __init__(self, options: LogMelOptions, frame: int) -> None:
        self.options = options
        self.frame = frame
        self._taper = 0.5 - 0.5 * np.cos(
            2 * np.pi * (np.arange(options.window) + 0.5) / options.window
        )
        self._n_fft = transform_length(options.window)
        self._bank = mel_bank(options)

    @property
    def width(self) -> int:
        """Features of a frame."""
        return self.options.bands

    @property
    def window(self) -> int:
        """Samples that the features of a frame are made of."""
        return self.options.window

    def fields(self) -> dict[str, Field]:
        """Return the state arrays that this part owns: the samples before the next frame."""
        return {"samples": Field("float32", (self.window - self.frame,))}

    def windows(self, samples: Float32, frames: Float32) -> Float32:
        """Return the windows [n, window] that end with `frames`, given the samples before."""
        return np.concatenate((samples, frames), axis=1)

    def remembered(self, windows: Float32) -> Float32:
        """Return what the next step needs of these windows."""
        return windows[:, self.frame :].copy()

    def features(self, windows: Float32, *, row_by_row: bool = False) -> Float32:
        """Return log energies in nats, float32 [..., bands], of windows [..., window].

        In double precision throughout, so that no finite sample makes an infinite energy.
        `row_by_row` is as in `models.frames.lstm`.
        """
        spectrum = np.fft.rfft(windows * self._taper, self._n_fft)
        power = spectrum.real**2 + spectrum.imag**2
        if row_by_row:
            energy = np.matmul(power[:, np.newaxis], self._bank)[:, 0]
        else:
            energy = power @ self._bank
        features: Float32 = np.log(energy + self.options.floor).astype(np.float32)
        return features

    def whole(self, signal: Float32) -> Float32:
        """Return the features of all frames of a signal [T * frame]: float32 [T, bands]."""
        silence = np.zeros(self.window - self.frame, np.float32)
        joined = np.concatenate((silence, signal))
        return self.features(
            np.lib.stride_tricks.sliding_window_view(joined, self.window)[:: self.frame]
        )

    def noted(self, step: NDArray[np.int32], frames: Float32) -> Float32:
        """Return what is kept of each frame, float32 [n, 2]: when it ended, and its energy.

        `step` counts from 1, [n]; the time is that since the stream's start, in ms; the energy is
        relative to full scale.
        """
        time_ms = step * (1000.0 * self.frame / self.options.sample_rate)
        mean_square = np.square(frames / self.options.full_scale, dtype=np.float64).mean(axis=1)
        energy_db = 10 * np.log10(np.maximum(mean_square, LEAST_POWER))
        told = np.rint(energy_db / ENERGY_STEP_DB) * ENERGY_STEP_DB
        return np.stack((time_ms, told), axis=1).astype(np.float32)


def mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies on the mel scale.

    >>> mel(np.array([0.0, 1000.0])).round(1).tolist()
    [0.0, 1000.0]
    """
    return 2595.0 * np.log10(1.0 + hz / 700.0)


def mel_bank(options: LogMelOptions) -> NDArray[np.float64]:
    """Return the weights from power spectrum to band energies, one column a band.

    Triangles that are evenly spaced on the mel scale, each from its lower neighbour's peak to
    that of its upper one.
    """
    n_fft = transform_length(options.window)
    least, most = mel(np.array([options.lowest_hz, options.sample_rate / 2])).tolist()
    evenly = np.linspace(least, most, options.bands + 2)
    edges = 700.0 * (10.0 ** (evenly / 2595.0) - 1.0)
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    hz = np.arange(n_fft // 2 + 1)[:, np.newaxis] * (options.sample_rate / n_fft)
    triangles = np.minimum((hz - low) / (peak - low), (high - hz) / (high - peak))
    bank: NDArray[np.float64] = np.maximum(triangles, 0.0)
    return bank


def transform_length(window: int) -> int:
    """Return the power of two that a window is filled up to.

    >>> transform_length(200), transform_length(256)
    (256, 256)
    """
    return 1 << (window - 1).bit_length()


def fault(options: LogMelOptions, frame: int) -> str | None:
    """Return why no front end can be made of `options` for frames of so many samples, if so.

    >>> from models.frames.options import LogMelOptions
    >>> fault(LogMelOptions(), 80) is None, fault(LogMelOptions(bands=200), 80) is None
    (True, False)
    """
    if frame > options.window:
        return (
            f"a frame of {frame} samples does not fit the window of {options.window}: raise "
            "`window` under [classifier.frontend], or send shorter frames"
        )
    highest_hz = options.sample_rate / 2
    if options.lowest_hz >= highest_hz or not mel_bank(options).any(axis=0).all():
        return (
            f"{options.bands} bands from {options.lowest_hz:g} Hz to {highest_hz:g} Hz are too "
            f"narrow for a window of {options.window} samples: choose fewer `bands` under "
            "[classifier.frontend], or a longer `window`"
        )
    return None

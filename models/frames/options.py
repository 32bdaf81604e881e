"""Options of the classifiers of frames, as they stand under ``[classifier]``; free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]


class LogMelOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """A front end for sound: a frame is a piece of the signal, its features are log energies.

    ``[classifier.frontend]``. Frequencies on the mel scale: Stevens, Volkmann and Newman, "A scale
    for the measurement of the psychological magnitude pitch" (JASA 8(3), 1937), in the usual
    logarithmic form, 2595 log10(1 + f / 700).
    """

    kind: Literal["logmel"] = "logmel"
    sample_rate: Annotated[int, Meta(ge=1, le=1_000_000)] = 8000
    """Samples in a second; a frame has as many channels as samples."""
    window: Annotated[int, Meta(ge=2, le=16384)] = 200
    """Samples that one spectrum is made of: the frame and what came just before it."""
    bands: Annotated[int, Meta(ge=1, le=256)] = 32
    """Mel bands from `lowest_hz` to half the sample rate."""
    lowest_hz: NotNegative = 100.0
    floor: Positive = 1e4
    """Added to each band's energy before the logarithm, in squared units of the samples."""
    full_scale: Positive = 32768.0
    """The largest sample there can be: what 0 dB means in explanations."""


class AugmentOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How recordings are varied while learning, anew in each epoch; ``[classifier.augment]``.

    Only for classifiers with a front end. The tuning part is never varied.
    """

    speed: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """Largest change of the speed, as the natural logarithm of a factor (0.12: up to 13 %)."""
    shift_ms: NotNegative = 0.0
    """Most noise put before the signal; up to half of it is taken off the beginning instead."""
    gain_db: NotNegative = 0.0
    """Largest change of the level, up or down."""
    noise_db: NotNegative | None = None
    """Least signal-to-noise ratio of the white noise that half of the recordings get."""
    masked_bands: Annotated[int, Meta(ge=0)] = 0
    """Most neighbouring features that are hidden, in all frames of a recording."""


class LstmOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How to build and train an LSTM; the defaults are those of Ringel et al. (2024).

    Source: Ringel, Cohen, Freedman, Elad and Romano, "Early Time Classification with Accumulated
    Accuracy Gap Control", ICML 2024.
    """

    hidden: Annotated[int, Meta(ge=1, le=1024)] = 32
    seed: Annotated[int, Meta(ge=0)] = 0
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 1e-3
    batch: Annotated[int, Meta(ge=1)] = 64
    """Streams in a gradient step."""
    correctness_weight: Annotated[float, Meta(ge=0.0)] = 0.2
    """Of the correctness head's loss, beside the class head's."""
    patience: Annotated[int, Meta(ge=1)] = 30
    """Epochs without a better tuning loss after which training ends."""
    epochs: Annotated[int, Meta(ge=1)] = 150
    """Epochs after which training ends in any case."""
    schedule: Literal["constant", "one-cycle"] = "constant"
    """Of the learning rate; one-cycle rises to it over a tenth of `epochs` and falls to nought."""
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    """Share of hidden units that the heads do without in a gradient step."""
    weight_decay: NotNegative = 0.0
    """Decoupled from the gradient (AdamW)."""
    smoothing: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    """Share of the true label's weight that is spread over all classes."""
    clip: NotNegative = 0.0
    """Longest gradient; longer ones are shortened to it. 0 = no limit."""
    frontend: LogMelOptions | None = None
    """What makes features of frames; None = frames are read as they come."""
    augment: AugmentOptions | None = None

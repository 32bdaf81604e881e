"""Options of the classifiers of frames, as they stand under ``[classifier]``; free of torch."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


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

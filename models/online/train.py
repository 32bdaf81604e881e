"""Fitting the online classifier before it serves: lessons from recorded streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.online.classifier import RiverClassifier
from models.online.files import RiverDescription
from models.online.lessons import Lessons, learn_all, nothing
from models.online.values import value_table
from models.parts import check_parts
from models.text.ss3_train import Tuning
from models.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.online.options import RiverOptions
    from models.protocol import LabelledStreams


def train(
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: RiverOptions,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> RiverClassifier:
    """Take each stream of `fit` as a lesson; fit how sums become probabilities on `tuning`.

    The first `horizon` steps of a stream are read. Raises TrainingError if there is nothing to
    learn from.
    """
    check_parts(fit, tuning)
    lessons = Lessons(
        nothing(fit.classes), alpha=options.alpha, least_streams=options.least_streams
    )
    learn_all(
        lessons,
        (_text(fit, i, horizon) for i in range(len(fit))),
        (fit.classes[label] for label in fit.labels.tolist()),
    )
    learned = lessons.learned()
    share = np.bincount(fit.labels, minlength=len(fit.classes)) + 1.0
    vocabulary = Vocabulary(learned.words, value_table(learned.counts, options.alpha))
    _, answer = Tuning(tuning, horizon, np.log(share / share.sum())).fit(vocabulary)
    if advance is not None:
        advance(1)
    description = RiverDescription(
        classes=fit.classes, horizon=horizon, options=options, answer=answer
    )
    return RiverClassifier(description, learned)


def _text(streams: LabelledStreams, i: int, horizon: int) -> str:
    start, stop = streams.offsets[i], min(streams.offsets[i + 1], streams.offsets[i] + horizon)
    return "\n".join(streams.inputs[start:stop].tolist())

"""Counting words and fitting the answer of the SS3 in `models.text.ss3`."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy.optimize import minimize

from models.parts import check_parts
from models.text.answer import DAMPINGS, MOST_SCALE, Answer, damped
from models.text.counts import WordCounts
from models.text.formula import confidence_table
from models.text.ss3 import Ss3Classifier
from models.text.ss3_files import LEAST_COUNT, Ss3Description
from models.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.protocol import LabelledStreams
    from models.text.answer import Damping
    from models.text.options import Ss3Options

    Float64 = NDArray[np.float64]

GRID = {
    "sigma": (0.3, 0.45, 0.6),
    "lambda_": (0.3, 0.5, 1.0, 1.5),
    "rho": (0.5, 1.0, 2.0),
}
"""What ``tune`` tries, in every combination."""
OFFSET_RIDGE = 1e-3
"""Holds each offset near the log share of its class among the fit streams."""
SCALE_RIDGE = 1e-5
MOST_OFFSET = 50.0


def train(
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: Ss3Options,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> Ss3Classifier:
    """Count words in `fit`; choose the answer, and with ``tune`` the formula, on `tuning`.

    The words are counted in the first `horizon` steps of each stream. The formula and the answer
    are those of the least cross-entropy on the tuning streams, each stream weighing the same: half
    of it over its steps, half at its last. The same arguments give the same classifier. Raises
    TrainingError if there is nothing to learn from.
    """
    check_parts(fit, tuning)
    words, counts = _counted(fit, horizon)
    share = np.bincount(fit.labels, minlength=len(fit.classes)) + 1.0
    part = Tuning(tuning, horizon, np.log(share / share.sum()))
    best: tuple[float, Ss3Options, Answer] | None = None
    for chosen in _choices(options):
        vocabulary = Vocabulary(words, confidence_table(counts, chosen.formula()))
        loss, answer = part.fit(vocabulary)
        if best is None or loss < best[0]:
            best = (loss, chosen, answer)
        if advance is not None:
            advance(1)
    assert best is not None  # noqa: S101  # there is always one choice
    description = Ss3Description(
        classes=fit.classes, horizon=horizon, values=best[1], answer=best[2]
    )
    return Ss3Classifier(description, words, counts)


def _counted(fit: LabelledStreams, horizon: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    counts = WordCounts(len(fit.classes))
    for i, label in enumerate(fit.labels.tolist()):
        start, stop = fit.offsets[i], min(fit.offsets[i + 1], fit.offsets[i] + horizon)
        counts.learn(fit.inputs[start:stop].tolist(), label)
    return counts.table(LEAST_COUNT)


def _choices(options: Ss3Options) -> list[Ss3Options]:
    """Return the options to try, those given first."""
    if not options.tune:
        return [options]
    others = (dict(zip(GRID, point, strict=True)) for point in product(*GRID.values()))
    tried = [options, *(msgspec.structs.replace(options, **values) for values in others)]
    return list(dict.fromkeys(tried))


class Tuning:
    """The steps of the tuning streams up to the horizon, and how well a vocabulary does there."""

    def __init__(self, tuning: LabelledStreams, horizon: int, log_share: Float64) -> None:
        lengths = np.minimum(tuning.lengths, horizon)
        stream = np.repeat(np.arange(len(tuning)), lengths)
        first = np.cumsum(lengths) - lengths
        steps = tuning.offsets[stream] + np.arange(len(stream)) - first[stream]
        self._posts = tuning.inputs[steps].tolist()
        self._stream, self._first = stream, first
        self._label = tuning.labels[stream]
        # The late answer is what early ones are held to: it weighs as much as all steps together.
        self._weight = 0.5 / (lengths[stream] * len(tuning))
        self._weight[np.cumsum(lengths) - 1] += 0.5 / len(tuning)
        self._log_share = log_share

    def fit(self, vocabulary: Vocabulary) -> tuple[float, Answer]:
        """Return the least loss, in nats, and the answer that has it."""
        sums = self._sums(vocabulary)
        fitted = [self._fit(damped(sums, damping), damping) for damping in DAMPINGS]
        return min(fitted, key=lambda found: found[0])

    def _sums(self, vocabulary: Vocabulary) -> Float64:
        """Return the summed values after every step, [C, steps]: what `step` would have."""
        gained = vocabulary.sums(vocabulary.read(self._posts), len(self._posts))
        running = np.cumsum(gained, axis=1)  # exact, as all sums of values are
        before = (running - gained)[:, self._first]
        return running - before[:, self._stream]

    def _fit(self, values: Float64, damping: Damping) -> tuple[float, Answer]:
        start = np.concatenate(([1.0], self._log_share))
        offset_bounds = [(-MOST_OFFSET, MOST_OFFSET)] * len(self._log_share)
        found = minimize(
            self._loss, start, args=(values,), jac=True, method="L-BFGS-B",
            bounds=[(0.0, MOST_SCALE), *offset_bounds],
        )  # fmt: skip
        offsets = tuple(found.x[1:].tolist())
        return float(found.fun), Answer(damping, float(found.x[0]), offsets)

    def _loss(self, parameters: Float64, values: Float64) -> tuple[float, Float64]:
        """Return the weighted cross-entropy plus the ridges, and its gradient."""
        scale, offsets = parameters[0], parameters[1:]
        logits = scale * values + offsets[:, np.newaxis]
        logits -= logits.max(axis=0)
        likelihood = np.exp(logits)
        total = likelihood.sum(axis=0)
        each = np.arange(len(self._label))
        loss = float(self._weight @ (np.log(total) - logits[self._label, each]))
        error = likelihood / total
        error[self._label, each] -= 1.0
        error *= self._weight
        away = offsets - self._log_share
        loss += OFFSET_RIDGE * float(away @ away) + SCALE_RIDGE * float(scale**2)
        gradient = np.concatenate(
            (
                [float((error * values).sum()) + 2 * SCALE_RIDGE * scale],
                error.sum(axis=1) + 2 * OFFSET_RIDGE * away,
            )
        )
        return loss, gradient

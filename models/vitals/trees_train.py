"""Growing the trees of `models.vitals.trees`; the only place here that needs scikit-learn.

Every step of every stream is a row to learn from, its class the one that was true at that step
where the data says so, else its stream's. The features of a row come from the very memory that
serves, so that a model never meets in service what it could not meet in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from models.errors import TrainingError
from models.parts import check_parts
from models.vitals.features import Features
from models.vitals.flattening import flat
from models.vitals.memory import Memory
from models.vitals.rows import learnable, plausible, rows
from models.vitals.trees import TreesClassifier
from models.vitals.trees_files import TreesDescription, TreesWeights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.protocol import LabelledStreams
    from models.vitals.options import TreesOptions
    from models.vitals.rows import Rows

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

SHARE_OF_ROWS = 50
"""A leaf need not hold more than this fraction of the rows."""
LEAST_PROBABILITY = 1e-15
THREADS = 1
"""Two wait for one another, and on busy cores took longer than one."""


def train(
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: TreesOptions,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> TreesClassifier:
    """Grow trees on `fit`; keep the first rounds, as many as have the least loss on `tuning`.

    The same arguments give the same trees. Raises TrainingError if there is nothing to learn from
    or a channel is asked for that the data has not.
    """
    used = _used(fit, tuning, options)
    columns = np.array([fit.channels.index(name) for name in used], np.intp)
    ranges = plausible(fit.inputs["values"][:, columns])
    memory = Memory(columns, ranges)
    features = Features(used, options.features)
    random = np.random.default_rng(options.seed)
    learned = rows(fit, memory, features, horizon, options.rows, random)
    held_out = rows(tuning, memory, features, horizon, options.rows, random)
    if len(np.unique(learned.labels)) < len(fit.classes):
        seen = [fit.classes[k] for k in np.unique(learned.labels)]
        message = f"the streams to fit are of {', '.join(seen)} only. Use a larger data set."
        raise TrainingError(message)
    fill = _fill(learned, options)
    matrices = [np.where(np.isnan(part.matrix), fill, part.matrix) for part in (learned, held_out)]
    allowed = np.flatnonzero(
        learnable(features, learned, fit.inputs["values"], fit.offsets, columns)
    )
    with threadpool_limits(limits=THREADS, user_api="openmp"):
        model = _grown(matrices[0][:, allowed], learned, options)
        rounds = _best(model, matrices[1][:, allowed], held_out)
    trees = flat(model, rounds, allowed)
    if advance is not None:
        advance(1)
    description = TreesDescription(fit.classes, fit.channels, used, options.features)
    return TreesClassifier(description, TreesWeights(trees, ranges, fill))


def _used(fit: LabelledStreams, tuning: LabelledStreams, options: TreesOptions) -> tuple[str, ...]:
    """Return the channels to look at, in the data's order; raises TrainingError."""
    check_parts(fit, tuning)
    if unknown := [name for name in options.channels if name not in fit.channels]:
        message = (
            f"`channels` names {', '.join(unknown)}; the data has: {', '.join(fit.channels)}. "
            "Correct `channels` under [classifier]."
        )
        raise TrainingError(message)
    wanted = set(options.channels or fit.channels)
    return tuple(name for name in fit.channels if name in wanted)


def _fill(learned: Rows, options: TreesOptions) -> Float32:
    """Return each feature's median where the trees must not see what is missing, else NaN."""
    fill = np.full(learned.matrix.shape[1], np.nan, np.float32)
    if options.features == "values":
        for column, there in enumerate((~np.isnan(learned.matrix)).T):
            fill[column] = np.median(learned.matrix[there, column]) if there.any() else 0.0
    return fill


def _grown(
    matrix: Float32, learned: Rows, options: TreesOptions
) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(
        learning_rate=options.learning_rate, max_iter=options.trees,
        max_leaf_nodes=options.leaves, l2_regularization=options.l2,
        min_samples_leaf=max(1, min(options.least_rows, len(matrix) // SHARE_OF_ROWS)),
        max_features=options.feature_share, early_stopping=False, random_state=options.seed,
    )  # fmt: skip
    return model.fit(matrix, learned.labels, sample_weight=learned.weights)


def _best(model: HistGradientBoostingClassifier, matrix: Float32, held_out: Rows) -> int:
    """Return after how many rounds the log loss on `held_out` is least."""
    losses = []
    place = np.arange(len(matrix)), held_out.labels
    for probabilities in model.staged_predict_proba(matrix):
        likelihood = np.maximum(probabilities[place], LEAST_PROBABILITY)
        losses.append(-np.average(np.log(likelihood), weights=held_out.weights))
    return int(np.argmin(losses)) + 1

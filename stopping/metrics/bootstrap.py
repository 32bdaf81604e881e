"""Bootstrap by subject: whose streams were drawn is what chance decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stopping.metrics.proportions import CONFIDENCE

if TYPE_CHECKING:
    from stopping.scores import FloatArray, IntArray

REPLICATES = 1000
_CELLS = 2_000_000
"""Weights held at a time."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Weights of the streams in b replicates, [b, n], to the statistic in each, [b]; NaN = none."""


def bootstrap_interval(
    statistic: Statistic, subjects: IntArray, *, seed: int, replicates: int = REPLICATES
) -> list[float] | None:
    """Return the percentile interval of a statistic, whole subjects drawn with replacement.

    Replicates in which the statistic does not exist are left out; None if it exists in none.

    >>> heads = np.array([1.0, 0.0, 1.0, 0.0])
    >>> mean = lambda weights: weights @ heads / weights.sum(axis=1)
    >>> bootstrap_interval(mean, np.array([0, 0, 1, 1]), seed=0)
    [0.5, 0.5]
    """
    _, subject = np.unique(subjects, return_inverse=True)
    n_subjects = int(subject.max()) + 1 if len(subject) else 0
    if not n_subjects:
        return None
    rng = np.random.default_rng(seed)
    values: list[FloatArray] = []
    at_once = max(1, _CELLS // max(n_subjects, len(subject)))
    for done in range(0, replicates, at_once):
        count = min(at_once, replicates - done)
        drawn = rng.integers(0, n_subjects, (count, n_subjects))
        drawn += np.arange(count)[:, None] * n_subjects
        times = np.bincount(drawn.ravel(), minlength=count * n_subjects)
        values.append(statistic(times.reshape(count, n_subjects)[:, subject].astype(np.float64)))
    found = np.concatenate(values)
    found = found[~np.isnan(found)]
    if not len(found):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return [float(low), float(high)]


def ratio(numerator: FloatArray, denominator: FloatArray) -> Statistic:
    """Return the statistic sum(numerator) / sum(denominator) over streams; both [n]."""

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        below = weights @ denominator
        above: NDArray[np.float64] = weights @ numerator
        return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)

    return statistic


def weighted_quantile(values: FloatArray, share: float) -> Statistic:
    """Return the statistic "least of `values` [n] that `share` of all do not exceed".

    Streams whose value is NaN do not take part; -inf counts as the least, and a quantile that
    falls on it does not exist.
    """
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    ranked = values[order].astype(np.float64)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(ranked):
            return np.full(len(weights), np.nan)
        up_to = weights[:, order].cumsum(axis=1)
        total = up_to[:, -1:]
        place = (up_to < share * total - 1e-9).sum(axis=1).clip(max=len(ranked) - 1)
        found = np.where(total[:, 0] > 0, ranked[place], np.nan)
        return np.where(np.isfinite(found), found, np.nan)

    return statistic

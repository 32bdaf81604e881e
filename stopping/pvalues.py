"""Exact binomial p-values: may a share of losses be called at most alpha, or above it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from stopping.scores import IntArray, check_level

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def p_value(losses: ArrayLike, n: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Return P(Bin(n, alpha) <= losses), the p-value against "the expected loss is above alpha".

    Exact for independent 0/1 losses; a count `n` that came about by chance may be taken as fixed.
    NaN where n = 0: nothing was seen.

    >>> p_value([0, 1, 3, 5], 100, 0.1).round(6).tolist()
    [2.7e-05, 0.000322, 0.007836, 0.057577]
    """
    return np.asarray(binom.cdf(losses, _seen(n), alpha), np.float64)


def p_value_above(losses: ArrayLike, n: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Return P(Bin(n, alpha) >= losses), the p-value against "the expected loss is at most alpha".

    NaN where n = 0.

    >>> p_value_above([0, 5, 20], 100, 0.1).round(4).tolist()
    [1.0, 0.9763, 0.002]
    """
    return np.asarray(binom.sf(np.asarray(losses) - 1, _seen(n), alpha), np.float64)


def exceeds(losses: int, n: int, alpha: float, *, significance: float = 0.01) -> bool:
    """Say whether `losses` of `n` refute "the expected loss is at most alpha".

    An exact one-sided binomial test; with no stream seen nothing is refuted.

    >>> exceeds(20, 100, 0.1), exceeds(15, 100, 0.1), exceeds(0, 0, 0.1)
    (True, False, False)
    """
    return n > 0 and bool(p_value_above(losses, n, alpha) <= significance)


def streams_needed(alpha: float, delta: float, losses: int = 0) -> int:
    """Return the least n for which `losses` losses among n streams are accepted at `delta`.

    With no loss that is ceil(ln delta / ln(1 - alpha)).

    Raises
    ------
    LevelError

    Examples
    --------
    >>> [streams_needed(0.1, 0.01, losses) for losses in range(6)]
    [44, 64, 81, 97, 113, 127]
    """
    alpha, delta = check_level("alpha", alpha), check_level("delta", delta)
    # p falls as n grows: bracket the crossing by doubling, then halve the bracket.
    low, high = losses, max(losses + 1, math.ceil(math.log(delta) / math.log1p(-alpha)))
    while p_value(losses, high, alpha) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if p_value(losses, middle, alpha) > delta:
            low = middle
        else:
            high = middle
    return high


def critical_counts(n: int, alpha: float, delta: float) -> IntArray:
    """Return for m = 0..n the most losses among m streams that are accepted; -1 = none is.

    ``losses <= critical_counts(n, alpha, delta)[m]`` holds exactly where
    ``p_value(losses, m, alpha) <= delta`` does, and is cheap; m = 0 is never accepted.

    >>> critical_counts(64, 0.1, 0.01)[[0, 43, 44, 63, 64]].tolist()
    [-1, -1, 0, 0, 1]
    """
    return np.concatenate([[-1], _critical(np.arange(1, n + 1), alpha, delta)])


def critical_count(n: int, alpha: float, delta: float) -> int:
    """Return the last of `critical_counts`, without the others.

    >>> critical_count(64, 0.1, 0.01), critical_count(0, 0.1, 0.01)
    (1, -1)
    """
    return int(_critical(np.array([n]), alpha, delta)[0]) if n else -1


def _critical(m: IntArray, alpha: float, delta: float) -> IntArray:
    counts: IntArray = binom.ppf(delta, m, alpha).astype(np.int64)
    # The quantile function may be off by one at its jumps: the p-value itself has the last word.
    while (low := (counts < m) & (p_value(counts + 1, m, alpha) <= delta)).any():
        counts += low
    while (high := (counts >= 0) & (p_value(counts, m, alpha) > delta)).any():
        counts -= high
    return counts


def _seen(n: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(n, np.float64)
    return np.where(counts > 0, counts, np.nan)

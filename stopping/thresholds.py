"""Grids of candidate thresholds, and when a stream halts under given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stopping.errors import ThresholdsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from stopping.scores import BoolArray, FloatArray, IntArray

GRID_STEP = 0.01


def conditional_grid(dtype: np.dtype[Any]) -> FloatArray:
    """Return the published grid of the conditional procedure, 0, 0.01, ..., 1, ascending.

    Multiples of 0.01 in double precision, then rounded to the type of the readiness, because
    that is what the readiness is compared with.

    >>> conditional_grid(np.dtype(np.float64))[[0, 1, 29, 100]].tolist()
    [0.0, 0.01, 0.29, 1.0]
    """
    return (np.arange(101) * GRID_STEP).astype(dtype)


def marginal_grid(dtype: np.dtype[Any]) -> FloatArray:
    """Return the published grid of the marginal procedure, in its order: 1, 0.99, ... downwards.

    It is made by subtracting 0.01 again and again in double precision for as long as the value is
    not negative. Rounding errors add up: the 11th value is a little below 0.9, there are 100
    values, the last one is a little below 0.01, and 0 is never among them.

    >>> grid = marginal_grid(np.dtype(np.float64))
    >>> len(grid), float(grid[10]), float(grid[-1])
    (100, 0.8999999999999999, 0.009999999999999247)
    """
    values = [1.0]
    while (below := values[-1] - GRID_STEP) >= 0:
        values.append(below)
    return np.array(values).astype(dtype)


def halt_steps(readiness: FloatArray, thresholds: ArrayLike, lengths: IntArray) -> IntArray:
    """Return the step, from 1, at which each stream halts.

    The first step whose readiness is at least its threshold; the stream's own last step if
    none is. Costs O(n T).

    Parameters
    ----------
    readiness : [n, T]
        As checked by `stopping.scores`.
    thresholds : [T] or scalar
        +inf = never; rounded to the type of `readiness` before they are compared.
    lengths : [n] int

    Raises
    ------
    ThresholdsError

    Examples
    --------
    >>> halt_steps(
    ...     np.array([[0.2, 0.6, 0.9], [0.8, 0.9, np.nan]]), [0.9, 0.5, 1], np.array([3, 2])
    ... )
    array([2, 2])
    """
    limits = np.asarray(thresholds).astype(readiness.dtype)
    if limits.ndim and limits.shape != readiness.shape[1:]:
        raise ThresholdsError(limits.size, readiness.shape[1])
    with np.errstate(invalid="ignore"):
        halts: BoolArray = readiness >= limits
    halts[np.arange(len(lengths)), lengths - 1] = True
    steps: IntArray = halts.argmax(axis=1) + 1
    return steps


def at_halt(values: NDArray[Any], steps: IntArray) -> NDArray[Any]:
    """Return each stream's value [n] at its own step (from 1) out of values [n, T].

    >>> at_halt(np.array([[1, 2, 3], [4, 5, 6]]), np.array([1, 3])).tolist()
    [1, 6]
    """
    return values[np.arange(len(steps)), steps - 1]

"""When a one-sided rule raises a stream: thresholds that are reached, and nothing by force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stopping.errors import LabelError, ShapeError, ThresholdsError
from stopping.scores import (
    BoolArray,
    FloatArray,
    IntArray,
    check_integers,
    check_lengths,
    check_matrix,
    check_readiness,
    inside,
)
from stopping.signals.rounding import STEPS_PER_UNIT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class AlarmScores:
    """How ready streams were for the alarm, and which deserve it; build it by `checked_alarms`."""

    readiness: FloatArray
    """[n, T], float32 or float64; -inf = not eligible at this step."""
    positive: BoolArray
    """[n]: is the alarm right for this stream."""
    lengths: IntArray
    """[n], each in 1..T; what stands past a stream's length is never read."""

    @property
    def n(self) -> int:
        """Number of streams."""
        return len(self.lengths)

    @property
    def horizon(self) -> int:
        """T, the most steps a stream can have."""
        return int(self.readiness.shape[1])

    def rows(self, rows: IntArray | BoolArray) -> AlarmScores:
        """Return the given streams only, in the given order."""
        return AlarmScores(self.readiness[rows], self.positive[rows], self.lengths[rows])


def checked_alarms(
    readiness: ArrayLike, positive: ArrayLike, lengths: ArrayLike | None = None
) -> AlarmScores:
    """Return the three arrays as `AlarmScores`, or say what is wrong with them.

    `positive` [n] is bool, or integers 0 and 1; the rest as for `stopping.scores.checked`, with
    readiness in [0, 1] or -inf.

    Raises
    ------
    ShapeError, ReadinessError, LabelError
    """
    matrix = check_matrix("readiness", readiness)
    truth = check_integers("positive", positive, matrix.shape[:1])
    for stream in np.flatnonzero((truth < 0) | (truth > 1))[:1]:
        raise LabelError("positive", int(truth[stream]), int(stream))
    steps = check_lengths(lengths, *matrix.shape)
    check_readiness(matrix, steps, unit_interval=True)
    return AlarmScores(matrix, truth == 1, steps)


def alarm_grid(dtype: np.dtype[Any]) -> FloatArray:
    """Return every value that a signal can give, 1, 1 - 2^-16, ..., 0: the thresholds to try.

    Fixed before any stream is seen, and fine enough for rare events, whose probabilities crowd
    near 0. All values are exact in float32 too.

    >>> grid = alarm_grid(np.dtype(np.float64))
    >>> len(grid), grid[:2].tolist(), float(grid[-1])
    (65537, [1.0, 0.9999847412109375], 0.0)
    """
    return (np.arange(int(STEPS_PER_UNIT), -1, -1) / STEPS_PER_UNIT).astype(dtype)


def highest(scores: AlarmScores) -> FloatArray:
    """Return the largest readiness of each stream within its length, [n]; -inf if it has none.

    Under one threshold for all steps a stream is raised exactly if this reaches it.
    """
    eligible = inside(scores.lengths, scores.horizon)
    largest: FloatArray = np.where(eligible, scores.readiness, -np.inf).max(axis=1)
    return largest


def raise_steps(readiness: FloatArray, thresholds: ArrayLike, lengths: IntArray) -> IntArray:
    """Return the step, from 1, at which each stream is raised; 0 = never.

    The first step within the stream's length, its last one included, whose readiness is at least
    its threshold. Costs O(n T).

    Parameters
    ----------
    readiness : [n, T]
        As checked by `checked_alarms`.
    thresholds : [T] or scalar
        +inf = never; rounded to the type of `readiness` before they are compared.
    lengths : [n] int

    Raises
    ------
    ThresholdsError

    Examples
    --------
    >>> readiness = np.array([[0.2, 0.6, 0.9], [0.1, 0.2, 0.9], [0.1, 0.9, np.nan]])
    >>> raise_steps(readiness, [0.9, 0.5, 0.95], np.array([3, 3, 2]))
    array([2, 0, 2])
    """
    limits = np.asarray(thresholds).astype(readiness.dtype)
    if limits.ndim and limits.shape != readiness.shape[1:]:
        raise ThresholdsError(limits.size, readiness.shape[1])
    with np.errstate(invalid="ignore"):
        raised = (readiness >= limits) & inside(lengths, readiness.shape[1])
    steps: IntArray = np.where(raised.any(axis=1), raised.argmax(axis=1) + 1, 0)
    return steps


def check_raise_steps(raised_step: ArrayLike, lengths: IntArray) -> IntArray:
    """Return `raised_step` [n] as int64: 0 = never raised, else a step that the stream has.

    Raises
    ------
    ShapeError
    """
    steps = check_integers("raised_step", raised_step, lengths.shape)
    if (steps < 0).any() or (steps > lengths).any():
        wanted = "0 (never raised) or a step the stream has"
        raise ShapeError("raised_step", "outside 0..length for some stream", wanted)
    return steps

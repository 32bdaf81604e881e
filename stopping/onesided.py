"""One-sided control: only the alarm may be raised early, and false alarms are kept rare.

What is promised and why it holds: `docs/science/one-sided.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.conditional import split
from stopping.issue import check_mode
from stopping.onesided_issue import issue_one_sided
from stopping.precision import calibrate_precision
from stopping.pvalues import critical_count
from stopping.raising import alarm_grid, checked_alarms, highest
from stopping.scores import FloatArray, check_level

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stopping.certificate import Certificate


SCREENING_PART = 3
"""One stream in so many is screened on; the others test, which is what needs positives."""


def calibrate_one_sided(
    readiness: ArrayLike,
    positive: ArrayLike,
    lengths: ArrayLike | None,
    alpha: float,
    delta: float,
    *,
    precision: float | None = None,
    mode: str = "reference",
    seed: int = 0,
    shuffle: bool = True,
) -> Certificate:
    """Choose thresholds so that at most `alpha` of the negatives are ever raised.

    A stream is raised at the first step, its last one included, whose readiness is at least that
    step's threshold. With `precision`, at least that share of the streams raised by step t are
    positive too, for every t by which any is raised. Both promises hold together with probability
    at least 1 - delta over the draw of these streams, if they are exchangeable with the traffic.

    Without `precision` all negatives are used for testing and one threshold holds at all steps;
    O(n T + K) for K = 2^16 + 1 thresholds. With it, rules are put in order on a third of the
    streams and tested on the others, see `stopping.precision`.

    Parameters
    ----------
    readiness : [n, T] float32 or float64
        In [0, 1], or -inf where a step is not eligible; NaN only past a stream's length. Best from
        the signal ``alarm``.
    positive : [n] bool
        Is the alarm right for this stream.
    lengths : [n] int or None
        Steps of each stream; None = T for all.
    alpha, delta
        Level and 1 - confidence, both in (0, 1).
    precision
        Least share of positives among those raised by any step, in (0, 1); None = not promised.
    mode
        ``reference``; there is no other yet.
    seed
        Of the permutation whose first n // 3 rows are the screening part; only with `precision`.
    shuffle
        False keeps the order, as for `stopping.conditional.calibrate_conditional`.

    Raises
    ------
    LevelError, ModeError, ShapeError, ReadinessError, LabelError

    Examples
    --------
    >>> readiness = np.array([[0.1, 0.2]] * 60 + [[0.1, 0.7]] * 3 + [[0.3, 0.8]] * 20)
    >>> positive = np.arange(83) >= 63
    >>> certificate = calibrate_one_sided(readiness, positive, None, 0.1, 0.05)
    >>> certificate.thresholds
    (0.7000122070312..., 0.7000122070312...)
    >>> certificate.halted
    Tally(halted=(0, 20), losses=(0, 0))
    """
    alpha, delta = check_level("alpha", alpha), check_level("delta", delta)
    known_mode = check_mode(mode)
    scores = checked_alarms(readiness, positive, lengths)
    found = None
    if precision is None:
        screening = np.zeros(0, np.int64)
        worst = highest(scores)[~scores.positive]
        grid = alarm_grid(scores.readiness.dtype)
        thresholds = np.full(scores.horizon, walk_down(worst, grid, alpha, delta))
    else:
        level = check_level("precision", precision)
        screening, testing = split(scores.n, seed if shuffle else None, SCREENING_PART)
        thresholds, found = calibrate_precision(
            scores.rows(screening), scores.rows(testing), alpha, delta, level
        )
    return issue_one_sided(
        scores,
        thresholds,
        mode=known_mode,
        alpha=alpha,
        delta=delta,
        screening=screening,
        seed=seed if precision is not None and shuffle else None,
        precision=found,
    )


def walk_down(worst: FloatArray, grid: FloatArray, alpha: float, delta: float) -> float:
    """Walk down the descending `grid` until a test fails; return the last value that passed.

    `worst` [n_negative] is the largest readiness of each negative. Each value is tested at the
    full level `delta`: the order is fixed beforehand, and nothing behind the first failure is
    tested. +inf if the very first fails.
    """
    false_alarms = len(worst) - np.searchsorted(np.sort(worst), grid, side="left")
    accepted = false_alarms <= critical_count(len(worst), alpha, delta)
    passed = len(grid) if accepted.all() else int(accepted.argmin())
    return float(grid[passed - 1]) if passed else np.inf

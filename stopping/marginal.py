"""Marginal control: one threshold for all steps, by fixed-sequence Learn-then-Test.

Source of the procedure: Ringel, Cohen, Freedman, Elad, Romano, "Early Time Classification with
Accumulated Accuracy Gap Control", ICML 2024. Its code derives every halt step again for every
candidate, O(K n T) for K candidates; `count_losses` finds all the loss counts in one sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.issue import check_mode, find_baseline, issue
from stopping.pvalues import critical_count
from stopping.scores import FloatArray, IntArray, Scores, check_level, checked
from stopping.thresholds import marginal_grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stopping.certificate import Certificate


def calibrate_marginal(
    readiness: ArrayLike,
    loss: ArrayLike,
    lengths: ArrayLike | None,
    alpha: float,
    delta: float,
    *,
    mode: str = "reference",
    loss_name: str = "gap",
    baseline_loss: ArrayLike | None = None,
    label: ArrayLike | None = None,
) -> Certificate:
    """Choose one threshold so that the expected loss is at most `alpha`.

    The promise holds with probability at least 1 - delta over the draw of these streams, if they
    are exchangeable with the traffic. All of them are used for testing. Costs O(n T log K).

    Parameters
    ----------
    readiness : [n, T] float32 or float64
        In [0, 1], or -inf where a step is not eligible; NaN only past a stream's length.
    loss : [n, T] bool
        Loss of halting at each step, for example `stopping.losses.accuracy_gap_loss`.
    lengths : [n] int or None
        Steps of each stream; None = T for all.
    alpha, delta
        Level and 1 - confidence, both in (0, 1).
    mode
        ``reference``, the published procedure.
    loss_name
        Name that the certificate gives the loss.
    baseline_loss, label : [n], optional
        `stopping.losses.majority_loss` and the labels; with them the certificate says whether
        the level is vacuous.

    Raises
    ------
    LevelError, ModeError, ShapeError, ReadinessError

    Examples
    --------
    >>> readiness = np.tile([[0.95, 1.0]], (50, 1))
    >>> calibrate_marginal(readiness, np.zeros((50, 2), bool), None, 0.1, 0.01).thresholds
    (0.009999999999999247, None)
    """
    alpha, delta = check_level("alpha", alpha), check_level("delta", delta)
    known_mode = check_mode(mode)
    scores = checked(readiness, loss, lengths, unit_interval=True)
    grid = marginal_grid(scores.readiness.dtype)
    return issue(
        scores,
        np.full(scores.horizon, walk(scores, grid, alpha, delta)),
        control="marginal",
        mode=known_mode,
        loss_name=loss_name,
        alpha=alpha,
        delta=delta,
        grid=grid,
        screening=np.zeros(0, np.int64),
        seed=None,
        baseline=find_baseline(baseline_loss, label, scores.n),
    )


def walk(scores: Scores, grid: FloatArray, alpha: float, delta: float) -> float:
    """Walk down the descending `grid` until a test fails; return the last value that passed.

    +inf if the very first fails. Each value is tested at the full level `delta`: the order is
    fixed beforehand, and nothing behind the first failure is tested.
    """
    accepted = count_losses(scores, grid) <= critical_count(scores.n, alpha, delta)
    passed = len(grid) if accepted.all() else int(accepted.argmin())
    return float(grid[passed - 1]) if passed else np.inf


def count_losses(scores: Scores, grid: FloatArray) -> IntArray:
    """Return for each threshold of the descending `grid` how many streams halt at a loss; [K].

    A stream halts at step t under exactly those thresholds that lie above the running maximum of
    its readiness before t and not above the one at t: a range of the grid. So every (stream, step)
    with a loss adds one to a range, and one cumulative sum over range ends gives all the counts.
    """
    ascending = grid[::-1]
    existing = np.arange(scores.horizon) < scores.lengths[:, None]
    running = np.maximum.accumulate(np.where(existing, scores.readiness, -np.inf), axis=1)
    stop = np.searchsorted(ascending, running, side="right")
    stop[np.arange(scores.n), scores.lengths - 1] = len(grid)  # the last step takes the rest
    start = np.zeros_like(stop)
    start[:, 1:] = stop[:, :-1]

    lost = scores.loss & existing & (stop > start)
    ends = np.bincount(start[lost], minlength=len(grid) + 1)
    ends -= np.bincount(stop[lost], minlength=len(grid) + 1)
    return ends.cumsum()[:-1][::-1]

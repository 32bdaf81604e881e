"""Conditional control: one threshold a step, by screening on one part and testing on another.

Source of the procedure: Ringel, Cohen, Freedman, Elad, Romano, "Early Time Classification with
Accumulated Accuracy Gap Control", ICML 2024. Its code derives every halt step again for every
candidate and every test, O(K n T^2) and O(n T^3). Here a stream that has halted is frozen into two
counters, so that screening costs O(n T log K) and testing O(n T + T^2); the thresholds are the
same to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.issue import check_mode, find_baseline, issue
from stopping.pvalues import critical_counts
from stopping.scores import BoolArray, FloatArray, IntArray, Scores, check_level, checked
from stopping.thresholds import at_halt, conditional_grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stopping.certificate import Certificate


def calibrate_conditional(
    readiness: ArrayLike,
    loss: ArrayLike,
    lengths: ArrayLike | None,
    alpha: float,
    delta: float,
    *,
    mode: str = "reference",
    seed: int = 0,
    shuffle: bool = True,
    loss_name: str = "gap",
    baseline_loss: ArrayLike | None = None,
    label: ArrayLike | None = None,
) -> Certificate:
    """Choose thresholds so that the expected loss among streams halted by t is at most `alpha`.

    For every t at once, with probability at least 1 - delta over the draw of these streams, if
    they are exchangeable with the traffic. Costs O(n T log K + T^2) for K = 101 candidates.

    Parameters
    ----------
    readiness, loss, lengths, alpha, delta, mode, loss_name, baseline_loss, label
        As for `stopping.marginal.calibrate_marginal`.
    seed
        Of the permutation whose first n // 2 rows are the screening part.
    shuffle
        False keeps the order: the screening part is the first n // 2 rows as given. Only for rows
        that stand in random order already.

    Raises
    ------
    LevelError, ModeError, ShapeError, ReadinessError

    Examples
    --------
    >>> readiness = np.tile([[0.2, 0.9, 1.0]], (100, 1))
    >>> loss = np.tile([[True, False, False]], (100, 1))
    >>> calibrate_conditional(readiness, loss, None, 0.1, 0.01).thresholds
    (None, 0.0, None)
    """
    alpha, delta = check_level("alpha", alpha), check_level("delta", delta)
    known_mode = check_mode(mode)
    scores = checked(readiness, loss, lengths, unit_interval=True)
    screening, testing = split(scores.n, seed if shuffle else None)
    grid = conditional_grid(scores.readiness.dtype)
    candidates = screen(scores.rows(screening), grid, alpha)
    return issue(
        scores,
        accept(scores.rows(testing), candidates, alpha, delta),
        control="conditional",
        mode=known_mode,
        loss_name=loss_name,
        alpha=alpha,
        delta=delta,
        grid=grid,
        screening=screening,
        seed=seed if shuffle else None,
        baseline=find_baseline(baseline_loss, label, scores.n),
    )


def split(n: int, seed: int | None, parts: int = 2) -> tuple[IntArray, IntArray]:
    """Return the rows of the screening part, the first n // parts, and of the testing part.

    >>> split(5, None)
    (array([0, 1]), array([2, 3, 4]))
    """
    rows = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    return rows[: n // parts], rows[n // parts :]


def screen(scores: Scores, grid: FloatArray, alpha: float) -> FloatArray:
    """Stage 1: return the candidate threshold of each step, [T]; +inf where there is none.

    Going forward in time, the smallest value of the ascending `grid` under which the mean loss
    among the streams halted so far is at most `alpha`, given the candidates of earlier steps.
    A value under which no stream has halted yet says nothing, and neither does any larger one.
    """
    candidates = np.full(scores.horizon, np.inf, grid.dtype)
    alive = np.arange(scores.n)
    n_halted = n_lost = 0
    for t in range(scores.horizon):
        ends = scores.lengths[alive] == t + 1
        lost = scores.loss[alive, t]
        # Under grid[j] a stream halts here if it ends here or if `within` > j.
        within = np.searchsorted(grid, scores.readiness[alive, t], side="right")
        within[ends] = len(grid)
        halted = n_halted + _count_above(within, len(grid))
        losses = n_lost + _count_above(within[lost], len(grid))
        feasible = (halted > 0) & (losses / np.maximum(halted, 1) <= alpha)
        halts = ends
        if feasible.any():
            first = int(feasible.argmax())
            candidates[t] = grid[first]
            halts = within > first
        n_halted += int(halts.sum())
        n_lost += int((halts & lost).sum())
        alive = alive[~halts]
    return candidates


def accept(scores: Scores, candidates: FloatArray, alpha: float, delta: float) -> FloatArray:
    """Stage 2: return the candidates that pass testing, [T]; +inf before the first that fails.

    Going backwards in time, a step's candidate is accepted if, with it and the later ones in
    force, the test of "mean loss above alpha among the streams halted by t" rejects at level
    `delta` for every t from that step on. No price is paid for many tests: to be wrong, one true
    hypothesis must be rejected, whichever it is. The first failure stops everything, and so does
    a set without any stream.
    """
    horizon = scores.horizon
    limits = critical_counts(scores.n, alpha, delta)
    steps = scores.lengths - 1  # under the thresholds accepted so far; from 0
    lost = at_halt(scores.loss, scores.lengths)
    halted_at, lost_at = _histograms(steps, lost, horizon)
    accepted = np.full(horizon, np.inf, candidates.dtype)
    for t in reversed(range(horizon)):
        moved = (scores.lengths > t + 1) & (scores.readiness[:, t] >= candidates[t])
        for sign, s, g in (
            (-1, steps[moved], lost[moved]),
            (+1, np.full(int(moved.sum()), t), scores.loss[moved, t]),
        ):
            halted_change, lost_change = _histograms(s, g, horizon)
            halted_at += sign * halted_change
            lost_at += sign * lost_change
        steps[moved], lost[moved] = t, scores.loss[moved, t]
        if (lost_at.cumsum()[t:] > limits[halted_at.cumsum()[t:]]).any():
            break
        accepted[t] = candidates[t]
    return accepted


def _count_above(values: IntArray, size: int) -> IntArray:
    """Return for each j < size how many of `values`, each in 0..size, are above j."""
    return np.bincount(values, minlength=size + 1)[::-1].cumsum()[::-1][1:]


def _histograms(steps: IntArray, lost: BoolArray, horizon: int) -> tuple[IntArray, IntArray]:
    return (
        np.bincount(steps, minlength=horizon),
        np.bincount(steps[lost], minlength=horizon),
    )

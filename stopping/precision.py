"""Precision beside the false-alarm rate: rules put in order on one part, tested on the other.

A rule is a pair (opening, threshold): from step `opening` on, a stream is raised where its
readiness is at least the threshold. It keeps both promises if none of these hypotheses holds:
"more than alpha of the negatives are raised", and for every step t from the opening on "more than
1 - level of those raised by t are negative". All are tested at delta, and the rule is accepted if
all are rejected (intersection-union).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stopping.onesided_certificate import Precision, Tried
from stopping.pvalues import p_value, streams_needed
from stopping.raising import highest, raise_steps
from stopping.scores import BoolArray, FloatArray, IntArray, inside

if TYPE_CHECKING:
    from stopping.raising import AlarmScores

MOST_OPENINGS = 32
MOST_THRESHOLDS = 64


@dataclass(frozen=True, slots=True)
class Rule:
    """One candidate, and how sure the screening part is of it."""

    opening: int
    threshold: float
    p_screening: float

    def thresholds(self, horizon: int) -> FloatArray:
        """Return the rule as [T] thresholds."""
        return np.where(np.arange(1, horizon + 1) >= self.opening, self.threshold, np.inf)


def calibrate_precision(
    screening: AlarmScores, testing: AlarmScores, alpha: float, delta: float, level: float
) -> tuple[FloatArray, Precision]:
    """Return thresholds [T], all +inf if no rule is accepted, and what they were tested on.

    The path found on `screening` is walked on `testing` until a rule fails; the last one accepted
    is the result. Costs O(S n T + S L T) for S openings and L thresholds.
    """
    horizon = testing.horizon
    thresholds = np.full(horizon, np.inf)
    tried: list[Tried] = []
    accepted = 0
    for rule in find_path(screening, alpha, level):
        candidate = rule.thresholds(horizon)
        steps = raise_steps(testing.readiness, candidate, testing.lengths)
        p_testing = _largest_p(testing, steps, rule.opening, alpha, level)
        n_raised = int((steps > 0).sum())
        n_false = int((steps[~testing.positive] > 0).sum())
        found = (rule.opening, rule.threshold, rule.p_screening, p_testing, n_raised, n_false)
        tried.append(Tried(*found))
        if p_testing > delta:
            break
        thresholds, accepted = candidate, len(tried)
    steps = raise_steps(testing.readiness, thresholds, testing.lengths)
    by_step = _precision_p_values(testing, steps, level)
    return thresholds, Precision(
        level=level,
        needed_raised=streams_needed(1 - level, delta),
        p_values=tuple(None if np.isnan(p) else float(p) for p in by_step),
        tried=tuple(tried),
        accepted=accepted,
    )


def find_path(scores: AlarmScores, alpha: float, level: float) -> list[Rule]:
    """Return the rules to test, from the surest to the most sensitive.

    Of all candidates, ordered by their largest p-value (ties: higher threshold, later opening
    first), those that raise more positives than every surer one, or as many and sooner. Candidates
    that no count could support, with a p-value of 1, are left out.
    """
    openings, thresholds = candidate_openings(scores.horizon), candidate_thresholds(scores)
    found: list[tuple[float, float, int, tuple[int, int]]] = []
    for opening in openings:
        screened = _screen_opening(scores, int(opening), thresholds, alpha, level)
        found += [
            (float(p), -float(threshold), -int(opening), (-int(n_right), int(waited)))
            for threshold, p, n_right, waited in zip(thresholds, *screened, strict=True)
            if p < 1
        ]
    path: list[Rule] = []
    best = (0, 0)  # positives raised, as a negative number, and the sum of their raise steps
    for p, threshold, opening, gain in sorted(found):
        if gain < best:
            best = gain
            path.append(Rule(-opening, -threshold, p))
    return path


def candidate_openings(horizon: int) -> IntArray:
    """Return all steps, or `MOST_OPENINGS` of them, evenly spaced.

    >>> candidate_openings(3).tolist(), len(candidate_openings(336))
    ([1, 2, 3], 32)
    """
    spaced = np.linspace(1, horizon, min(horizon, MOST_OPENINGS)).round()
    return np.unique(spaced.astype(np.int64))


def candidate_thresholds(scores: AlarmScores) -> FloatArray:
    """Return the largest readiness of each positive, ascending; `MOST_THRESHOLDS` of them at most.

    Lowering a threshold between two of these raises no further positive at all.
    """
    values = np.unique(highest(scores)[scores.positive])
    values = values[values > -np.inf]
    if len(values) > MOST_THRESHOLDS:
        values = values[np.linspace(0, len(values) - 1, MOST_THRESHOLDS).round().astype(np.int64)]
    return values


def _screen_opening(
    scores: AlarmScores, opening: int, thresholds: FloatArray, alpha: float, level: float
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return for each ascending threshold its largest p-value, positives raised and their steps.

    A stream is raised at step t under exactly those thresholds that its running maximum from the
    opening on reaches at t and not before: a range of them. One cumulative sum over the ends of
    these ranges gives all counts.
    """
    size = len(thresholds)
    within = inside(scores.lengths, scores.horizon)
    within[:, : opening - 1] = False
    values = np.where(within, scores.readiness, -np.inf)
    reached = np.maximum.accumulate(np.searchsorted(thresholds, values, side="right"), axis=1)
    before = np.zeros_like(reached)
    before[:, 1:] = reached[:, :-1]

    def raised_at(rows: BoolArray) -> IntArray:
        counts = np.zeros((scores.horizon, size + 1), np.int64)
        _, column = moved = np.nonzero(reached[rows] > before[rows])
        np.add.at(counts, (column, before[rows][moved]), 1)
        np.add.at(counts, (column, reached[rows][moved]), -1)
        return counts.cumsum(axis=1)[:, :-1]

    right, wrong = raised_at(scores.positive), raised_at(~scores.positive)
    false_alarms = wrong.cumsum(axis=0)
    raised = right.cumsum(axis=0) + false_alarms
    by_step = p_value(false_alarms, raised, 1 - level)[opening - 1 :]
    n_negative = int((~scores.positive).sum())
    overall = p_value(false_alarms[-1], n_negative, alpha)
    largest = np.nan_to_num(np.vstack([by_step, overall]), nan=1.0).max(axis=0)
    steps = np.arange(1, scores.horizon + 1)
    return largest, right.sum(axis=0), steps @ right


def _largest_p(
    scores: AlarmScores, steps: IntArray, opening: int, alpha: float, level: float
) -> float:
    """Return the largest p-value of all tests; 1 where there is nothing to test."""
    negative = ~scores.positive
    overall = p_value((negative & (steps > 0)).sum(), negative.sum(), alpha)
    by_step = _precision_p_values(scores, steps, level)[opening - 1 :]
    return float(np.nan_to_num([overall, *by_step], nan=1.0).max())


def _precision_p_values(scores: AlarmScores, steps: IntArray, level: float) -> FloatArray:
    """Return the p-value against too many negatives among those raised by each step, [T]."""
    raised = steps > 0
    size = scores.horizon + 1
    by_step = np.bincount(steps[raised], minlength=size)[1:].cumsum()
    false_alarms = np.bincount(steps[raised & ~scores.positive], minlength=size)[1:].cumsum()
    return p_value(false_alarms, by_step, 1 - level)

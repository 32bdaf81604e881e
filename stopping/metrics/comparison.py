"""A second model on the same streams, at the false-alarm rate of the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stopping.metrics.bootstrap import bootstrap_interval
from stopping.raising import checked_alarms, highest
from stopping.scores import BoolArray, FloatArray, check_integers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sensitivities at one false-alarm rate."""

    false_alarm_rate: float
    sensitivity: float
    """Of the first rule."""
    other_sensitivity: float
    other_interval: list[float] | None
    difference: float
    """`sensitivity` - `other_sensitivity`, on the same streams."""
    difference_interval: list[float] | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "false_alarm_rate": self.false_alarm_rate,
            "sensitivity": self.sensitivity,
            "other_sensitivity": self.other_sensitivity,
            "other_sensitivity_interval": self.other_interval,
            "difference": self.difference,
            "difference_interval": self.difference_interval,
        }


def compare_at_equal_false_alarms(
    raised: ArrayLike,
    readiness: ArrayLike,
    positive: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    subjects: ArrayLike | None = None,
    seed: int = 0,
) -> Comparison | None:
    """Return how a second model fares if it may raise as many negatives as the first rule did.

    The second model raises where its readiness reaches one threshold, which is read off these very
    streams so that its false-alarm rate is that of the first: a favour to it, so that a difference
    is no artefact of calibration. Where the rate falls between two thresholds, its sensitivity is
    interpolated, as if ties were broken by a coin. Intervals are by subject, with the threshold
    read off anew in each replicate. None without positives or without negatives.

    Parameters
    ----------
    raised : [n] bool
        Whom the first rule raised.
    readiness : [n, T]
        Of the second model; as for `stopping.onesided.calibrate_one_sided`.
    positive, lengths, subjects
        As for `stopping.metrics.one_sided.report_one_sided`.

    Examples
    --------
    >>> found = compare_at_equal_false_alarms(
    ...     [True, True, True, False], [[0.9], [0.2], [0.5], [0.3]], [1, 1, 0, 0]
    ... )
    >>> found.false_alarm_rate, found.sensitivity, found.other_sensitivity, found.difference
    (0.5, 1.0, 0.5, 0.5)
    """
    scores = checked_alarms(readiness, positive, lengths)
    first = check_integers("raised", raised, (scores.n,)) == 1
    if not scores.positive.any() or scores.positive.all():
        return None
    whose = np.arange(scores.n) if subjects is None else subjects
    subject = check_integers("subjects", whose, (scores.n,))
    other = _EqualRate(highest(scores), scores.positive, first)

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return other.own_sensitivity(weights) - other.sensitivity(weights)

    once = np.ones((1, scores.n))
    return Comparison(
        false_alarm_rate=float(first[~scores.positive].mean()),
        sensitivity=float(other.own_sensitivity(once)[0]),
        other_sensitivity=float(other.sensitivity(once)[0]),
        other_interval=bootstrap_interval(other.sensitivity, subject, seed=seed),
        difference=float(difference(once)[0]),
        difference_interval=bootstrap_interval(difference, subject, seed=seed),
    )


class _EqualRate:
    """Sensitivities as functions of the streams' weights [b, n]; NaN where a kind is missing."""

    def __init__(self, score: FloatArray, positive: BoolArray, raised: BoolArray) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._last_of_tie = np.append(ranked[1:] != ranked[:-1], np.True_)
        self._positive, self._raised = positive, raised

    def own_sensitivity(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of positives that the first rule raised, [b]."""
        return _divide(weights @ (self._positive & self._raised), weights @ self._positive)

    def sensitivity(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return that of the second model at the first rule's false-alarm rate, [b]."""
        negative = ~self._positive
        allowed = weights @ (negative & self._raised)
        ranked = weights[:, self._order]
        right = self._up_to(ranked * self._positive[self._order])
        wrong = self._up_to(ranked * negative[self._order])
        # The last threshold whose false alarms are allowed, and the way to the next one.
        k = (wrong <= allowed[:, None]).sum(axis=1) - 1
        after = np.minimum(k + 1, wrong.shape[1] - 1)
        rows = np.arange(len(weights))
        step = wrong[rows, after] - wrong[rows, k]
        part = np.divide(allowed - wrong[rows, k], step, out=np.zeros(len(k)), where=step > 0)
        found = right[rows, k] + part * (right[rows, after] - right[rows, k])
        return _divide(found, weights @ self._positive)

    def _up_to(self, counted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums over all that reach each threshold, [b, 1 + thresholds], 0 first."""
        sums = counted.cumsum(axis=1)[:, self._last_of_tie]
        return np.hstack([np.zeros((len(sums), 1)), sums])


def _divide(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)

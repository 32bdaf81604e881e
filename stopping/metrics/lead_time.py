"""How long before its event a stream was raised, the missed counted with the detected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stopping.metrics.bootstrap import Statistic, bootstrap_interval, weighted_quantile

if TYPE_CHECKING:
    from stopping.scores import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class LeadTime:
    """Lead times of the streams that have an event: event minus alarm, negative = too late.

    Quantiles are observed values: the least one that the share does not exceed. `median` and `iqr`
    are over the detected; `median_with_missed` counts each missed stream below every lead time,
    and is None where at least half were missed.
    """

    median: float | None
    median_interval: list[float] | None
    iqr: list[float] | None
    median_with_missed: float | None
    n_detected: int
    n_missed: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; times in hours, or in steps where the clock is not known."""
        return {
            "median": self.median,
            "median_interval": self.median_interval,
            "iqr": self.iqr,
            "median_with_missed": self.median_with_missed,
            "n_detected": self.n_detected,
            "n_missed": self.n_missed,
        }


def lead_time(
    raised_h: FloatArray, event_h: FloatArray, subjects: IntArray, *, seed: int
) -> LeadTime:
    """Return the lead times of the streams with an event.

    Parameters
    ----------
    raised_h : [n]
        When each stream was raised, whether by its event or later; NaN = never.
    event_h : [n]
        When its event was; NaN = it has none, or none that is known.
    subjects : [n] int
        Whose stream it is, for the interval.

    Examples
    --------
    >>> found = lead_time(
    ...     np.array([2.0, 7.0, np.nan, 1.0]),
    ...     np.array([8.0, 6.0, 5.0, np.nan]),
    ...     np.arange(4),
    ...     seed=0,
    ... )
    >>> found.median, found.iqr, found.n_detected, found.n_missed
    (-1.0, [-1.0, 6.0], 2, 1)
    """
    known = ~np.isnan(event_h)
    detected: BoolArray = known & ~np.isnan(raised_h)
    leads = np.where(detected, event_h - raised_h, np.nan)
    with_missed = np.where(known & ~detected, -np.inf, leads)
    median = weighted_quantile(leads, 0.5)
    quartiles = [_once(weighted_quantile(leads, share), leads) for share in (0.25, 0.75)]
    low, high = quartiles
    return LeadTime(
        median=_once(median, leads),
        median_interval=bootstrap_interval(median, subjects, seed=seed),
        iqr=None if low is None or high is None else [low, high],
        median_with_missed=_once(weighted_quantile(with_missed, 0.5), leads),
        n_detected=int(detected.sum()),
        n_missed=int((known & ~detected).sum()),
    )


def _once(statistic: Statistic, like: FloatArray) -> float | None:
    value = float(statistic(np.ones((1, len(like))))[0])
    return None if np.isnan(value) else value

"""What the alarms of a one-sided rule are worth: the figures of `bench.sepsis`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from detectors.evaluate import interval
from stopping.pvalues import p_value_above

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.protocol import LabelledStreams

DRAWS, AUROC_DRAWS = 2000, 200
"""Of patients, with replacement, for an interval."""
CONFIDENCE = (0.025, 0.975)
HOURS_A_DAY = 24


@dataclass(frozen=True)
class Answers:
    """What a rule did on n streams."""

    readiness: NDArray[np.float64]
    """[n, T]; NaN past a stream's end."""
    lengths: NDArray[np.int64]
    first_positive: NDArray[np.int64]
    """Row, from 0, at which the alarm is due; -1 = never, [n]."""
    raised: NDArray[np.int64]
    """Step, from 1, of the alarm; 0 = none, [n]."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether the alarm is right, [n]."""
        return self.first_positive >= 0

    @property
    def highest(self) -> NDArray[np.float64]:
        """Largest readiness of each stream, [n]."""
        return np.asarray(np.nanmax(self.readiness, axis=1))

    def rows(self, rows: NDArray[np.int64]) -> Answers:
        """Return those streams."""
        return replace(
            self, readiness=self.readiness[rows], lengths=self.lengths[rows],
            first_positive=self.first_positive[rows], raised=self.raised[rows],
        )  # fmt: skip

    def ahead_of(self, other: Answers, seed: int) -> dict[str, Any]:
        """Return how much more of the positives this rule raises than `other`.

        The other one's threshold is set on these very streams so that it raises the same share of
        the negatives, which favours it.
        """
        rates = self.positive, (self.raised > 0)

        def ahead(rows: NDArray[np.int64]) -> float:
            positive, raised = (x[rows] for x in rates)
            if positive.all() or not positive.any():
                return float("nan")
            false_alarms = float(raised[~positive].mean())
            return float(raised[positive].mean()) - sensitivity_at(other.rows(rows), false_alarms)

        return _bootstrapped(ahead, len(self.lengths), seed)


def sensitivity_at(answers: Answers, false_alarms: float) -> float:
    """Return the share of positives whose highest readiness is above that share of negatives'.

    Between two attainable shares of false alarms it is interpolated, as by a coin.

    >>> readiness = np.array([[0.1], [0.2], [0.3], [0.4], [0.25], [0.5]])
    >>> first = np.array([-1, -1, -1, -1, 0, 0])
    >>> sensitivity_at(Answers(readiness, np.ones(6), first, np.zeros(6)), 0.5)
    1.0
    """
    highest, positive = answers.highest, answers.positive
    levels = np.unique(highest)
    above = [
        1.0 - np.searchsorted(np.sort(highest[of]), levels, side="left") / max(int(of.sum()), 1)
        for of in (~positive, positive)
    ]
    order = np.argsort(above[0], kind="stable")
    x, y = np.concatenate(([0.0], above[0][order])), np.concatenate(([0.0], above[1][order]))
    # Of equal shares of false alarms the highest sensitivity counts.
    y = np.maximum.accumulate(y)
    last = np.searchsorted(x, false_alarms, side="right") - 1
    if last + 1 == len(x):
        return float(y[-1])
    share = (false_alarms - x[last]) / (x[last + 1] - x[last])
    return float(y[last] + share * (y[last + 1] - y[last]))


def measures(answers: Answers, alpha: float, significance: float, seed: int) -> dict[str, Any]:
    """Return the figures, shares with exact intervals, the rest bootstrapped by patient."""
    positive, raised = answers.positive, answers.raised > 0
    n_negative, n_positive = int((~positive).sum()), int(positive.sum())
    false_alarms, hits = int((raised & ~positive).sum()), int((raised & positive).sum())
    in_time = positive & raised & (answers.raised <= answers.first_positive + 1)
    lead = answers.first_positive - (answers.raised - 1)
    return {
        "false_alarm_rate": {
            **_share(false_alarms, n_negative),
            "p_value": float(p_value_above(false_alarms, n_negative, alpha)),
            "rejected": bool(p_value_above(false_alarms, n_negative, alpha) <= significance),
        },
        "sensitivity": _share(hits, n_positive),
        "raised_by_first_positive_row": _share(int(in_time.sum()), n_positive),
        "precision": _share(hits, hits + false_alarms),
        "false_alarms_per_stream_day": _bootstrapped(
            lambda rows: _per_day(answers.rows(rows)), len(raised), seed
        ),
        "lead_hours_of_raised": _bootstrapped(
            lambda rows: _median(lead[rows][(positive & raised)[rows]]), len(raised), seed
        )
        | {"quartiles": np.quantile(lead[positive & raised], (0.25, 0.75)).tolist()},
        "lead_of_all_positives": {
            f">= {hours} h": _share(int((positive & raised & (lead >= hours)).sum()), n_positive)
            for hours in (-6, 0, 3, 6, 12)
        },
        "missed": _share(n_positive - hits, n_positive),
    }


def auroc(
    probability: NDArray[np.float32], streams: LabelledStreams, hours: int
) -> dict[str, dict[str, float]]:
    """Return the area under the ROC curve over hourly rows, bootstrapped by patient.

    ``all rows``: every row of every stay. The others leave out rows after `hours`, and stays that
    are positive in their first row.
    """
    labels = streams.step_labels
    if labels is None:
        raise ValueError(len(streams))
    stay = np.repeat(np.arange(len(streams)), streams.lengths)
    row = np.arange(len(labels)) - streams.offsets[stay]
    known = (labels[streams.offsets[:-1]] == 1)[stay]
    return {
        name: _area_with_interval(probability[of], labels[of] == 1, stay[of])
        for name, of in {
            "all rows": np.ones(len(labels), np.bool_),
            f"rows up to {hours} h": row < hours,
            f"rows up to {hours} h, stays not positive from the start": (row < hours) & ~known,
        }.items()
    }


def _area_with_interval(
    probability: NDArray[np.float32], positive: NDArray[np.bool_], stay: NDArray[np.int64]
) -> dict[str, float]:
    ranks = rankdata(probability)
    n_positive, n = int(positive.sum()), len(positive)
    area = (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (
        n_positive * (n - n_positive)
    )
    # A replicate weighs each row by how often its patient was drawn.
    levels, level = np.unique(probability, return_inverse=True)
    random = np.random.default_rng(0)
    stays = np.unique(stay)
    areas = []
    for _ in range(AUROC_DRAWS):
        drawn = np.bincount(random.choice(stays, len(stays)), minlength=int(stays[-1]) + 1)
        weight = drawn[stay].astype(np.float64)
        ours, theirs = (
            np.bincount(level[of], weights=weight[of], minlength=len(levels))
            for of in (positive, ~positive)
        )
        below = np.cumsum(theirs) - theirs / 2
        if pairs := ours.sum() * theirs.sum():
            areas.append((ours * below).sum() / pairs)
    low, high = np.quantile(areas, CONFIDENCE)
    return {
        "mean": float(area), "low": float(low), "high": float(high), "n": n,
        "n_positive": n_positive,
    }  # fmt: skip


def _bootstrapped(
    figure: Callable[[NDArray[np.int64]], float], n: int, seed: int
) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    draws = [figure(random.integers(0, n, n)) for _ in range(DRAWS)]
    low, high = np.nanquantile(draws, CONFIDENCE)
    return {"mean": figure(np.arange(n)), "low": float(low), "high": float(high)}


def _share(k: int, n: int) -> dict[str, Any]:
    low, high = interval(k, n)
    return {"mean": k / n if n else float("nan"), "low": low, "high": high, "k": k, "n": n}


def _per_day(answers: Answers) -> float:
    """Return false alarms a day of watching: until the alarm, or to the stream's end."""
    watched = np.where(answers.raised > 0, answers.raised, answers.lengths).sum() / HOURS_A_DAY
    return float(((answers.raised > 0) & ~answers.positive).sum() / watched)


def _median(values: NDArray[np.int64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")

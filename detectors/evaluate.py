"""From answers to the numbers of an evaluation, as ``tocsin evaluate`` prints them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta, rankdata

from detectors.errors import ScoringError
from detectors.onesided import evaluation_one_sided
from stopping.gap import report_gap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectors.detector import Detector
    from detectors.scoring import Scored, StreamSet

CONFIDENCE = 0.95
"""Of the intervals on the card."""


def evaluation(
    scored: Scored,
    streams: StreamSet,
    alarm: int | None = None,
    thresholds: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Return what deciding early cost and gained on `streams`.

    `alarm` is the class index of a one-sided rule, whose own numbers come into ``metrics`` then;
    `thresholds`, [T], are its own.

    Returns
    -------
    JSON values: n, accuracy, late_accuracy, gap, losses, gap_at and gap_n (by share of the
    earliest-halting streams), time_used, and ``metrics``: intervals, the gap by step for both
    conditional sets, reasons, the mean halt step, and AUROC where there are two classes.
    """
    answers = _answers(scored)
    report = report_gap(scored.halt_step, answers, streams.labels, scored.length)
    numbers = report.to_json()
    right = int((scored.label == streams.labels).sum())
    late_right = int((scored.late_label == streams.labels).sum())
    n = report.n
    metrics: dict[str, Any] = {
        "accuracy_interval": interval(right, n),
        "late_accuracy_interval": interval(late_right, n),
        "gap_interval": interval(report.losses, n),
        "gap_at_interval": {str(at.share): interval(at.losses, at.n) for at in report.gap_at},
        "interval_confidence": CONFIDENCE,
        "mean_halt_step": float(scored.halt_step.mean()),
        "stopped_early": int((scored.halt_step < scored.length).sum()),
        "reasons": dict(sorted(Counter(scored.reasons).items())),
        "by_step": {
            name: {
                "halted": list(tally.halted),
                "losses": list(tally.losses),
                "gaps": list(tally.gaps),
            }
            for name, tally in (("halted", report.halted), ("stopped_early", report.stopped_early))
        },
        "max_conditional_gap": numbers.pop("max_conditional_gap"),
        "max_conditional_gap_early": numbers.pop("max_conditional_gap_early"),
    }
    if len(streams.classes) == 2:
        metrics["auroc"] = auroc(_second_class(scored), streams.labels == 1)
    if alarm is not None:
        metrics["one_sided"] = evaluation_one_sided(scored, streams, alarm, thresholds=thresholds)
    return {**numbers, "metrics": metrics}


def check_fit(detector: Detector, streams: StreamSet) -> None:
    """Raise ScoringError unless `detector` can answer `streams`."""
    for what, ours, theirs in (
        ("modality", (detector.classifier.modality,), (streams.modality,)),
        ("channels", detector.classifier.channels, streams.channels),
        ("classes", detector.classifier.classes, streams.classes),
    ):
        if ours != theirs:
            message = (
                f"{detector.name}@{detector.version} knows the {what} {', '.join(ours)}; "
                f"{streams.name} has {', '.join(theirs)}. Use the data set it was made for, or "
                "train a detector on this one."
            )
            raise ScoringError(message)
    if not len(streams):
        message = (
            f"the {streams.split} part of {streams.name} has no streams. Choose another part."
        )
        raise ScoringError(message)


def interval(k: int, n: int) -> list[float]:
    """Return the exact (Clopper-Pearson) interval of a share at `CONFIDENCE`.

    >>> [round(x, 4) for x in interval(0, 10)]
    [0.0, 0.3085]
    """
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return [low, high]


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half.

    None where either kind is missing.

    >>> auroc(np.array([0.1, 0.9, 0.9]), np.array([False, True, False]))
    0.75
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    ranks = float(rankdata(score)[positive].sum())
    return (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _answers(scored: Scored) -> NDArray[np.int64]:
    """Return the likeliest classes by step, [n, T], with what was answered where it was.

    A one-sided rule raises its alarm where another label is likelier, and the other way round.
    """
    answers, rows = scored.predicted.copy(), np.arange(len(scored.label))
    answers[rows, scored.length - 1] = scored.late_label
    answers[rows, scored.halt_step - 1] = scored.label
    return answers


def _second_class(scored: Scored) -> NDArray[np.float64]:
    """Return the probability of the second class at the halt."""
    at = (np.arange(len(scored.halt_step)), scored.halt_step - 1)
    likelier = scored.probability[at]
    return np.where(scored.predicted[at] == 1, likelier, 1.0 - likelier)

"""Calibrating on one part and testing on another, many times over: the numbers, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from detectors.calibrate import calibrate
from detectors.scoring import Scored, StreamSet
from stopping.gap import SHARES, report_gap
from stopping.signals.rounding import rounded
from stopping.thresholds import halt_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.config import DetectorConfig
    from models.frames.lstm import LstmClassifier

LEVEL = 0.01
"""Of the exact one-sided test of "gap <= alpha"."""
PROMISED_SHARES = {"overall": 1.0, "earliest_50": 0.5, "earliest_20": 0.2}


@dataclass(frozen=True)
class Outcome:
    """One calibration and its test."""

    seed: int
    resplit: int
    late_accuracy: float
    accuracy: float
    time_used: float
    gap: dict[str, float]
    n: dict[str, int]
    rejected: dict[str, bool]
    """Whether the exact test says that the gap is above alpha."""

    waits: bool
    """Whether no early stop was certified."""

    @property
    def any_rejected(self) -> bool:
        """Whether any of the tests does."""
        return any(self.rejected.values())


def padded(streams: StreamSet) -> NDArray[np.float32]:
    """Return the frames as [n, T, d], NaN past a stream's end."""
    inside = np.arange(streams.lengths.max()) < streams.lengths[:, np.newaxis]
    frames = np.full((*inside.shape, streams.inputs.shape[1]), np.nan, dtype=np.float32)
    frames[inside] = streams.inputs
    return frames


def swept(classifier: LstmClassifier, streams: StreamSet) -> Scored:
    """Return the answers of one sweep, as the engine gives them step by step.

    Halting is left to the thresholds, which come later: every stream runs to its end.
    """
    probabilities, correctness = classifier.sweep(padded(streams))
    predicted = probabilities.argmax(axis=2).astype(np.int64)
    return Scored(
        readiness=rounded(correctness),
        predicted=predicted,
        probability=probabilities.max(axis=2).astype(np.float64),
        halt_step=streams.lengths,
        label=predicted[:, -1],
        late_label=predicted[:, -1],
        late_probability=probabilities[:, -1].max(axis=1).astype(np.float64),
        length=streams.lengths,
        reasons=["end"] * len(streams),
        decisions=(),
    )


def taken(scored: Scored, rows: NDArray[np.int64]) -> Scored:
    """Return the answers to some of the streams."""
    return Scored(
        readiness=scored.readiness[rows], predicted=scored.predicted[rows],
        probability=scored.probability[rows], halt_step=scored.halt_step[rows],
        label=scored.label[rows], late_label=scored.late_label[rows],
        late_probability=scored.late_probability[rows], length=scored.length[rows],
        reasons=[scored.reasons[row] for row in rows], decisions=(),
    )  # fmt: skip


def outcome(
    seed: int,
    resplit: int,
    config: DetectorConfig,
    calibration: tuple[Scored, NDArray[np.int64]],
    test: tuple[Scored, NDArray[np.int64]],
) -> Outcome:
    """Calibrate on one part (answers, labels), count and test on the other."""
    certificate = calibrate(*calibration, config.rule, seed=resplit)
    scored, labels = test
    steps = halt_steps(scored.readiness, certificate.threshold_array(), scored.length)
    report = report_gap(steps, scored.predicted, labels, scored.length, shares=SHARES)
    at = {
        name: next(x for x in report.gap_at if x.share == q) for name, q in PROMISED_SHARES.items()
    }
    return Outcome(
        seed=seed,
        resplit=resplit,
        late_accuracy=report.late_accuracy,
        accuracy=report.accuracy,
        time_used=report.time_used,
        gap={name: x.gap for name, x in at.items()},
        n={name: x.n for name, x in at.items()},
        waits=not certificate.certifies,
        rejected={
            name: float(binom.sf(x.losses - 1, x.n, config.rule.alpha)) <= LEVEL
            for name, x in at.items()
        },
    )


def summary(outcomes: Sequence[Outcome], alpha: float) -> dict[str, Any]:
    """Return means, spreads and counts over all seeds and re-splits."""
    n = len(outcomes)
    seeds = sorted({found.seed for found in outcomes})
    late, used, right = (
        np.array([getattr(found, name) for found in outcomes])
        for name in ("late_accuracy", "time_used", "accuracy")
    )
    return {
        "calibrations": n,
        "late_accuracy": _spread(late),
        "accuracy": _spread(right),
        "time_used": _spread(used),
        "time_used_by_seed": {
            seed: float(used[[found.seed == seed for found in outcomes]].mean()) for seed in seeds
        },
        "late_accuracy_by_seed": {
            seed: float(late[[found.seed == seed for found in outcomes]].mean()) for seed in seeds
        },
        "gap": {
            name: _spread(np.array([found.gap[name] for found in outcomes]))
            for name in PROMISED_SHARES
        },
        "above_alpha": {
            **{
                name: sum(found.gap[name] > alpha for found in outcomes)
                for name in PROMISED_SHARES
            },
            "any": sum(max(found.gap.values()) > alpha for found in outcomes),
        },
        "waits_for_the_end": sum(found.waits for found in outcomes),
        "rejected": {
            **{name: sum(found.rejected[name] for found in outcomes) for name in PROMISED_SHARES},
            "any": sum(found.any_rejected for found in outcomes),
        },
        "rejected_share": sum(found.any_rejected for found in outcomes) / n,
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(values.min()),
        "max": float(values.max()),
    }

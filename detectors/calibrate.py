"""From a detector's answers on the calibration streams to its certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors import onesided
from stopping.conditional import calibrate_conditional
from stopping.losses import accuracy_gap_loss, majority_loss
from stopping.marginal import calibrate_marginal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectors.config import RuleConfig
    from detectors.scoring import Scored
    from stopping.certificate import Certificate


def calibrate(
    scored: Scored,
    labels: NDArray[np.int64],
    rule: RuleConfig,
    seed: int,
    alarm: int | None = None,
) -> Certificate:
    """Return the thresholds that keep `rule`, with the evidence for them.

    Parameters
    ----------
    scored
        Answers to streams that nothing was learned from, every one followed to its end.
    labels
        True class of each, [n].
    seed
        Of the division into screening and testing half (conditional control).
    alarm
        Class index that a one-sided rule may raise.
    """
    if alarm is not None:
        return onesided.calibrate(scored, labels, rule, alarm, seed)
    loss = accuracy_gap_loss(scored.predicted, labels, scored.length)
    baseline = majority_loss(scored.predicted, labels, scored.length)
    if rule.control == "marginal":
        return calibrate_marginal(
            scored.readiness, loss, scored.length, rule.alpha, rule.delta,
            mode=rule.mode, baseline_loss=baseline, label=labels,
        )  # fmt: skip
    return calibrate_conditional(
        scored.readiness, loss, scored.length, rule.alpha, rule.delta,
        mode=rule.mode, seed=seed, baseline_loss=baseline, label=labels,
    )  # fmt: skip

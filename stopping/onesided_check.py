"""Checking a one-sided certificate again from the scores it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.check import (
    Verdict,
    compare_calibration,
    compare_p_values,
    compare_shape,
    compare_tallies,
)
from stopping.errors import ControlError
from stopping.onesided import calibrate_one_sided
from stopping.onesided_issue import count_raised, testing_part
from stopping.pvalues import p_value
from stopping.raising import AlarmScores, checked_alarms

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stopping.certificate import Certificate
    from stopping.onesided_certificate import Precision


def check_one_sided(
    certificate: Certificate,
    readiness: ArrayLike,
    positive: ArrayLike,
    lengths: ArrayLike | None = None,
) -> Verdict:
    """Recompute a one-sided certificate from the scores and say what does not agree.

    As `stopping.check.check` does: the certificate's own thresholds are applied to its own testing
    part and the counts and tests compared; and the calibration is run again and compared.

    Raises
    ------
    ControlError
        The certificate is not one-sided.
    ShapeError, ReadinessError, LabelError
        The arrays are no scores. Scores of other streams are no error but a difference.
    """
    if certificate.one_sided is None:
        raise ControlError(certificate.control, "stopping.check.check")
    scores = checked_alarms(readiness, positive, lengths)
    dtype = str(scores.readiness.dtype)
    if differences := compare_shape(certificate, scores.n, scores.horizon, dtype):
        return Verdict(tuple(differences))
    return Verdict((*_compare_counts(certificate, scores), *_compare_again(certificate, scores)))


def _compare_counts(certificate: Certificate, scores: AlarmScores) -> list[str]:
    c = certificate
    part = testing_part(scores, np.array(c.screening_indices, np.int64))
    raised, before_end = count_raised(part, c.threshold_array())
    n_negative = int((~part.positive).sum())
    said = c.one_sided
    differences = [
        *compare_tallies("raised", raised, c.halted),
        *compare_tallies("raised before their last step", before_end, c.stopped_early),
        *compare_p_values(p_value(raised.losses, n_negative, c.alpha), c.p_values),
    ]
    if said is not None and (said.n_negative, said.n_positive) != (
        n_negative,
        part.n - n_negative,
    ):
        differences.append(
            f"the testing part has {n_negative} negatives and {part.n - n_negative} positives, "
            f"{said.n_negative} and {said.n_positive} by the certificate"
        )
    if c.certifies and not p_value(raised.losses[-1], n_negative, c.alpha) <= c.delta:
        differences.append(f"the false alarms do not refute a rate above alpha at {c.delta:g}")
    if said is not None and said.precision is not None:
        by_step = p_value(raised.losses, raised.halted, 1 - said.precision.level)
        differences += compare_p_values(by_step, said.precision.p_values)
        if c.certifies and not np.nanmax(by_step) <= c.delta:
            differences.append(f"a precision below {said.precision.level:g} is not refuted")
    return differences


def _compare_again(certificate: Certificate, scores: AlarmScores) -> list[str]:
    c = certificate
    precision = None if c.one_sided is None else c.one_sided.precision
    again = calibrate_one_sided(
        scores.readiness, scores.positive, scores.lengths, c.alpha, c.delta,
        precision=None if precision is None else precision.level,
        mode=c.mode, seed=c.seed or 0, shuffle=c.seed is not None,
    )  # fmt: skip
    differences = compare_calibration(c, again)
    made = None if again.one_sided is None else again.one_sided.precision
    if precision is not None and made is not None and not _same_path(precision, made):
        differences.append("the rules tried for precision are not those of this seed and level")
    return differences


def _same_path(one: Precision, other: Precision) -> bool:
    if (one.accepted, one.needed_raised) != (other.accepted, other.needed_raised):
        return False
    if len(one.tried) != len(other.tried):
        return False
    return all(
        (a.opening, a.threshold, a.raised, a.false_alarms)
        == (b.opening, b.threshold, b.raised, b.false_alarms)
        and np.allclose((a.p_screening, a.p_testing), (b.p_screening, b.p_testing), rtol=1e-9)
        for a, b in zip(one.tried, other.tried, strict=True)
    )

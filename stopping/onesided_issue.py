"""From one-sided thresholds to their certificate, and to the sentences that say it."""

from __future__ import annotations

import numpy as np

from stopping.certificate import Certificate, Mode
from stopping.evidence import Shortfall
from stopping.onesided_certificate import OneSided, Precision
from stopping.pvalues import p_value, streams_needed
from stopping.raising import AlarmScores, raise_steps
from stopping.scores import FloatArray, IntArray, finite_or_none
from stopping.tallies import Tally, tally_halted, tally_stopped_early

LOSS = "false_alarm"


def issue_one_sided(
    scores: AlarmScores,
    thresholds: FloatArray,
    *,
    mode: Mode,
    alpha: float,
    delta: float,
    screening: IntArray,
    seed: int | None,
    precision: Precision | None,
) -> Certificate:
    """Count whom the thresholds raised in the testing part and return the certificate.

    `thresholds` [T] with +inf = never; `screening` [k] are the rows of `scores` that are no part
    of the testing part.
    """
    part = testing_part(scores, screening)
    n_negative = int((~part.positive).sum())
    raised, before_end = count_raised(part, thresholds)
    needed = streams_needed(alpha, delta)
    return Certificate(
        mode=mode,
        control="one-sided",
        loss=LOSS,
        alpha=alpha,
        delta=delta,
        n=scores.n,
        n_screening=len(screening),
        n_testing=part.n,
        screening_indices=tuple(screening.tolist()),
        seed=seed,
        dtype="float32" if scores.readiness.dtype == np.float32 else "float64",
        grid=(),
        thresholds=finite_or_none(thresholds.astype(np.float64)),
        halted=raised,
        stopped_early=before_end,
        p_values=finite_or_none(p_value(raised.losses, n_negative, alpha)),
        baseline=None,
        shortfall=Shortfall(needed, n_negative) if n_negative < needed else None,
        one_sided=OneSided(n_negative, part.n - n_negative, precision),
    )


def testing_part(scores: AlarmScores, screening: IntArray) -> AlarmScores:
    """Return the streams outside `screening`, in their order."""
    tested = np.ones(scores.n, np.bool_)
    tested[screening] = False
    return scores.rows(tested)


def count_raised(scores: AlarmScores, thresholds: FloatArray) -> tuple[Tally, Tally]:
    """Count the streams raised by each step, and those raised before their last step."""
    steps = raise_steps(scores.readiness, thresholds, scores.lengths)
    raised = steps > 0
    sets = (steps[raised], ~scores.positive[raised])
    return (
        tally_halted(*sets, scores.horizon),
        tally_stopped_early(*sets, scores.lengths[raised], scores.horizon),
    )


def one_sided_statement(certificate: Certificate) -> str:
    """Say in words, for the person who calibrates, what a one-sided certificate promises."""
    return " ".join([_promise(certificate), *_measured(certificate)])


def _promise(certificate: Certificate) -> str:
    c = certificate
    confidence = f"confidence {1 - c.delta:.6g}"
    precision = _precision(c)
    if c.shortfall is not None:
        return (
            f"No alarm can be certified at alpha = {c.alpha:g} with {confidence}: "
            f"one-sided control needs {c.shortfall.needed} negatives to test on, "
            f"{c.shortfall.available} are there, {c.shortfall.missing} are missing. "
            "No stream will be raised."
        )
    if not c.certifies and precision is not None:
        return _not_precise(c, precision)
    if not c.certifies:
        return (
            f"No alarm could be certified at alpha = {c.alpha:g} with {confidence}: even at "
            f"threshold 1 too many of the {_negatives(c)} negatives are raised. No stream will be "
            "raised; a signal that tells positives from negatives, or a larger alpha, is needed."
        )
    both = (
        ""
        if precision is None
        else f", and at least {precision.level:g} of the streams raised by step t are positive, "
        "for every t by which any is raised"
    )
    return (
        f"With {confidence} over the calibration draw, and for traffic exchangeable with it, "
        f"the probability that a negative stream is raised, early or at its end, is at most "
        f"{c.alpha:g}{both}."
    )


def _not_precise(certificate: Certificate, precision: Precision) -> str:
    c = certificate
    positives = 0 if c.one_sided is None else c.one_sided.n_positive
    if precision.tried:
        surest = precision.tried[0]
        found = (
            f"the surest rule of the screening part (from step {surest.opening} on, threshold "
            f"{surest.threshold:.4g}) raises {surest.raised} streams of the testing part, "
            f"{surest.false_alarms} of them negative: p = {surest.p_testing:.3g}, not within "
            f"{c.delta:g}"
        )
    else:
        found = "no rule at all raises a positive of the screening part on such terms"
    return (
        f"No alarm could be certified to be right with at least {precision.level:g} at "
        f"alpha = {c.alpha:g} and confidence {1 - c.delta:.6g}: {found}. By its first step a rule "
        f"must raise {precision.needed_raised} streams of the testing part even if all are "
        f"positive; it has {positives} positives. No stream will be raised. A lower precision, "
        "more streams, or the false-alarm rate alone may be certified."
    )


def _measured(certificate: Certificate) -> list[str]:
    c, part = certificate, certificate.one_sided
    if part is None or not c.certifies:
        return []
    raised, false_alarms = c.halted.halted[-1], c.halted.losses[-1]
    right = c.positives_raised[-1]
    told = [
        f"On the {c.n_testing} calibration streams it was tested on, it raised {right} of "
        f"{part.n_positive} positives and {false_alarms} of {part.n_negative} negatives"
        + (f" (share of positives among the raised {right / raised:.3f})." if raised else ".")
    ]
    if c.vacuous:
        told.append(
            "The promise is vacuous: raising a share alpha of all streams blindly keeps it too, "
            "and this rule is not shown to raise more of the positives."
        )
    return told


def _precision(certificate: Certificate) -> Precision | None:
    return None if certificate.one_sided is None else certificate.one_sided.precision


def _negatives(certificate: Certificate) -> int:
    return 0 if certificate.one_sided is None else certificate.one_sided.n_negative

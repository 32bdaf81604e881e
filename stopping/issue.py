"""From thresholds to the certificate that goes with them, and to the sentence that says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.certificate import MODES, Certificate, Control, Mode
from stopping.errors import ModeError
from stopping.evidence import Baseline, Shortfall
from stopping.losses import majority_class
from stopping.onesided_issue import one_sided_statement
from stopping.pvalues import p_value, streams_needed
from stopping.scores import FloatArray, IntArray, Scores, check_integers, finite_or_none
from stopping.tallies import Tally, tally_halted, tally_stopped_early
from stopping.thresholds import at_halt, halt_steps

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


MEANINGS = {"gap": "the probability that the late answer is right and the early one wrong"}
"""What a loss of that name stands for, in words."""


def check_mode(mode: str) -> Mode:
    """Return `mode` if calibration has it."""
    for known in MODES:
        if mode == known:
            return known
    raise ModeError(mode, MODES)


def find_shortfall(control: Control, n: int, alpha: float, delta: float) -> Shortfall | None:
    """Return what is missing before even a rule without a single loss could be certified.

    The part that is tested needs m streams, see `streams_needed`. Conditional control tests on
    n - n // 2 of n streams, which is m from n = 2 m - 1 on.

    >>> find_shortfall("conditional", 80, 0.1, 0.01)
    Shortfall(needed=87, available=80)
    """
    m = streams_needed(alpha, delta)
    needed = m if control == "marginal" else 2 * m - 1
    return Shortfall(needed, n) if n < needed else None


def find_baseline(loss: ArrayLike | None, label: ArrayLike | None, n: int) -> Baseline | None:
    """Return what the majority class at step 1 costs, from its loss [n] and the labels [n]."""
    if loss is None or label is None or n == 0:
        return None
    lost = check_integers("baseline_loss", loss, (n,))
    return Baseline(majority_class(check_integers("label", label, (n,))), int(lost.sum()), n)


def issue(
    scores: Scores,
    thresholds: FloatArray,
    *,
    control: Control,
    mode: Mode,
    loss_name: str,
    alpha: float,
    delta: float,
    grid: FloatArray,
    screening: IntArray,
    seed: int | None,
    baseline: Baseline | None,
) -> Certificate:
    """Count what the thresholds did on the testing part and return the certificate.

    `thresholds` [T] with +inf = never; `screening` [k] are the rows of `scores` that are no part
    of the testing part.
    """
    limits = thresholds.astype(np.float64)
    limits[-1] = np.inf  # the last step halts whatever the readiness is
    halted, stopped_early = count(scores, limits, screening)
    return Certificate(
        mode=mode,
        control=control,
        loss=loss_name,
        alpha=alpha,
        delta=delta,
        n=scores.n,
        n_screening=len(screening),
        n_testing=scores.n - len(screening),
        screening_indices=tuple(screening.tolist()),
        seed=seed,
        dtype="float32" if scores.readiness.dtype == np.float32 else "float64",
        grid=tuple(grid.astype(np.float64).tolist()),
        thresholds=finite_or_none(limits),
        halted=halted,
        stopped_early=stopped_early,
        p_values=finite_or_none(p_value(halted.losses, halted.halted, alpha)),
        baseline=baseline,
        shortfall=find_shortfall(control, scores.n, alpha, delta),
    )


def count(scores: Scores, thresholds: FloatArray, screening: IntArray) -> tuple[Tally, Tally]:
    """Count halts and losses by step on the rows outside `screening`, for both sets."""
    tested = np.ones(scores.n, np.bool_)
    tested[screening] = False
    part = scores.rows(np.flatnonzero(tested))
    steps = halt_steps(part.readiness, thresholds, part.lengths)
    lost = at_halt(part.loss, steps)
    return (
        tally_halted(steps, lost, part.horizon),
        tally_stopped_early(steps, lost, part.lengths, part.horizon),
    )


def statement(certificate: Certificate) -> str:
    """Say in words, for the person who calibrates, what the certificate promises."""
    if certificate.control == "one-sided":
        return one_sided_statement(certificate)
    return " ".join([_promise(certificate), *_warnings(certificate)])


def _promise(certificate: Certificate) -> str:
    c = certificate
    confidence = f"confidence {1 - c.delta:.6g}"
    if c.shortfall is not None:
        return (
            f"Nothing can be certified at alpha = {c.alpha:g} with {confidence}: "
            f"{c.control} control needs {c.shortfall.needed} calibration streams, "
            f"{c.shortfall.available} are there, {c.shortfall.missing} are missing. "
            "Every stream will wait for its end."
        )
    if not c.certifies:
        return (
            f"No early stop could be certified at alpha = {c.alpha:g} with {confidence} on "
            f"{c.n} calibration streams. Every stream will wait for its end; "
            "a better readiness signal, more streams or a larger alpha may help."
        )
    among = (
        "over all streams"
        if c.control == "marginal"
        else "among the streams halted by step t (by their own end too), for every t"
    )
    what = MEANINGS.get(c.loss, f"the expected {c.loss} loss")
    return (
        f"With {confidence} over the calibration draw, and for traffic exchangeable with it, "
        f"{what} is at most {c.alpha:g} {among}."
    )


def _warnings(certificate: Certificate) -> list[str]:
    baseline = certificate.baseline
    if baseline is None or not certificate.vacuous:
        return []
    return [
        f"The level is vacuous: answering class {baseline.label} at step 1 for every stream has "
        f"a loss of {baseline.gap:.4f} ({baseline.losses} of {baseline.n}), which is within alpha "
        "too. Choose an alpha below that."
    ]

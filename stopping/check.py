"""Checking a certificate again from the scores it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stopping.conditional import calibrate_conditional
from stopping.errors import ControlError
from stopping.issue import count
from stopping.marginal import calibrate_marginal
from stopping.pvalues import p_value
from stopping.scores import FloatArray, Scores, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from stopping.certificate import Certificate
    from stopping.tallies import Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking found."""

    differences: tuple[str, ...]
    """One sentence for everything that does not agree."""

    @property
    def agrees(self) -> bool:
        """Whether all that could be checked agrees."""
        return not self.differences


def check(
    certificate: Certificate,
    readiness: ArrayLike,
    loss: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    baseline_loss: ArrayLike | None = None,
    label: ArrayLike | None = None,
) -> Verdict:
    """Recompute a certificate from the scores and say what does not agree.

    Two things are done, and they do not depend on each other: the certificate's own thresholds are
    applied to its own testing part and everything counted is compared, tests included; and the
    calibration is run again with the certificate's levels and seed and its thresholds and split
    compared. What the certificate says of the majority class is compared if `baseline_loss`
    and `label` are given.

    Raises
    ------
    ControlError
        The certificate is one-sided.
    ShapeError, ReadinessError
        The arrays are no scores. Scores of other streams are no error but a difference.
    """
    if certificate.control == "one-sided":
        raise ControlError(certificate.control, "stopping.onesided_check.check_one_sided")
    scores = checked(readiness, loss, lengths, unit_interval=True)
    differences = compare_shape(certificate, scores.n, scores.horizon, str(scores.readiness.dtype))
    if differences:
        return Verdict(tuple(differences))
    differences += _compare_counts(certificate, scores)
    again = _calibrate_again(certificate, scores, baseline_loss, label)
    differences += compare_calibration(certificate, again)
    if again.baseline is not None and certificate.baseline != again.baseline:
        differences.append(
            f"the majority answer at step 1 is {again.baseline} on these scores, "
            f"{certificate.baseline} in the certificate"
        )
    return Verdict(tuple(differences))


def compare_shape(certificate: Certificate, n: int, horizon: int, dtype: str) -> list[str]:
    """Return what keeps the certificate from being one of scores of that size and type."""
    c, rows = certificate, certificate.screening_indices
    pairs = [
        ("number of streams", n, c.n),
        ("number of steps T", horizon, c.horizon),
        ("type of readiness", dtype, c.dtype),
    ]
    differences = [
        f"the {name} is {got} in the scores, {said} in the certificate"
        for name, got, said in pairs
        if got != said
    ]
    if len(set(rows)) != len(rows) or any(row >= c.n for row in rows):
        differences.append("the screening indices are not distinct rows of the scores")
    if (c.n_screening, c.n_testing) != (len(rows), c.n - len(rows)):
        differences.append(
            f"the parts have {len(rows)} and {c.n - len(rows)} streams by the screening indices, "
            f"{c.n_screening} and {c.n_testing} by the certificate's own count"
        )
    return differences


def _compare_counts(certificate: Certificate, scores: Scores) -> list[str]:
    c = certificate
    screening = np.array(c.screening_indices, np.int64)
    halted, stopped_early = count(scores, c.threshold_array(), screening)
    differences = [
        *compare_tallies("halted", halted, c.halted),
        *compare_tallies("stopped early", stopped_early, c.stopped_early),
    ]
    recomputed = p_value(halted.losses, halted.halted, c.alpha)
    differences += compare_p_values(recomputed, c.p_values)
    return differences + [
        f"the p-value {recomputed[step]:.6g} at step {step + 1} is above delta = {c.delta:g}, "
        "although an early stop by then is certified"
        for step in _tested_steps(c)
        if not recomputed[step] <= c.delta
    ]


def _tested_steps(certificate: Certificate) -> range:
    """Return the steps, from 0, whose test must have rejected for the thresholds to stand."""
    horizon = certificate.horizon
    opened = [t for t, threshold in enumerate(certificate.thresholds) if threshold is not None]
    if not opened:
        return range(0)
    return range(horizon - 1 if certificate.control == "marginal" else opened[0], horizon)


def compare_p_values(recomputed: FloatArray, said: Sequence[float | None]) -> list[str]:
    """Return a sentence for the first step whose p-value is another one."""
    claimed = np.array([np.nan if p is None else p for p in said])
    same = np.isclose(recomputed, claimed, rtol=1e-9, atol=0, equal_nan=True)
    return [
        f"the p-value at step {k + 1} is {recomputed[k]}, {said[k]} in the certificate"
        for k in np.flatnonzero(~same)[:1]
    ]


def compare_tallies(name: str, recomputed: Tally, said: Tally) -> list[str]:
    """Return a sentence for each step, up to three, whose counts are other ones."""
    return [
        f"{what} by step {step}: {got} on these scores, {claimed} in the certificate"
        for what, gots, claims in (
            (f"streams {name}", recomputed.halted, said.halted),
            (f"losses among the streams {name}", recomputed.losses, said.losses),
        )
        for step, (got, claimed) in enumerate(zip(gots, claims, strict=True), start=1)
        if got != claimed
    ][:3]


def _calibrate_again(
    certificate: Certificate,
    scores: Scores,
    baseline_loss: ArrayLike | None,
    label: ArrayLike | None,
) -> Certificate:
    c = certificate
    arrays = (scores.readiness, scores.loss, scores.lengths)
    if c.control == "marginal":
        return calibrate_marginal(
            *arrays, c.alpha, c.delta, mode=c.mode, loss_name=c.loss,
            baseline_loss=baseline_loss, label=label,
        )  # fmt: skip
    return calibrate_conditional(
        *arrays, c.alpha, c.delta, mode=c.mode, loss_name=c.loss, seed=c.seed or 0,
        shuffle=c.seed is not None, baseline_loss=baseline_loss, label=label,
    )  # fmt: skip


def compare_calibration(certificate: Certificate, again: Certificate) -> list[str]:
    """Return what the same calibration, run again, gives otherwise."""
    differences = [
        f"the threshold of step {step} is {got} when calibrated again, {said} in the certificate"
        for step, (got, said) in enumerate(
            zip(again.thresholds, certificate.thresholds, strict=True), start=1
        )
        if got != said
    ][:3]
    for name in ("screening_indices", "grid", "shortfall"):
        if getattr(again, name) != getattr(certificate, name):
            differences.append(f"{name} is not what this mode, seed and level give")
    return differences

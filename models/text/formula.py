"""The confidence values of SS3: how far one word speaks for each class.

Source: Burdisso, Errecalde and Montes-y-Gomez, "A text classification framework for simple and
effective early depression detection over social media streams" (Expert Systems with Applications,
2019); constants and details as in the authors' package pyss3 0.6.4. `docs/science/ss3.md` says the
formulas in words. Everything is computed for all words at once; a column of [C, k] is a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]

SignificanceMode = Literal["vanilla", "xai"]
ConfidenceMode = Literal["gv", "norm_gv", "norm_gv_xai"]

STEEPNESS = 3.0
LEAST_DEVIATION = 0.03
"""Under ``xai``, the least that lambda times the deviation may be."""


@dataclass(frozen=True, slots=True)
class Formula:
    """The hyper-parameters, by the paper's names, and the two modes, by the package's."""

    sigma: float = 0.45
    """Exponent of the relative frequency; smaller values raise rare words."""
    lambda_: float = 0.5
    """How many deviations above the median a class must be to be half significant."""
    rho: float = 1.0
    """How hard a word is punished for being significant to several classes."""
    sg: SignificanceMode = "vanilla"
    cv: ConfidenceMode = "gv"


def local_value(counts: Int64, largest: Int64, sigma: float) -> Float64:
    """Return lv, [C, k], in 0..1: how frequent a word is beside its class's most frequent one.

    Parameters
    ----------
    counts
        How often each word was read in each class, [C, k].
    largest
        The largest count of any word in each class, [C].
    sigma
        Exponent, positive.

    Examples
    --------
    >>> local_value(np.array([[4, 1]]), np.array([16]), 0.5).tolist()
    [[0.5, 0.0]]
    """
    share = counts / np.maximum(largest, 1)[:, np.newaxis]
    return np.where(counts > 1, share**sigma, 0.0)


def significance(lv: Float64, counts: Int64, formula: Formula) -> Float64:
    """Return sg, [C, k], in 0..1: whether a word stands out in a class from the other classes.

    A class in which the word never occurred has 0.
    """
    median, deviation = _median_and_deviation(lv)
    if formula.sg == "xai" and formula.lambda_ > 0:
        too_small = formula.lambda_ * deviation <= LEAST_DEVIATION
        deviation = np.where(too_small, LEAST_DEVIATION / formula.lambda_, deviation)
    width = formula.lambda_ * deviation
    rises = width > 0
    distance = (lv - median) / np.where(rises, width, 1.0)
    sg = np.where(rises, 0.5 * np.tanh(STEEPNESS * (distance - 1.0)) + 0.5, 0.0)
    sg[(deviation == 0) & (lv > 0)] = 1.0
    if formula.sg == "xai":
        everywhere = (median > 0.2) | (lv > 0.09).all(axis=0)
        sg[:, (everywhere & (deviation <= 0.1)) | (median >= 0.3)] = 0.0
    sg[counts == 0] = 0.0
    return sg


def sanction(sg: Float64, rho: float) -> Float64:
    """Return sn, [C, k], in 0..1: 1 if no other class finds the word significant, 0 if all do."""
    others = sg.sum(axis=0) - sg
    most = len(sg) - 1
    sn: Float64 = np.maximum((most - others) / (most * (others + 1.0)), 0.0) ** rho
    return sn


def global_value(counts: Int64, largest: Int64, formula: Formula) -> Float64:
    """Return gv = lv * sg * sn, [C, k], in 0..1; arguments as for `local_value`."""
    lv = local_value(counts, largest, formula.sigma)
    sg = significance(lv, counts, formula)
    return lv * sg * sanction(sg, formula.rho)


def confidence(gv: Float64, most_gv: Float64, formula: Formula) -> Float64:
    """Return cv, [C, k]: gv itself, or its share of the class's largest gv (`most_gv`, [C]).

    For single words ``norm_gv_xai`` is ``norm_gv``; the two differ for longer terms only.
    """
    if formula.cv == "gv":
        return gv
    return gv / np.where(most_gv > 0, most_gv, 1.0)[:, np.newaxis]


def confidence_table(counts: Int64, formula: Formula) -> Float64:
    """Return cv of a whole vocabulary, [C, V], from its counts, [C, V].

    Examples
    --------
    >>> counts = np.array([[9, 4, 1], [0, 4, 9]])
    >>> confidence_table(counts, Formula(sigma=0.5)).round(3).tolist()
    [[1.0, 0.002, 0.0], [0.0, 0.002, 1.0]]
    """
    gv = global_value(counts, counts.max(axis=1, initial=0), formula)
    return confidence(gv, gv.max(axis=1, initial=0.0), formula)


def _median_and_deviation(lv: Float64) -> tuple[Float64, Float64]:
    """Return the lower median over classes and the mean distance from it, [k] each.

    For two classes the deviation is defined as the median itself: the smaller of the two.
    """
    median = np.sort(lv, axis=0)[(len(lv) - 1) // 2]
    if len(lv) == 2:
        return median, median
    return median, np.abs(lv - median).mean(axis=0)

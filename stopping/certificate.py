"""What a calibration promises, and everything needed to check it again.

A certificate is plain data: `to_json` gives values that any JSON writer takes, `from_json` reads
them back and refuses what is no certificate. `stopping.check` recomputes one from the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from stopping.reader import Reader
from stopping.tallies import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 1
Control = Literal["marginal", "conditional"]
Mode = Literal["reference"]
Dtype = Literal["float32", "float64"]
CONTROLS: tuple[Control, ...] = ("marginal", "conditional")
MODES: tuple[Mode, ...] = ("reference",)
DTYPES: tuple[Dtype, ...] = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How many calibration streams are missing before anything at all can be certified."""

    needed: int
    available: int

    @property
    def missing(self) -> int:
        """Streams to add."""
        return self.needed - self.available


@dataclass(frozen=True, slots=True)
class Baseline:
    """What answering the majority class at step 1 would cost, on the same calibration streams."""

    label: int
    """Majority class index among the calibration streams."""
    losses: int
    n: int

    @property
    def gap(self) -> float:
        """Share of streams with a loss."""
        return self.losses / max(self.n, 1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Calibrated thresholds with the evidence for them.

    Entry t - 1 of everything that has one entry a step belongs to step t. `halted` counts the
    published set {tau_i <= t}; `stopped_early` only {tau_i <= t, tau_i < T_i}. Both on the
    testing part: for conditional control the rows not in `screening_indices`, else all.
    """

    mode: Mode
    control: Control
    loss: str
    """Name of the loss, ``gap`` for the accuracy gap."""
    alpha: float
    """Level that the expected loss is kept at or below."""
    delta: float
    """1 - delta is the confidence, over the draw of the calibration streams."""
    n: int
    """Calibration streams in all."""
    n_screening: int
    n_testing: int
    screening_indices: tuple[int, ...]
    """Rows, from 0, that candidates were screened on; no others."""
    seed: int | None
    """Of the permutation that chose them; None = the first rows, in the order given."""
    dtype: Dtype
    """Type of the readiness; thresholds are exact values of it."""
    grid: tuple[float, ...]
    """Candidate thresholds in the order they were tried."""
    thresholds: tuple[float | None, ...]
    """Halt at step t if readiness is at least this; None = not before the end. T entries."""
    halted: Tally
    stopped_early: Tally
    p_values: tuple[float | None, ...]
    """P(Bin(m, alpha) <= g) for `halted` by each step; None where none had halted."""
    baseline: Baseline | None
    """None where the labels were not given."""
    shortfall: Shortfall | None
    """None where there are enough calibration streams to certify anything."""

    @property
    def horizon(self) -> int:
        """T."""
        return len(self.thresholds)

    @property
    def certifies(self) -> bool:
        """Whether any early stop is certified."""
        return any(threshold is not None for threshold in self.thresholds)

    @property
    def vacuous(self) -> bool | None:
        """Whether answering the majority class at step 1 would keep the level too."""
        return None if self.baseline is None else self.baseline.gap <= self.alpha

    def threshold_array(self) -> NDArray[np.float64]:
        """Return the thresholds as [T], +inf where the rule never stops early."""
        return np.array([np.inf if x is None else x for x in self.thresholds])

    def at(self, step: int) -> dict[str, Any]:
        """Return what stands behind a halt at `step` (from 1), as JSON values.

        For marginal control only the whole set was tested, so the counts are those of step T.
        """
        k = (self.horizon if self.control == "marginal" else step) - 1
        return {
            "control": self.control,
            "mode": self.mode,
            "loss": self.loss,
            "alpha": self.alpha,
            "delta": self.delta,
            "n_screening": self.n_screening,
            "n_testing": self.n_testing,
            "step": step,
            "threshold": self.thresholds[step - 1],
            "halted": self.halted.halted[k],
            "losses": self.halted.losses[k],
            "p_value": self.p_values[k],
            "vacuous": self.vacuous,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as JSON values: no NaN, no infinity; the gaps are added."""
        return {
            "format": FORMAT,
            "mode": self.mode,
            "control": self.control,
            "loss": self.loss,
            "alpha": self.alpha,
            "delta": self.delta,
            "n": self.n,
            "n_screening": self.n_screening,
            "n_testing": self.n_testing,
            "screening_indices": list(self.screening_indices),
            "seed": self.seed,
            "dtype": self.dtype,
            "grid": list(self.grid),
            "thresholds": list(self.thresholds),
            "halted": _tally_json(self.halted),
            "stopped_early": _tally_json(self.stopped_early),
            "p_values": list(self.p_values),
            "vacuous": self.vacuous,
            "baseline": _baseline_json(self.baseline),
            "shortfall": _shortfall_json(self.shortfall),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; derived values (gaps, vacuous, missing) are recomputed.

        Raises
        ------
        CertificateError
        """
        read = Reader(document)
        read.one_of("format", [FORMAT])
        thresholds = read.optional_numbers("thresholds")
        horizon = len(thresholds)
        return cls(
            mode=read.one_of("mode", MODES),
            control=read.one_of("control", CONTROLS),
            loss=read.text("loss"),
            alpha=read.share("alpha"),
            delta=read.share("delta"),
            n=read.count("n"),
            n_screening=read.count("n_screening"),
            n_testing=read.count("n_testing"),
            screening_indices=read.counts("screening_indices"),
            seed=read.optional_count("seed"),
            dtype=read.one_of("dtype", DTYPES),
            grid=read.numbers("grid"),
            thresholds=thresholds,
            halted=_tally(read.inner("halted"), horizon),
            stopped_early=_tally(read.inner("stopped_early"), horizon),
            p_values=read.optional_numbers("p_values", horizon),
            baseline=_baseline(read.optional_inner("baseline")),
            shortfall=_shortfall(read.optional_inner("shortfall")),
        )


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {
        "halted": list(tally.halted),
        "losses": list(tally.losses),
        "gaps": list(tally.gaps),
    }


def _tally(read: Reader, horizon: int) -> Tally:
    return Tally(read.counts("halted", horizon), read.counts("losses", horizon))


def _baseline_json(baseline: Baseline | None) -> dict[str, Any] | None:
    if baseline is None:
        return None
    return {
        "label": baseline.label,
        "losses": baseline.losses,
        "n": baseline.n,
        "gap": baseline.gap,
    }


def _baseline(read: Reader | None) -> Baseline | None:
    if read is None:
        return None
    return Baseline(read.count("label"), read.count("losses"), read.count("n"))


def _shortfall_json(shortfall: Shortfall | None) -> dict[str, Any] | None:
    if shortfall is None:
        return None
    return {
        "needed": shortfall.needed,
        "available": shortfall.available,
        "missing": shortfall.missing,
    }


def _shortfall(read: Reader | None) -> Shortfall | None:
    return None if read is None else Shortfall(read.count("needed"), read.count("available"))

"""What a calibration promises, and everything needed to check it again.

A certificate is plain data: `to_json` gives values that any JSON writer takes, `from_json` reads
them back and refuses what is no certificate. `stopping.check` recomputes one from the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from stopping.evidence import (
    Baseline,
    Shortfall,
    baseline_json,
    read_baseline,
    read_shortfall,
    read_tally,
    shortfall_json,
    tally_json,
)
from stopping.onesided_certificate import OneSided, Precision
from stopping.pvalues import p_value_above
from stopping.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stopping.tallies import Tally

FORMAT = 1
Control = Literal["marginal", "conditional", "one-sided"]
Mode = Literal["reference"]
Dtype = Literal["float32", "float64"]
CONTROLS: tuple[Control, ...] = ("marginal", "conditional", "one-sided")
MODES: tuple[Mode, ...] = ("reference",)
DTYPES: tuple[Dtype, ...] = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Calibrated thresholds with the evidence for them.

    Entry t - 1 of everything that has one entry a step belongs to step t. `halted` counts the
    published set {tau_i <= t}; `stopped_early` only {tau_i <= t, tau_i < T_i}. Both on the
    testing part: for conditional control the rows not in `screening_indices`, else all.

    One-sided: `halted` counts the streams *raised* by each step and `losses` the negatives among
    them, `stopped_early` those raised before their last step. The last step may have a threshold.
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
    """Candidate thresholds in the order they were tried. One-sided: empty; either all multiples of
    2^-16 (`stopping.raising.alarm_grid`) were, or the rules of `one_sided.precision`."""
    thresholds: tuple[float | None, ...]
    """Halt at step t if readiness is at least this; None = not before the end. T entries."""
    halted: Tally
    stopped_early: Tally
    p_values: tuple[float | None, ...]
    """P(Bin(m, alpha) <= g) for `halted` by each step; None where none had halted. One-sided: of
    the false alarms among all negatives, P(Bin(n_negative, alpha) <= negatives raised)."""
    baseline: Baseline | None
    """None where the labels were not given."""
    shortfall: Shortfall | None
    """None where there are enough calibration streams to certify anything."""
    one_sided: OneSided | None = None
    """None for marginal and conditional control."""

    @property
    def horizon(self) -> int:
        """T."""
        return len(self.thresholds)

    @property
    def certifies(self) -> bool:
        """Whether any early stop, or any alarm, is certified."""
        return any(threshold is not None for threshold in self.thresholds)

    @property
    def vacuous(self) -> bool | None:
        """Whether an answer that knows nothing would keep the level too and do as well.

        Marginal, conditional: the majority class at step 1; None where labels were not given.
        One-sided: raising alpha of the streams blindly, which raises alpha of the positives. It is
        so unless an exact test at delta shows that the rule raises more; None without positives.
        """
        if self.one_sided is not None:
            n_positive = self.one_sided.n_positive
            sensed = p_value_above(self.positives_raised[-1], n_positive, self.alpha)
            return bool(sensed > self.delta) if n_positive else None
        return None if self.baseline is None else self.baseline.gap <= self.alpha

    @property
    def positives_raised(self) -> tuple[int, ...]:
        """One-sided: positives of the testing part raised by each step."""
        return tuple(m - g for m, g in zip(self.halted.halted, self.halted.losses, strict=True))

    def threshold_array(self) -> NDArray[np.float64]:
        """Return the thresholds as [T], +inf where the rule never stops early."""
        return np.array([np.inf if x is None else x for x in self.thresholds])

    def at(self, step: int) -> dict[str, Any]:
        """Return what stands behind a halt at `step` (from 1), as JSON values.

        For marginal control, and for a false-alarm rate, only the whole set was tested, so the
        counts are those of step T.
        """
        by_step = self.control == "conditional" or self._precision is not None
        k = (step if by_step else self.horizon) - 1
        return self._one_sided_at(step) | {
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
            "p_value": self.p_values[-1 if self.one_sided else k],
            "vacuous": self.vacuous,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as JSON values: no NaN, no infinity; the gaps are added.

        `one_sided` is there for one-sided control only.
        """
        return self._one_sided_json() | {
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
            "halted": tally_json(self.halted),
            "stopped_early": tally_json(self.stopped_early),
            "p_values": list(self.p_values),
            "vacuous": self.vacuous,
            "baseline": baseline_json(self.baseline),
            "shortfall": shortfall_json(self.shortfall),
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
        control = read.one_of("control", CONTROLS)
        return cls(
            mode=read.one_of("mode", MODES),
            control=control,
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
            halted=read_tally(read.inner("halted"), horizon),
            stopped_early=read_tally(read.inner("stopped_early"), horizon),
            p_values=read.optional_numbers("p_values", horizon),
            baseline=read_baseline(read.optional_inner("baseline")),
            shortfall=read_shortfall(read.optional_inner("shortfall")),
            one_sided=(
                OneSided.read(read.inner("one_sided"), horizon) if control == "one-sided" else None
            ),
        )

    @property
    def _precision(self) -> Precision | None:
        return None if self.one_sided is None else self.one_sided.precision

    def _one_sided_at(self, step: int) -> dict[str, Any]:
        if self.one_sided is None:
            return {}
        precision = self._precision
        return {
            "n_negative": self.one_sided.n_negative,
            "n_positive": self.one_sided.n_positive,
            "false_alarms": self.halted.losses[-1],
            "positives_raised": self.positives_raised[-1],
            "precision": None if precision is None else precision.level,
            "precision_p_value": None if precision is None else precision.p_values[step - 1],
        }

    def _one_sided_json(self) -> dict[str, Any]:
        if self.one_sided is None:
            return {}
        return {
            "one_sided": self.one_sided.to_json()
            | {
                "negatives_raised": list(self.halted.losses),
                "positives_raised": list(self.positives_raised),
            }
        }

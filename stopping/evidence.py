"""What a certificate says beside its thresholds: what is missing, what knowing nothing costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stopping.tallies import Tally

if TYPE_CHECKING:
    from stopping.reader import Reader


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How many calibration streams are missing before anything at all can be certified.

    One-sided: negatives of the testing part.
    """

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


def tally_json(tally: Tally) -> dict[str, Any]:
    """Return the counts, and the shares they give, as JSON values."""
    return {
        "halted": list(tally.halted),
        "losses": list(tally.losses),
        "gaps": list(tally.gaps),
    }


def read_tally(read: Reader, horizon: int) -> Tally:
    """Return what `tally_json` wrote, for `horizon` steps."""
    return Tally(read.counts("halted", horizon), read.counts("losses", horizon))


def baseline_json(baseline: Baseline | None) -> dict[str, Any] | None:
    """Return JSON values."""
    if baseline is None:
        return None
    return {
        "label": baseline.label,
        "losses": baseline.losses,
        "n": baseline.n,
        "gap": baseline.gap,
    }


def read_baseline(read: Reader | None) -> Baseline | None:
    """Return what `baseline_json` wrote."""
    if read is None:
        return None
    return Baseline(read.count("label"), read.count("losses"), read.count("n"))


def shortfall_json(shortfall: Shortfall | None) -> dict[str, Any] | None:
    """Return JSON values."""
    if shortfall is None:
        return None
    return {
        "needed": shortfall.needed,
        "available": shortfall.available,
        "missing": shortfall.missing,
    }


def read_shortfall(read: Reader | None) -> Shortfall | None:
    """Return what `shortfall_json` wrote."""
    return None if read is None else Shortfall(read.count("needed"), read.count("available"))

"""What the certificate of a one-sided rule has besides that of the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from stopping.reader import Reader


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule of the path that was tested: raise from a step on where readiness is at least x."""

    opening: int
    """First step, from 1, at which the rule may raise."""
    threshold: float
    p_screening: float
    """Largest p-value of its tests on the screening part; the path is in this order."""
    p_testing: float
    """The same on the testing part: accepted if at most delta. 1 where no stream was raised."""
    raised: int
    """Streams of the testing part that it raises by step T."""
    false_alarms: int
    """Negatives among them."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The promise about the share of right ones among the alarms."""

    level: float
    """Least share of positives among the streams raised by any step."""
    needed_raised: int
    """Streams that must be raised by a step, even if all are positive, before it can be shown."""
    p_values: tuple[float | None, ...]
    """P(Bin(raised, 1 - level) <= negatives raised) by each step; None where none is raised."""
    tried: tuple[Tried, ...]
    """In the order tested; all but the last were accepted, and the last if `accepted` says so."""
    accepted: int
    """How many of `tried` were; the last of these is the rule, none raises nothing."""


@dataclass(frozen=True, slots=True)
class OneSided:
    """The testing part of a one-sided calibration; raised streams by step are its `halted`."""

    n_negative: int
    """Streams of the testing part for which the alarm is wrong."""
    n_positive: int
    precision: Precision | None
    """None where only the false-alarm rate was asked for."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {"precision": _precision_json(self.precision)}

    @classmethod
    def read(cls, read: Reader, horizon: int) -> Self:
        """Return what `to_json` wrote; raises CertificateError."""
        precision = read.optional_inner("precision")
        return cls(
            n_negative=read.count("n_negative"),
            n_positive=read.count("n_positive"),
            precision=None if precision is None else _precision(precision, horizon),
        )


def _precision_json(precision: Precision | None) -> dict[str, Any] | None:
    if precision is None:
        return None
    return asdict(precision) | {
        "p_values": list(precision.p_values),
        "tried": [asdict(tried) for tried in precision.tried],
    }


def _precision(read: Reader, horizon: int) -> Precision:
    return Precision(
        level=read.share("level"),
        needed_raised=read.count("needed_raised"),
        p_values=read.optional_numbers("p_values", horizon),
        tried=tuple(
            Tried(
                opening=tried.count("opening"),
                threshold=tried.number("threshold"),
                p_screening=tried.number("p_screening"),
                p_testing=tried.number("p_testing"),
                raised=tried.count("raised"),
                false_alarms=tried.count("false_alarms"),
            )
            for tried in read.inners("tried")
        ),
        accepted=read.count("accepted"),
    )

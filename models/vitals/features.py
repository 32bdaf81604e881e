"""What the trees look at: a row of numbers a stream, made from its memory alone.

Of each channel that can change within a stream: its last value, the hours since, how often it was
measured, how far the last value lies from the short and from the long average, and the spread
about the latter. Of a channel that never changes (age, ward): the value. Besides: the hours since
the first record, how much was measured lately, and a few figures that clinicians make of several
channels, where these channels are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.protocol import State

    Float32 = NDArray[np.float32]

Selection = Literal["all", "values", "clock"]

CLOCK = "hours since the first record"
BUSY = "values measured lately"
MISSING = np.float32(np.nan)


class Feature(NamedTuple):
    """One column of the matrix."""

    shown: str
    """What it is called in an explanation: its channel, or what was made of several."""
    kind: str
    """``clock``, ``busy``, ``made``, or which of a channel's numbers it is."""
    places: tuple[int, ...] = ()
    """The remembered channels that it comes from."""


class Made(NamedTuple):
    """A figure made of the last values of several channels."""

    shown: str
    kind: Literal["ratio", "difference", "outside"]
    channels: tuple[str, ...]
    normal: tuple[tuple[float, float], ...] = ()
    """``outside``: the figure is how many of the channels lie outside these ranges."""


ANY = float("inf")
MADE = (
    Made("HR/SBP", "ratio", ("HR", "SBP")),
    Made("BUN/Creatinine", "ratio", ("BUN", "Creatinine")),
    Made("O2Sat/FiO2", "ratio", ("O2Sat", "FiO2")),
    Made("SBP-DBP", "difference", ("SBP", "DBP")),
    Made(
        "signs of inflammation", "outside", ("Temp", "HR", "Resp", "WBC"),
        ((36.0, 38.0), (0.0, 90.0), (0.0, 20.0), (4.0, 12.0)),
    ),
    Made(
        "signs of organ failure", "outside",
        ("Platelets", "Creatinine", "Bilirubin_total", "MAP", "SBP", "Lactate"),
        ((100.0, ANY), (0.0, 2.0), (0.0, 2.0), (70.0, ANY), (100.0, ANY), (0.0, 2.0)),
    ),
)  # fmt: skip
"""In the units of the PhysioNet/CinC Challenge 2019; only for channels that bear its names."""


TRENDS = ("beside fast", "beside slow", "spread")
WORKFLOW = ("age", "count")
"""Kinds that tell when and how often staff measured, rather than what they found."""


@dataclass(frozen=True)
class Features:
    """Makes the matrix of one classifier.

    Parameters
    ----------
    names
        Of the remembered channels, [u].
    selection
        As `TreesOptions.features` says.
    """

    names: tuple[str, ...]
    selection: Selection = "all"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which numbers of each channel are columns; every kind has a column a channel."""
        if self.selection == "clock":
            return ("last",)
        return ("last", *(WORKFLOW if self.selection == "all" else ()), *TRENDS)

    @cached_property
    def columns(self) -> tuple[Feature, ...]:
        """What each column of the matrix is."""
        busy = (Feature(BUSY, "busy"),) if self.selection == "all" else ()
        own = (Feature(n, kind, (k,)) for kind in self.kinds for k, n in enumerate(self.names))
        made = (Feature(figure.shown, "made", places) for figure, places in self._made)
        return (Feature(CLOCK, "clock"), *busy, *own, *made)

    def matrix(self, state: State) -> Float32:
        """Return float32 [n, F]; NaN where there is nothing to tell."""
        measured = state["count"] > 0
        last = np.where(measured, state["last"], MISSING)
        columns = [state["hour"][:, np.newaxis]]
        if self.selection == "all":
            columns.append(state["busy"][:, np.newaxis])
        columns += [_number(kind, state, last, measured) for kind in self.kinds]
        columns += [_figure(figure, last[:, places]) for figure, places in self._made]
        return np.concatenate(columns, axis=1)

    @cached_property
    def _made(self) -> tuple[tuple[Made, tuple[int, ...]], ...]:
        """The figures whose channels are all there, and where these are."""
        if self.selection == "clock":
            return ()
        known = set(self.names)
        return tuple(
            (figure, tuple(map(self.names.index, figure.channels)))
            for figure in MADE
            if known.issuperset(figure.channels)
        )


def _number(kind: str, state: State, last: Float32, measured: NDArray[np.bool_]) -> Float32:
    """Return one number of every channel, [n, u]."""
    match kind:
        case "last":
            return last
        case "age":
            since: Float32 = state["hour"][:, np.newaxis] - state["read_hour"]
            since[~measured] = MISSING
            return since
        case "count":
            return state["count"].astype(np.float32)
        case "beside fast":
            return last - state["fast"]
        case "beside slow":
            return last - state["slow"]
        case _:
            spread: Float32 = np.where(state["count"] > 1, np.sqrt(state["variance"]), MISSING)
            return spread


def _figure(figure: Made, last: Float32) -> Float32:
    """Return one figure, [n, 1], from the last values of its channels, [n, its channels]."""
    if figure.kind == "outside":
        low, high = np.array(figure.normal, np.float32).T
        outside = (last < low) | (last > high)  # what was not measured counts as normal
        number: Float32 = outside.sum(axis=1, keepdims=True, dtype=np.float32)
        return number
    one, other = last[:, :1], last[:, 1:]
    if figure.kind == "difference":
        difference: Float32 = one - other
        return difference
    with np.errstate(over="ignore"):
        ratio = one / np.where(other == 0, MISSING, other)
    finite: Float32 = np.where(np.isfinite(ratio), ratio, MISSING)
    return finite

"""The port through which detectors are scored: the engine, wherever it lives.

This room may not import the engine, so calibration and evaluation get it as an argument. That it
is the very engine which serves is what makes the calibrated promise hold for served decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from detectors.detector import Detector
    from models.inputs import Inputs, Modality


@dataclass(frozen=True)
class StreamSet:
    """One part of a data set, the steps of all streams one below the other.

    Stream i has the id ``{name}/{split}/{ids[i]}``, its event at step t (from 1) the id
    ``{name}/{split}/{ids[i]}/{t}``; `ids` are row numbers in the data set's part, so that a
    subset names its streams as the whole does.
    """

    name: str
    split: str
    modality: Modality
    ids: NDArray[np.int64]
    """Row of each stream in the data set's part of that name, [n]."""
    inputs: Inputs
    """Steps (see `models.inputs`), [sum of lengths]; no padding."""
    offsets: NDArray[np.int64]
    """[n + 1]; stream i has the steps ``offsets[i]`` to ``offsets[i + 1]``, at least one."""
    labels: NDArray[np.int64]
    """True class, index into `classes`, [n]."""
    subjects: NDArray[np.int64]
    """Whose stream it is, [n]; the row number where the set does not say."""
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    times_s: NDArray[np.float64] | None = None
    """When each step was recorded, seconds from 1970 UTC, [sum of lengths]; None = not known."""
    step_labels: NDArray[np.int64] | None = None
    """Class that was true at each step, [sum of lengths]; None = not known."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each stream, [n]."""
        return np.diff(self.offsets)

    def stream_id(self, i: int) -> str:
        """Return the id of the i-th stream."""
        return f"{self.name}/{self.split}/{self.ids[i]}"

    def event_id(self, i: int, step: int) -> str:
        """Return the id of the i-th stream's event at `step`, which counts from 1."""
        return f"{self.name}/{self.split}/{self.ids[i]}/{step}"

    def subset(self, rows: NDArray[np.int64]) -> StreamSet:
        """Return the streams at positions `rows`, in that order, under the same ids."""
        steps, offsets = rows_of(self.offsets, rows)
        return replace(
            self, ids=self.ids[rows], inputs=self.inputs[steps], offsets=offsets,
            labels=self.labels[rows], subjects=self.subjects[rows],
            times_s=None if self.times_s is None else self.times_s[steps],
            step_labels=None if self.step_labels is None else self.step_labels[steps],
        )  # fmt: skip

    def first_steps(self, horizon: int) -> StreamSet:
        """Return the streams cut after `horizon` steps."""
        lengths = np.minimum(self.lengths, horizon)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        steps = np.repeat(self.offsets[:-1] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(
            self, inputs=self.inputs[steps], offsets=offsets,
            times_s=None if self.times_s is None else self.times_s[steps],
            step_labels=None if self.step_labels is None else self.step_labels[steps],
        )  # fmt: skip


def rows_of(
    offsets: NDArray[np.int64], streams: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the step rows of the chosen streams, in their order, and their new offsets.

    >>> steps, ends = rows_of(np.array([0, 2, 3, 6]), np.array([2, 0]))
    >>> steps.tolist(), ends.tolist()
    ([3, 4, 5, 0, 1], [0, 3, 5])
    """
    lengths = np.diff(offsets)[streams]
    new = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return np.repeat(offsets[streams] - new[:-1], lengths) + np.arange(new[-1]), new


@dataclass(frozen=True)
class Scored:
    """What a detector answered to n streams, every one of them followed to its end.

    A stream ends at its length or at the detector's horizon, whichever is first; arrays over steps
    have T = the detector's horizon columns.
    """

    readiness: NDArray[np.float64]
    """[n, T]; -inf = not eligible, NaN past the stream's end."""
    predicted: NDArray[np.int64]
    """Class index of the largest probability, [n, T]; -1 past the stream's end."""
    probability: NDArray[np.float64]
    """Probability of `predicted`, [n, T]; NaN past the stream's end."""
    halt_step: NDArray[np.int64]
    """Step at which the rule decided, from 1, [n]."""
    label: NDArray[np.int64]
    """Class index decided (the early answer), [n]."""
    late_label: NDArray[np.int64]
    """Class index at the stream's end, [n]."""
    late_probability: NDArray[np.float64]
    """Probability of `late_label`, [n]."""
    length: NDArray[np.int64]
    """The stream's end as the engine saw it (T_i), in steps, [n]."""
    reasons: list[str]
    """``threshold``, ``horizon`` or ``end``, one a stream."""
    decisions: tuple[Mapping[str, Any], ...]
    """One row a decision, in stream order: id, detector, version, stream_id, episode, label,
    probability, halt_step, reason."""


class Scorer(Protocol):
    """Answer a set of streams with a detector, every stream a shadow."""

    def __call__(
        self,
        detector: Detector,
        streams: StreamSet,
        advance: Callable[[int], None] | None = None,
    ) -> Scored:
        """Return the answers, in the order of `streams`.

        `advance` is called with the number of streams finished since the last call.
        """
        ...

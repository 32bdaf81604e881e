"""The port through which detectors are scored: the engine, wherever it lives.

This room may not import the engine, so calibration and evaluation get it as an argument. That it
is the very engine which serves is what makes the calibrated promise hold for served decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from detectors.detector import Detector


@dataclass(frozen=True)
class StreamSet:
    """One part of a data set, as padded frames.

    Stream i has the id ``{name}/{split}/{ids[i]}``, its event at step t (from 1) the id
    ``{name}/{split}/{ids[i]}/{t}``; `ids` are row numbers in the data set's part, so that a
    subset names its streams as the whole does.
    """

    name: str
    split: str
    ids: NDArray[np.int64]
    """Row of each stream in the data set's part of that name, [n]."""
    frames: NDArray[np.float32]
    """float32 [n, T, d], NaN past a stream's length."""
    lengths: NDArray[np.int64]
    """Steps of each stream, in 1..T, [n]."""
    labels: NDArray[np.int64]
    """True class, index into `classes`, [n]."""
    subjects: NDArray[np.int64]
    """Whose stream it is, [n]; the row number where the set does not say."""
    classes: tuple[str, ...]
    channels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def stream_id(self, i: int) -> str:
        """Return the id of the i-th stream."""
        return f"{self.name}/{self.split}/{self.ids[i]}"

    def event_id(self, i: int, step: int) -> str:
        """Return the id of the i-th stream's event at `step`, which counts from 1."""
        return f"{self.name}/{self.split}/{self.ids[i]}/{step}"

    def subset(self, rows: NDArray[np.int64]) -> StreamSet:
        """Return the streams at positions `rows`, in that order, under the same ids."""
        return StreamSet(
            name=self.name, split=self.split, ids=self.ids[rows], frames=self.frames[rows],
            lengths=self.lengths[rows], labels=self.labels[rows], subjects=self.subjects[rows],
            classes=self.classes, channels=self.channels,
        )  # fmt: skip


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

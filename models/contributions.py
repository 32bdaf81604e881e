"""The steps that moved an answer most, kept while the stream goes by.

An answer's log-odds are held in whole units of 1/1024 nat. Differences of whole numbers are exact,
so the weights of all steps add up to the change of the log-odds without remainder, whatever is
kept and whatever is dropped; and a weight takes two bytes a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.protocol import Contribution, Explanation, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from models.protocol import FloatArray, State

MOST_KEPT = 16
"""Steps that a decision is explained with."""
UNITS_PER_NAT = 1024
MOST_NATS = 15.99
"""Log-odds are cut here (a probability of 1e-7), so that a difference fits 16 bits."""
WIDEST_KEPT_FRAME = 8
"""Frames of more channels are not kept with their weights: the state must stay small."""


def units(log_odds: FloatArray) -> NDArray[np.int16]:
    """Return log-odds in nats as whole units.

    >>> units(np.array([1.0, -0.5, 99.0])).tolist()
    [1024, -512, 16374]
    """
    cut = np.clip(log_odds, -MOST_NATS, MOST_NATS)
    return np.rint(cut * UNITS_PER_NAT).astype(np.int16)


@dataclass(frozen=True, slots=True)
class LargestSteps:
    """Keeps, for each stream, the steps with the largest weights; the part of a state it owns.

    Parameters
    ----------
    n_classes
        Columns of the log-odds.
    channels
        Names of a frame's columns.
    horizon
        Most steps a stream has; no more than that many places are kept.
    """

    n_classes: int
    channels: tuple[str, ...]
    horizon: int

    @property
    def capacity(self) -> int:
        """Places kept, at most `MOST_KEPT`."""
        return min(MOST_KEPT, self.horizon)

    @property
    def keeps_frames(self) -> bool:
        """Whether the frame's values are kept beside the weights."""
        return len(self.channels) <= WIDEST_KEPT_FRAME

    def fields(self) -> dict[str, Field]:
        """Return the state arrays that this part owns."""
        own = {
            "log_odds": Field("int16", (self.n_classes,)),
            "step": Field("int32"),
            "top_step": Field("int32", (self.capacity,)),
            "top_weight": Field("int16", (self.capacity, self.n_classes)),
        }
        if self.keeps_frames:
            own["top_frame"] = Field("float32", (self.capacity, len(self.channels)))
        return own

    def start(self, n: int, prior: NDArray[np.int16]) -> State:
        """Return the state of n streams that have seen nothing; `prior` is int16 [C]."""
        state: State = {
            name: np.zeros((n, *field.shape), field.dtype) for name, field in self.fields().items()
        }
        state["log_odds"] = np.tile(prior, (n, 1))
        return state

    def step(self, state: State, log_odds: NDArray[np.int16], frames: FloatArray) -> State:
        """Return the state after a step that moved the answers to `log_odds` (int16 [n, C]).

        A step takes a free place, or that of the smallest step kept if its own largest weight
        (over classes, by absolute value) is larger. Of equal weights the older step stays.
        """
        weight = log_odds - state["log_odds"]
        step = state["step"] + 1
        top_step, top_weight = state["top_step"].copy(), state["top_weight"].copy()
        after: State = {
            "log_odds": log_odds, "step": step, "top_step": top_step, "top_weight": top_weight,
        }  # fmt: skip
        rows, places = self._places(state, step, weight)
        top_step[rows, places] = step[rows]
        top_weight[rows, places] = weight[rows]
        if self.keeps_frames:
            top_frame = state["top_frame"].copy()
            top_frame[rows, places] = frames[rows]
            after["top_frame"] = top_frame
        return after

    def explain(
        self, state: State, i: int, label: int, prior: NDArray[np.int16], method: str
    ) -> Explanation:
        """Return the kept steps of stream i, as weights for class index `label`."""
        weights = state["top_weight"][i, :, label].astype(np.int64)
        steps = state["top_step"][i]
        kept = np.flatnonzero(steps)
        order = kept[np.lexsort((steps[kept], -np.abs(weights[kept])))]
        moved = int(state["log_odds"][i, label]) - int(prior[label])
        # Column by column: indexing once a step costs more than all the rest.
        columns = zip(
            steps[order].tolist(),
            (weights[order] / UNITS_PER_NAT).tolist(),
            self._evidence(state, i, order),
            strict=True,
        )
        return Explanation(
            method=method,
            contributions=tuple(Contribution(*column) for column in columns),
            rest=(moved - int(weights[kept].sum())) / UNITS_PER_NAT,
        )

    def _places(
        self, state: State, step: NDArray[np.int32], weight: NDArray[np.int16]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return (rows, places): which streams keep this step, and where."""
        places = np.asarray(step - 1, dtype=np.intp)
        rows = np.arange(len(step))
        full = np.flatnonzero(step > self.capacity)
        if not len(full):
            return rows, places
        # A full row gives up its smallest step; of several, the latest.
        sizes = np.abs(state["top_weight"][full]).max(axis=2)
        oldest_last = sizes.astype(np.int64) << 32
        oldest_last -= state["top_step"][full]
        smallest = oldest_last.argmin(axis=1)
        size = np.abs(weight[full]).max(axis=1)
        stays = size > sizes[np.arange(len(full)), smallest]
        places[full] = smallest
        keeps = np.ones(len(step), dtype=np.bool_)
        keeps[full] = stays
        rows = rows[keeps]
        return rows, places[rows]

    def _evidence(
        self, state: State, i: int, places: NDArray[np.intp]
    ) -> list[Mapping[str, float | str]]:
        if not self.keeps_frames:
            return [{}] * len(places)
        frames = state["top_frame"][i, places].tolist()
        return [dict(zip(self.channels, frame, strict=True)) for frame in frames]

"""Gradient-boosted trees over what is remembered of a stream of measurements.

A record updates the memory (`memory`), the memory gives a row of features (`features`), and the
row goes through all trees at once (`ensemble`). Training stands in `trees_train`; scoring needs
numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from models.blocks import in_blocks
from models.contributions import MOST_KEPT
from models.inputs import vitals_dtype
from models.protocol import Contribution, Explanation, StepOutput
from models.vitals import trees_files
from models.vitals.errors import RecordError
from models.vitals.features import Features
from models.vitals.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from models.inputs import Inputs, Modality
    from models.protocol import Field, State
    from models.vitals.features import Feature
    from models.vitals.trees_files import TreesDescription, TreesWeights

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

IMPLAUSIBLE = "implausible"
NOT_MEASURED = "not measured"
METHOD = (
    "Each channel's weight is the sum of what the trees' questions about it changed in the "
    "expected log-odds of this label, over the stream's way through every tree; the weights and "
    "the log-odds expected of any training step add up to the answer."
)
METHOD_OF_MANY = (
    "Each channel's weight is the sum of what the trees' questions about it changed in the "
    "expected score of this label less the mean score of the others, over the stream's way "
    "through every tree; the weights and what is expected of any training step add up to it."
)


@dataclass(frozen=True, eq=False)
class TreesClassifier:
    """The classifier; see `models.protocol.Classifier` for what it promises."""

    description: TreesDescription
    weights: TreesWeights
    modality: Modality = "vitals"
    auxiliary: frozenset[str] = frozenset({IMPLAUSIBLE})
    """How many of a step's values lay outside their plausible range and were read as missing."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names; column order of the probabilities."""
        return self.description.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the measurements in a record, those that are not looked at included."""
        return self.description.channels

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and most plausible value of each channel that is looked at, by name."""
        pairs = self.weights.ranges.tolist()
        return {
            name: (low, high)
            for name, (low, high) in zip(self.description.used, pairs, strict=True)
        }

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a state: those of `Memory`."""
        return self._memory.fields()

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        return self._memory.start(n)

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Fold one record into each of n streams; raises RecordError unless they are such."""
        wanted = vitals_dtype(len(self.channels))
        if inputs.dtype != wanted or inputs.shape != state["step"].shape:
            raise RecordError(inputs, wanted, len(state["step"]))
        after, refused = self._memory.step(state, inputs)
        scores = self.weights.trees.scores(self.matrix(after))
        (probabilities,) = in_blocks(_probabilities, (np.ascontiguousarray(scores.T),))
        return after, StepOutput(probabilities, {IMPLAUSIBLE: refused})

    def matrix(self, state: State) -> Float32:
        """Return what the trees look at, float32 [n, F]."""
        matrix = self._features.matrix(state)
        if not np.isnan(self.weights.fill).all():
            matrix = np.where(np.isnan(matrix), self.weights.fill, matrix)
        return matrix

    def log_odds(self, state: State) -> Float64:
        """Return how much more each class is to be expected than the others, in nats, [n, C].

        For two classes the log-odds; for more, the score less the mean score of the others.
        """
        return _beside_others(self.weights.trees.scores(self.matrix(state))).T

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say why stream i (a row of `state`) got class index `label`."""
        many = len(self.classes) > 2
        method = METHOD_OF_MANY if many else METHOD
        alone = {name: array[i : i + 1] for name, array in state.items()}
        if not alone["step"][0]:
            return Explanation(method, ())
        moves = _beside_others(self.weights.trees.moves(self.matrix(alone)[0]))[label]
        columns = self._features.columns
        by_name: dict[str, float] = {}
        shown: dict[str, Feature] = {}
        for place in np.flatnonzero(moves):
            column = columns[place]
            by_name[column.shown] = by_name.get(column.shown, 0.0) + float(moves[place])
            shown[column.shown] = column
        largest = sorted(by_name, key=lambda name: (-abs(by_name[name]), name))
        listed = [
            self._contribution(alone, shown[name], by_name[name]) for name in largest[:MOST_KEPT]
        ]
        rest = sum(by_name[name] for name in largest[MOST_KEPT:])
        return Explanation(method, tuple(listed), float(rest))

    def save(self, folder: Path) -> None:
        """Write description and trees into `folder`."""
        trees_files.save(self.description, self.weights, folder)

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self.description.columns, self.weights.ranges)

    @cached_property
    def _features(self) -> Features:
        return Features(self.description.used, self.description.features)

    def _contribution(self, alone: State, column: Feature, weight: float) -> Contribution:
        """Return what was read where a feature comes from, out of the state of one stream."""
        now, hour = int(alone["step"][0]), float(alone["hour"][0])
        if column.kind in ("clock", "busy"):
            value = hour if column.kind == "clock" else float(alone["busy"][0])
            return Contribution(now, weight, {"channel": column.shown, "value": value})
        places = list(column.places)
        read = alone["count"][0, places] > 0
        evidence: dict[str, float | str] = {"channel": column.shown, "value": NOT_MEASURED}
        if not read.any():
            return Contribution(now, weight, evidence)
        if column.kind == "made":
            matrix = self._features.matrix(alone)[0]
            value = float(matrix[self._features.columns.index(column)])
        else:
            value = float(alone["last"][0, places[0]])
        if not np.isnan(value):
            evidence["value"] = value
        latest = float(alone["read_hour"][0, places][read].max())
        evidence["hours_ago"] = hour - latest
        return Contribution(int(alone["read_step"][0, places][read].max()), weight, evidence)


def load(folder: Path) -> TreesClassifier:
    """Return the classifier saved into `folder`; raises ModelFileError if it is not one."""
    return TreesClassifier(*trees_files.load(folder))


def _probabilities(scores: Float64) -> tuple[Float32]:
    """Return float32 [n, C] from scores [n, S]."""
    logits = (
        np.concatenate((np.zeros_like(scores), scores), axis=1) if scores.shape[1] == 1 else scores
    )
    likelihood = np.exp(logits - logits.max(axis=1, keepdims=True))
    return ((likelihood / likelihood.sum(axis=1, keepdims=True)).astype(np.float32),)


def _beside_others(scores: Float64) -> Float64:
    """Return each class's score less the mean of the others', [C, ...], from scores [S, ...]."""
    if len(scores) == 1:
        return np.concatenate((-scores, scores))
    others = (scores.sum(axis=0) - scores) / (len(scores) - 1)
    beside: Float64 = scores - others
    return beside

"""What every incremental classifier offers; `tests/contract/test_classifiers.py` checks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from models.inputs import Inputs, Modality

FloatArray = NDArray[np.floating[Any]]
State = dict[str, NDArray[Any]]
"""Batched state: each array has one row a stream. A value: never changed in place."""


class Field(NamedTuple):
    """One named array of a state: the numpy dtype and the shape of one stream's row."""

    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step of n streams gives."""

    probabilities: FloatArray
    """float32 [n, C], rows sum to 1."""
    auxiliary: Mapping[str, FloatArray] = field(default_factory=dict)
    """Named extra outputs, [n] each, for example ``correctness``."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """How far one step, one word or one channel moved the answer."""

    step: int
    """At which step it was read, from 1."""
    weight: float
    """How far it spoke for the decided label (negative: against it), in `Explanation.unit`."""
    evidence: Mapping[str, float | str]
    """What was read, by name: channels and values, ``word``, or ``channel``, ``value``, ..."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stream got its label, from the state alone."""

    method: str
    """How `weight` was found, in a sentence a reader of the decision understands."""
    contributions: tuple[Contribution, ...]
    """Largest absolute weight first, at most 16."""
    rest: float = 0.0
    """What those not listed add up to, in `unit`."""
    unit: str = "nats"
    """Of `weight`: ``nats`` added to the label's log-odds, or the classifier's own."""


@dataclass(frozen=True)
class LabelledStreams:
    """Streams to learn from, their steps one below the other."""

    inputs: Inputs
    """[sum of lengths]: the steps of stream i are rows ``offsets[i]`` to ``offsets[i + 1]``."""
    offsets: NDArray[np.int64]
    """[n + 1], from 0, ascending; a stream has at least one step."""
    labels: NDArray[np.int64]
    """Class index, [n]."""
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    step_labels: NDArray[np.int64] | None = None
    """Class index that was true at each step, [sum of lengths]; None = not known."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each stream, [n]."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.labels)


class Classifier(Protocol):
    """One modality's incremental classifier, with its fitted parameters.

    `step` is pure and O(1) in the length of the past, and row i of its results depends on row i
    of its arguments only: to the last bit, whatever other streams share the batch.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names; column order of the probabilities."""
        ...

    @property
    def modality(self) -> Modality:
        """What a step is; `models.inputs` says how it is held."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of what a step holds: frame columns, measurements, ``text``, or the classes."""
        ...

    @property
    def auxiliary(self) -> frozenset[str]:
        """Names of the auxiliary outputs that `step` gives."""
        ...

    def fields(self) -> Mapping[str, Field]:
        """Name, dtype and row shape of each array of the state; fixed for a fitted model."""
        ...

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        ...

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Fold one step into n streams; `inputs` has a row a stream. Changes no argument."""
        ...

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say why stream i (a row of `state`) got class index `label`."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into `folder` (JSON, safetensors; no pickle)."""
        ...


def take(state: State, rows: Sequence[int] | NDArray[np.intp]) -> State:
    """Return the given rows of a state, copied.

    >>> take({"h": np.arange(6.0).reshape(3, 2)}, [2, 0])["h"].tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """
    return {name: array[rows] for name, array in state.items()}

"""What every incremental classifier offers; `tests/contract/test_classifiers.py` checks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
    """How far one step moved the answer."""

    step: int
    """Counts from 1."""
    weight: float
    """Nats added to the log-odds of the decided label (negative: spoke against it)."""
    evidence: Mapping[str, float | str]
    """What was read at that step, by name: channel and value, or the word."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a stream got its label, from the state alone."""

    method: str
    """How `weight` was found, in a sentence a reader of the decision understands."""
    contributions: tuple[Contribution, ...]
    """Largest absolute weight first, at most 16."""
    rest: float = 0.0
    """Nats that the steps not listed add up to."""


@dataclass(frozen=True)
class LabelledFrames:
    """Streams to learn from, padded to one length."""

    frames: NDArray[np.float32]
    """float32 [n, T, d]; finite inside a stream's length, ignored past it."""
    lengths: NDArray[np.int64]
    """Steps of each stream, in 1..T, [n]."""
    labels: NDArray[np.int64]
    """Class index, [n]."""
    classes: tuple[str, ...]
    channels: tuple[str, ...]


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
    def channels(self) -> tuple[str, ...]:
        """Names of a frame's columns; their number d is the width a frame must have."""
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

    def step(self, state: State, inputs: FloatArray) -> tuple[State, StepOutput]:
        """Fold one step into n streams; `inputs` is float32 [n, d]. Changes no argument."""
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

"""The classifier that answers what a model outside says: its scores are the probabilities.

So any model, in any language and on any machine, can be put under a calibrated stopping rule: it
writes its scores onto the topic, and the rule, the guarantee, the decision and its way are ours.
The scores of one step are the whole answer so far; nothing is added up here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.contributions import LargestSteps, units
from models.errors import InputError, ModelFileError
from models.protocol import Explanation, Field, StepOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from models.inputs import Inputs, Modality
    from models.protocol import FloatArray, LabelledStreams, State
    from models.scores.options import PassThroughOptions

FILE = "passthrough.json"
LEAST = 1e-7
"""Probabilities are cut here before log-odds are taken."""
METHOD = (
    "The answer comes from a model outside. Each step's weight is the change it made to that "
    "model's log-odds of this label; why the model answered so, only its owner can say."
)


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is saved."""

    classes: tuple[str, ...]
    horizon: int
    prior: tuple[int, ...]
    """Log-odds of each class's share among the training streams, in 1/1024 nat."""


@dataclass(frozen=True)
class PassThrough:
    """The classifier; see `models.protocol.Classifier` for what it promises."""

    description: _Description
    modality: Modality = "scores"
    auxiliary: frozenset[str] = frozenset()

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names."""
        return self.description.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """A step holds a score for each label."""
        return self.description.classes

    @property
    def _steps(self) -> LargestSteps:
        return LargestSteps(len(self.classes), self.classes, self.description.horizon)

    @property
    def _prior(self) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        return np.array(self.description.prior, np.int16)

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays that remember which steps moved the answer most."""
        return self._steps.fields()

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        return self._steps.start(n, self._prior)

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Take the scores [n, C] as they are; raises InputError if they are not float32 [n, C]."""
        shape = (len(state["step"]), len(self.classes))
        if inputs.shape != shape or inputs.dtype != np.float32:
            raise InputError(inputs, shape)
        after = self._steps.step(state, units(_log_odds(inputs)), inputs)
        return after, StepOutput(inputs.copy())

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say which steps moved the model's answer most."""
        return self._steps.explain(state, i, label, self._prior, METHOD)

    def save(self, folder: Path) -> None:
        """Write the labels into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(msgspec.json.encode(self.description) + b"\n")


def train(
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: PassThroughOptions,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> PassThrough:
    """Learn nothing but how frequent each label is, for the explanations to begin from."""
    del tuning, options, advance
    counts = np.bincount(fit.labels, minlength=len(fit.classes)) + 1.0
    prior = units(_log_odds(counts / counts.sum()))
    return PassThrough(_Description(fit.classes, horizon, tuple(prior.tolist())))


def load(folder: Path) -> PassThrough:
    """Return the classifier saved into `folder`; raises ModelFileError if it is not one."""
    path = folder / FILE
    try:
        description = msgspec.json.decode(path.read_bytes(), type=_Description)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelFileError(path, f"it is no pass-through classifier ({error})") from error
    n = len(description.classes)
    if n < 2 or len(description.prior) != n or description.horizon < 1:
        raise ModelFileError(path, "labels, prior and horizon do not fit each other")
    if max(map(abs, description.prior)) > np.iinfo(np.int16).max:
        raise ModelFileError(path, "a prior is out of range")
    return PassThrough(description)


def _log_odds(probabilities: FloatArray) -> FloatArray:
    cut = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    odds: FloatArray = np.log(cut) - np.log1p(-cut)
    return odds

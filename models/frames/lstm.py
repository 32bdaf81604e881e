"""A one-layer LSTM over frames, or over the features of frames, scored one step at a time.

Two heads read the hidden state after every step: the classes' probabilities, and ``correctness``,
the model's own estimate that its answer now is right. Training stands in `lstm_train`; scoring
needs numpy alone, which was faster than torch here and, unlike it, free of the row's position
(`docs/decisions/0003`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from models.blocks import in_blocks, position_matters
from models.contributions import LargestSteps, units
from models.errors import InputError
from models.frames import lstm_weights
from models.frames.logmel import LogMel
from models.protocol import Explanation, Field, StepOutput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from models.frames.lstm_weights import LstmDescription, LstmWeights
    from models.inputs import Modality
    from models.protocol import FloatArray, State

    Float32 = NDArray[np.float32]

CORRECTNESS = "correctness"
METHOD = (
    "Each step's weight is the change it made to the model's log-odds of this label; the weights "
    "of all steps and the label's share among the training streams add up to the answer."
)
HEAD_ROWS = 16
"""The heads' product gets a multiple of this many rows: full inner loops, whatever C is."""
LEAST_REST = 1e-30
FARTHEST = np.float32(1e6)
"""Standardised frames are cut here, so that no finite frame makes a sum that is not."""


class LstmClassifier:
    """The classifier; see `models.protocol.Classifier` for what it promises.

    Parameters
    ----------
    description, weights
        As fitted or loaded; they must fit each other (`lstm_weights.shapes`).
    row_by_row
        Multiply each row for itself. Slower, and free of the row's position by construction; None
        finds out whether this machine needs it.
    """

    auxiliary = frozenset({CORRECTNESS})

    def __init__(
        self, description: LstmDescription, weights: LstmWeights, row_by_row: bool | None = None
    ) -> None:
        self.description = description
        self.weights = weights
        self._frontend = _frontend(description)
        kept = description.channels if self._frontend is None else self._frontend.evidence
        self._steps = LargestSteps(len(description.classes), kept, description.horizon)
        self._recurrent, self._recurrent_bias = _halved_gates(weights, description.hidden)
        self._head, self._head_bias = _filled_heads(weights)
        self.row_by_row = self._needs_row_by_row() if row_by_row is None else row_by_row

    modality: Modality = "frames"

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names; column order of the probabilities."""
        return self.description.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of a frame's columns."""
        return self.description.channels

    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a state: h and c of the LSTM, and those of its other parts."""
        hidden = self.description.hidden
        return {
            "h": Field("float32", (hidden,)),
            "c": Field("float32", (hidden,)),
            **({} if self._frontend is None else self._frontend.fields()),
            **self._steps.fields(),
        }

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        zeros = {name: np.zeros((n, *x.shape), x.dtype) for name, x in self.fields().items()}
        return {**zeros, **self._steps.start(n, self.weights.prior)}

    def step(self, state: State, inputs: FloatArray) -> tuple[State, StepOutput]:
        """Fold one frame into each of n streams; raises InputError unless float32 [n, d]."""
        wanted = (len(state["h"]), len(self.channels))
        if inputs.dtype != np.float32 or inputs.shape != wanted:
            raise InputError(inputs, wanted)
        heard = inputs
        if self._frontend is not None:
            heard = self._frontend.windows(state["samples"], inputs)
        block = partial(self._block, row_by_row=self.row_by_row)
        h, c, probabilities, correctness, log_odds = in_blocks(
            block, (heard, state["h"], state["c"])
        )
        after: State = {"h": h, "c": c}
        kept = inputs
        if self._frontend is not None:
            after["samples"] = self._frontend.remembered(heard)
            kept = self._frontend.noted(state["step"] + 1, inputs)
        after |= self._steps.step(state, log_odds, kept)
        return after, StepOutput(probabilities, {CORRECTNESS: correctness})

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Say why stream i (a row of `state`) got class index `label`."""
        return self._steps.explain(state, i, label, self.weights.prior, METHOD)

    def sweep(self, frames: Float32) -> tuple[Float32, Float32]:
        """Score whole streams at once: the sum of `step` over time, to 1e-6.

        Parameters
        ----------
        frames
            float32 [n, T, d]; NaN past a stream's end.

        Returns
        -------
        probabilities
            float32 [n, T, C]; NaN past a stream's end.
        correctness
            float32 [n, T]; NaN past a stream's end.
        """
        if self._frontend is not None:
            whole = self._frontend.whole
            frames = np.stack([whole(signal) for signal in frames.reshape(len(frames), -1)])
        n, horizon, d = frames.shape
        hidden = self.description.hidden
        standard = self._standard(frames)
        driven = standard @ self._recurrent[:d] + self._recurrent_bias
        outputs = np.empty((n, horizon, hidden), np.float32)
        h = np.zeros((n, hidden), np.float32)
        c = np.zeros((n, hidden), np.float32)
        for t in range(horizon):
            h, c = _advance(driven[:, t] + h @ self._recurrent[d:], c)
            outputs[:, t] = h
        logits = outputs @ self.weights.head + self.weights.head_bias
        classes = logits[..., :-1]
        likelihood = np.exp(classes - classes.max(axis=-1, keepdims=True))
        return likelihood / likelihood.sum(axis=-1, keepdims=True), _sigmoid(logits[..., -1])

    def save(self, folder: Path) -> None:
        """Write description and weights into `folder`."""
        lstm_weights.save(self.description, self.weights, folder)

    def _block(
        self, heard: Float32, h: Float32, c: Float32, *, row_by_row: bool
    ) -> tuple[Float32, Float32, Float32, Float32, NDArray[np.int16]]:
        """Return h, c, probabilities, correctness and log-odds after one step of a block."""
        features = heard
        if self._frontend is not None:
            features = self._frontend.features(heard, row_by_row=row_by_row)
        joint = np.concatenate((self._standard(features), h), axis=1)
        if row_by_row:
            gates = np.matmul(joint[:, np.newaxis], self._recurrent)[:, 0]
        else:
            gates = joint @ self._recurrent
        gates += self._recurrent_bias
        h, c = _advance(gates, c)
        if row_by_row:
            outputs = np.matmul(self._head, h[:, :, np.newaxis])[:, :, 0].T
        else:
            outputs = self._head @ h.T
        outputs = outputs + self._head_bias
        n_classes = len(self.classes)
        probabilities, log_odds = _answer(outputs[:n_classes])
        correctness = _sigmoid(outputs[n_classes])
        return h, c, np.ascontiguousarray(probabilities.T), correctness, units(log_odds).T.copy()

    def _standard(self, features: Float32) -> Float32:
        """Return features standardised as in training, cut where no training frame lay."""
        with np.errstate(over="ignore"):
            standard = (features - self.weights.input_mean) / self.weights.input_scale
        cut: Float32 = np.clip(standard, -FARTHEST, FARTHEST)
        return cut

    def _needs_row_by_row(self) -> bool:
        random = np.random.default_rng(0)
        hidden = self.description.hidden
        width = len(self.channels) if self._frontend is None else self._frontend.window
        row = [random.normal(size=size).astype(np.float32) for size in (width, hidden, hidden)]
        if self._frontend is None:
            row[0] = row[0] * self.weights.input_scale + self.weights.input_mean
        else:
            row[0] *= np.float32(self._frontend.options.full_scale / 100)
        return position_matters(partial(self._block, row_by_row=False), row)


def _frontend(description: LstmDescription) -> LogMel | None:
    if description.frontend is None:
        return None
    return LogMel(description.frontend, len(description.channels))


def load(folder: Path) -> LstmClassifier:
    """Return the classifier saved into `folder`; raises ModelFileError if it is not one."""
    return LstmClassifier(*lstm_weights.load(folder))


def _advance(gates: Float32, c: Float32) -> tuple[Float32, Float32]:
    """Return h and c from the gates' inputs, halved but for the cell's; overwrites `gates`."""
    hidden = c.shape[1]
    np.tanh(gates, out=gates)
    doors = gates[:, : 3 * hidden]
    doors *= np.float32(0.5)  # sigmoid(x) = (tanh(x / 2) + 1) / 2, which cannot overflow
    doors += np.float32(0.5)
    c = doors[:, hidden : 2 * hidden] * c
    c += doors[:, :hidden] * gates[:, 3 * hidden :]
    return doors[:, 2 * hidden :] * np.tanh(c), c


def _answer(logits: Float32) -> tuple[Float32, Float32]:
    """Return probabilities and log-odds (nats), both [C, n] as `logits` is.

    The log-odds of the likeliest class come from the sum of the others, not from one minus its
    probability, which float32 cannot tell from 0.
    """
    below = logits - logits.max(axis=0)
    likelihood = np.exp(below)
    total = likelihood.sum(axis=0)
    top = below == 0
    others = np.where(top, 0, likelihood).sum(axis=0) + (top.sum(axis=0) - 1).astype(np.float32)
    rest = np.maximum(np.where(top, others, total - likelihood), np.float32(LEAST_REST))
    return likelihood / total, below - np.log(rest)


def _sigmoid(x: Float32) -> Float32:
    half: Float32 = np.tanh(x * np.float32(0.5))
    return half * np.float32(0.5) + np.float32(0.5)


def _halved_gates(weights: LstmWeights, hidden: int) -> tuple[Float32, Float32]:
    """Return the gates in the order input, forget, output, cell; the first three halved."""
    order = np.r_[0 : 2 * hidden, 3 * hidden : 4 * hidden, 2 * hidden : 3 * hidden]
    scale = np.where(np.arange(4 * hidden) < 3 * hidden, np.float32(0.5), np.float32(1.0))
    recurrent = np.ascontiguousarray(weights.recurrent[:, order] * scale)
    return recurrent, weights.recurrent_bias[order] * scale


def _filled_heads(weights: LstmWeights) -> tuple[Float32, Float32]:
    """Return the heads as rows, filled with zeros to a multiple of `HEAD_ROWS`."""
    hidden, width = weights.head.shape
    rows = -(-width // HEAD_ROWS) * HEAD_ROWS
    head = np.zeros((rows, hidden), np.float32)
    head[:width] = weights.head.T
    bias = np.zeros((rows, 1), np.float32)
    bias[:width, 0] = weights.head_bias
    return head, bias
